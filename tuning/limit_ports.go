package tuning

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/longsplice/longsplice/pkg/config"
)

const (
	rangeName    = "net.ipv4.ip_local_port_range"
	reservedName = "net.ipv4.ip_local_reserved_ports"
	firstPort    = 1024 // below it are ports of services
	easyPort     = 10240
	lastPort     = 65535
)

// span is the ports from first to last, both included; first > last: none.
type span struct{ first, last int64 }

func (s span) len() int64            { return max(s.last-s.first+1, 0) }
func (s span) has(p int64) bool      { return s.first <= p && p <= s.last }
func (s span) overlaps(o span) bool  { return s.first <= o.last && o.first <= s.last }
func (s span) String() string        { return fmt.Sprintf("%d-%d", s.first, s.last) }
func (s span) kernel() string        { return fmt.Sprintf("%d\t%d", s.first, s.last) }
func spanOf(r config.PortRange) span { return span{int64(r.From), int64(r.To)} }

// kernelSpan is where the kernel takes local ports from.
func (h *host) kernelSpan() (span, bool) {
	v, _ := h.sysctl(rangeName)
	all := numbers(v)
	if len(all) != 2 {
		return span{32768, 60999}, false
	}
	return span{all[0], all[1]}, true
}

// reserved are the ports that the kernel leaves out of its range.
func (h *host) reserved() (all []span) {
	v, _ := h.sysctl(reservedName)
	for _, part := range strings.Split(v, ",") {
		from, to, found := strings.Cut(part, "-")
		if !found {
			to = from
		}
		a, errA := strconv.ParseInt(from, 10, 32)
		b, errB := strconv.ParseInt(to, 10, 32)
		if errA == nil && errB == nil {
			all = append(all, span{a, b})
		}
	}
	return all
}

func (h *host) isReserved(port int64) bool {
	return slices.ContainsFunc(h.reserved(), func(s span) bool { return s.has(port) })
}

// usable is how many ports of a span a connect() can get: no reserved ones, and none that somebody listens on.
func (h *host) usable(s span) (n int64) {
	n = s.len()
	reserved := h.reserved() // which the kernel keeps apart: no port is in two of them
	for _, r := range reserved {
		n -= span{max(r.first, s.first), min(r.last, s.last)}.len()
	}
	for port := range h.net.listening {
		p := int64(port)
		if s.has(p) && !slices.ContainsFunc(reserved, func(r span) bool { return r.has(p) }) {
			n--
		}
	}
	return n
}

// widest is the largest span from `from` on that leaves local_ports of all pools alone.
func (g *Goal) widest(from int64) (best span) {
	own := g.ownPorts()
	slices.SortFunc(own, func(a, b config.PortRange) int { return int(a.From) - int(b.From) })
	best = span{1, 0}
	for _, r := range append(own, config.PortRange{From: lastPort}) {
		to := int64(r.From) - 1
		if r.To == 0 { // the sentinel: up to the last port
			to = lastPort
		}
		if gap := (span{from, to}); gap.len() > best.len() {
			best = gap
		}
		from = max(from, int64(r.To)+1)
	}
	return best
}

// A pair is one source towards one backend address: what has a range of ports. Source is the zero Addr where the kernel
// chooses it.
type pair struct {
	source netip.Addr
	to     string
	own    config.PortRange
}

// pairs are those of all pools, each once, of sources that the host has. endless: some backend needs no port.
func (h *host) pairs(g *Goal) (all []pair, endless bool) {
	seen := map[pair]bool{}
	for i := range g.Config.Pools {
		p := &g.Config.Pools[i]
		sources := poolSources(p)
		for _, b := range p.Backends {
			if b.Address.Network == config.Unix {
				endless = true
				continue
			}
			if b.Weight == 0 || b.Backup {
				continue
			}
			for _, s := range h.sourcesTo(sources, b.Address) {
				if one := (pair{s, b.Address.String(), p.LocalPorts}); !seen[one] {
					seen[one] = true
					all = append(all, one)
				}
			}
		}
	}
	return all, endless
}

// sourcesTo are the sources of the backend's family that are there; a name's family is not known, and taken to be any.
func (h *host) sourcesTo(sources []netip.Addr, to config.Address) (all []netip.Addr) {
	if len(sources) == 0 {
		return []netip.Addr{{}}
	}
	for _, s := range sources {
		if (to.Network == config.Host || s.Is4() == (to.Network == config.TCP4)) && h.net.has(s) {
			all = append(all, s)
		}
	}
	return all
}

// ports are how many all pairs together have, if the kernel's range were kernel.
func (h *host) ports(pairs []pair, kernel span) (n int64) {
	usable := h.usable(kernel)
	for _, p := range pairs {
		if p.own != (config.PortRange{}) {
			n += spanOf(p.own).len()
		} else {
			n += usable
		}
	}
	return n
}

const portsWhy = "a connection is told apart by its four addresses: one source has each port once towards one backend address"

// localPorts: what a (source, backend address) pair has, times the pairs.
func localPorts(h *host, g *Goal) (Limit, bool) {
	kernel, _ := h.kernelSpan()
	pairs, endless := h.pairs(g)
	sessions := h.ports(pairs, kernel)
	name, each := "ip_local_port_range", h.usable(kernel)
	if !g.kernelPools() {
		name, each = "local_ports", spanOf(g.ownPorts()[0]).len()
	}
	l := Limit{
		Name: name, State: Fine, Sessions: sessions, Why: portsWhy,
		Current: fmt.Sprintf("%s × %s", Count(each), Count(int64(len(pairs)))),
		Needed:  "-",
		Formula: "ports of the range (less reserved and listening ones) × pairs of a source and a backend address",
		brief:   fmt.Sprintf("%s (%s per source and backend)", name, Count(each)),
	}
	if name == "ip_local_port_range" {
		l.Name = rangeName
	}
	if endless {
		l.Sessions, l.Current = Unbounded, l.Current+" and unix sockets"
		return l, true
	}
	if n := int64(len(pairs)); n > 0 {
		l.Needed = fmt.Sprintf("%s × %s", Count((int64(g.Sessions)+n-1)/n), Count(n))
	}
	if sessions < int64(g.Sessions) {
		h.morePorts(g, &l, pairs)
	}
	return l, true
}

// morePorts widens the kernel's range as far as the goal wants it, and asks for sources where no range is wide enough.
func (h *host) morePorts(g *Goal, l *Limit, pairs []pair) {
	l.State = Short
	kernel, readable := h.kernelSpan()
	wide := g.widest(min(easyPort, max(kernel.first, firstPort)))
	if h.ports(pairs, wide) < int64(g.Sessions) {
		wide = g.widest(firstPort)
	}
	if most := h.ports(pairs, wide); most < int64(g.Sessions) {
		l.Command = h.moreSources(g, pairs, wide)
	}
	if readable && g.kernelPools() && wide.len() > kernel.len() {
		l.raise(h, rangeName, wide.kernel())
	}
}

// moreSources says how many source addresses the pools need, where even the widest range is too small.
func (h *host) moreSources(g *Goal, pairs []pair, wide span) string {
	if len(h.lacking(g)) > 0 {
		return "longsplice tune apply" // those that are configured come first
	}
	backends := map[string]bool{}
	each := int64(0)
	for _, p := range pairs {
		backends[p.to] = true
		each = h.usable(wide)
		if p.own != (config.PortRange{}) {
			each = spanOf(p.own).len()
		}
	}
	if len(backends) == 0 || each == 0 {
		return "give the pools backends that take sessions"
	}
	per := each * int64(len(backends))
	n := (int64(g.Sessions) + per - 1) / per
	return fmt.Sprintf("set source_addresses of the pools to %d addresses (%s ports each towards %d)", n, Count(each), len(backends))
}

// portOverlap: ports that we bind ourselves must not be in the kernel's range.
func portOverlap(h *host, g *Goal) (Limit, bool) {
	kernel, readable := h.kernelSpan()
	own := g.ownPorts()
	if len(own) == 0 || !readable {
		return Limit{}, false
	}
	l := Limit{
		Name: "ip_local_port_range beside local_ports", State: Fine, Current: kernel.String(), Needed: "outside " + spanOf(own[0]).String(), Sessions: Unbounded,
		Formula: "local_ports and ip_local_port_range have no port in common",
		Why:     "a port that is bound by name is lost to every connect() of every program on the host, so `run` refuses local_ports inside the kernel's range",
		brief:   "the overlap of ip_local_port_range and local_ports",
	}
	if slices.ContainsFunc(own, func(r config.PortRange) bool { return kernel.overlaps(spanOf(r)) }) {
		l.Sessions = 0
		l.raise(h, rangeName, g.widest(firstPort).kernel())
	}
	return l, true
}

// manyListeners inside the kernel's range did not choose their ports.
const manyListeners = 16

// portListeners: a port that a service listens on must not be given to an outgoing connection while the service is down.
func portListeners(h *host, g *Goal) (Limit, bool) {
	kernel, _ := h.kernelSpan()
	l, ok := h.condition(reservedName, "-", "each listening port inside ip_local_port_range is reserved",
		"an outgoing connection may take a port while its service restarts, which then cannot listen (EADDRINUSE)")
	if !ok {
		return l, false
	}
	ours, others := h.unreserved(g, kernel)
	current, _ := h.sysctl(reservedName)
	all := strings.Trim(current+","+strings.Join(slices.Concat(ours, others), ","), ",")
	if l.Current = current; current == "" {
		l.Current = "none"
	}
	switch {
	case len(ours) > 0:
		l.Needed, l.brief = "with "+strings.Join(ours, ","), "port "+ours[0]+" inside ip_local_port_range, not reserved"
		l.raise(h, reservedName, portList(all))
	case len(others) > 0:
		l.State, l.Needed, l.Command = Warn, "with "+few(others, 3), setCommand(reservedName, portList(all))
		if len(others) > manyListeners { // test servers and the like: what to reserve is for a person to say
			l.Command = "ss -ltnp"
		}
		l.brief = "listening ports inside ip_local_port_range, not reserved"
	}
	return l, true
}

// unreserved are the listening ports inside the kernel's range: of frontends, of programs that listened outside of the
// range before a Need has widened it, and of others. Those came to their ports by chance, most likely.
func (h *host) unreserved(g *Goal, kernel span) (ours, others []string) {
	was := kernel
	if _, widened := h.wanted[rangeName]; widened {
		was, _ = (&host{roots: h.roots}).kernelSpan()
	}
	ports := g.frontendPorts()
	frontends := len(ports)
	for port := range h.net.listening {
		ports = append(ports, port)
	}
	slices.Sort(ports[frontends:])
	seen := map[uint16]bool{}
	for i, port := range ports {
		p := int64(port)
		if seen[port] || !kernel.has(p) || h.isReserved(p) {
			continue
		}
		seen[port] = true
		if i < frontends || !was.has(p) {
			ours = append(ours, strconv.FormatInt(p, 10))
		} else {
			others = append(others, strconv.FormatInt(p, 10))
		}
	}
	return ours, others
}

// few is the beginning of a list.
func few(words []string, n int) string {
	if len(words) > n {
		return strings.Join(words[:n], ",") + fmt.Sprintf(" and %d more", len(words)-n)
	}
	return strings.Join(words, ",")
}
