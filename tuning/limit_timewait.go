package tuning

import (
	"slices"

	"github.com/longsplice/longsplice/pkg/config"
)

// When all sessions come back at once, after a link or a backend was lost, the ports that they had may rest in TIME_WAIT
// while the new ones look for theirs. TIME_WAIT lasts 60 s on Linux, whatever any setting says (TCP_TIMEWAIT_LEN).
const turnover = "ports / 2, while a port in TIME_WAIT cannot be used again for 60 s: all sessions may come back within that"

// resting makes a limit short where ports rest and there are no two for each session. Where there is not one for each,
// the ports themselves bind.
func (h *host) resting(g *Goal, l *Limit, wanted string) {
	kernel, _ := h.kernelSpan()
	pairs, endless := h.pairs(g)
	ports := h.ports(pairs, kernel)
	if endless || ports < int64(g.Sessions) || ports >= 2*int64(g.Sessions) {
		l.Needed = "-"
		return
	}
	l.Sessions = ports / 2
	l.raise(h, l.Name, wanted)
}

// reuse is the kernel's own choice of ports: it takes one that is in TIME_WAIT only if it may.
func reuse(h *host, g *Goal) (Limit, bool) {
	l, ok := h.condition("net.ipv4.tcp_tw_reuse", "1", turnover,
		"a connect() may use a port in TIME_WAIT again after 1 s if this is 1, with timestamps on; 2, the default, is for loopback alone, and incoming connections it does not touch")
	if !ok {
		return l, false
	}
	if reused := l.Current == "1" || l.Current == "2" && g.loopbackOnly(); reused || !g.kernelPools() {
		l.Needed = "-"
		return l, true
	}
	h.resting(g, &l, "1")
	return l, true
}

// loopbackOnly: all backends are on this host.
func (g *Goal) loopbackOnly() bool {
	for i := range g.Config.Pools {
		if slices.ContainsFunc(g.Config.Pools[i].Backends, func(b config.Backend) bool {
			return b.Address.Network != config.Unix && !b.Address.AddrPort.Addr().IsLoopback()
		}) {
			return false
		}
	}
	return true
}

// timestamps are what makes the reuse of a port safe (RFC 6191).
func timestamps(h *host, g *Goal) (Limit, bool) {
	l, ok := h.condition("net.ipv4.tcp_timestamps", "1", turnover,
		"without timestamps no port in TIME_WAIT is used again, neither by the kernel's choice nor from local_ports, and SYN cookies lose window scaling")
	if ok && l.Current == "0" {
		h.resting(g, &l, "1")
		if l.State == Fine {
			l.raise(h, l.Name, "1")
		}
		l.Needed = "1"
	}
	return l, ok
}

// timeWaits is how many sockets may be in TIME_WAIT; the one too many is closed at once. That bounds no session.
func timeWaits(h *host, g *Goal) (Limit, bool) {
	l, ok := linear{
		name: "net.ipv4.tcp_max_tw_buckets", units: 1, per: 1,
		formula: "one entry for each session, as all may end within 60 s",
		why:     "beyond it a socket skips TIME_WAIT, and a late segment of the old connection can reach the next one on its port; an entry costs 250 B",
	}.look(h, g)
	l.Sessions = Unbounded
	return l, ok
}
