package tuning

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

const (
	conntrackMax     = "net.netfilter.nf_conntrack_max"
	conntrackNumber  = "net.netfilter.nf_conntrack_count"
	conntrackSizes   = "net.netfilter.nf_conntrack_buckets"
	conntrackTimeout = "net.netfilter.nf_conntrack_tcp_timeout_"
)

// tracking says whether packets are tracked: the module may be there without a rule that asks for it, and then its table
// stays empty however many sockets there are.
func (h *host) tracking() (entries int64, active bool) {
	entries, loaded := h.number(conntrackNumber)
	return entries, loaded && (entries > 0 || h.net.tracked < 64)
}

// conntrack is no shortage of a host that has not loaded it.
func conntrack(h *host, g *Goal) (Limit, bool) {
	if _, loaded := h.sysctl(conntrackMax); !loaded {
		return Limit{}, false
	}
	l, ok := linear{
		name: conntrackMax, units: 2, per: 1,
		formula: "nf_conntrack_max / 2: both connections of a session are tracked",
		why:     "when the table is full new connections are dropped without a word; rules with notrack for these ports (below) spare the table, its memory and its CPU",
	}.look(h, g)
	if entries, active := h.tracking(); ok && !active {
		l.State, l.Needed, l.Sessions, l.needs, l.Command = Fine, "-", Unbounded, nil, ""
		l.Why = fmt.Sprintf("loaded, and no rule tracks anything: %d entries beside %s TCP sockets", entries, Count(h.net.tracked))
	}
	return l, ok
}

func conntrackBuckets(h *host, g *Goal) (Limit, bool) {
	most, loaded := h.number(conntrackMax)
	_, active := h.tracking()
	if !loaded || !active {
		return Limit{}, false
	}
	l, ok := h.condition(conntrackSizes, Count((max(most, 2*int64(g.Sessions))+7)/8), "at least an eighth of nf_conntrack_max and of the entries",
		"with more than eight entries in a bucket every packet searches a list")
	if n, numeric := h.number(conntrackSizes); ok && numeric && n*8 < max(most, 2*int64(g.Sessions)) {
		l.raise(h, conntrackSizes, strconv.FormatInt(roundUp(max(most, 2*int64(g.Sessions))/4), 10))
	}
	return l, ok
}

// conntrackTimeouts: an entry must outlive the silence of a living session.
func conntrackTimeouts(h *host, g *Goal) (Limit, bool) {
	const name = conntrackTimeout + "established"
	if _, active := h.tracking(); !active {
		return Limit{}, false
	}
	wanted := min(2*g.silence(), 432_000) // the kernel's default: five days
	l, ok := h.condition(name, fmt.Sprintf("%d s", wanted), "twice the time after which a silent session sends a keepalive probe, in every state that may last",
		"an entry that ends before its session makes the firewall drop the rest of it")
	if !ok {
		return l, false
	}
	for _, state := range []string{"established", "close_wait", "fin_wait"} {
		if n, ok := h.number(conntrackTimeout + state); ok && n < wanted {
			if l.State == Fine {
				l.Name, l.Current = conntrackTimeout+state, Count(n)
			}
			l.raise(h, conntrackTimeout+state, strconv.FormatInt(wanted, 10))
		}
	}
	return l, true
}

// noTrack are the nftables rules that spare the sessions of g from tracking.
func (g *Goal) noTrack() string {
	front, back := portSet(g.frontendPorts()), portSet(g.backendPorts())
	return fmt.Sprintf("table inet longsplice_notrack {\n"+
		"  chain in  { type filter hook prerouting priority raw; tcp dport %[1]s notrack; tcp sport %[2]s notrack; }\n"+
		"  chain out { type filter hook output priority raw; tcp sport %[1]s notrack; tcp dport %[2]s notrack; }\n}", front, back)
}

func portSet(ports []uint16) string {
	slices.Sort(ports)
	words := make([]string, 0, len(ports))
	for _, p := range slices.Compact(ports) {
		words = append(words, strconv.Itoa(int(p)))
	}
	return "{ " + strings.Join(words, ", ") + " }"
}
