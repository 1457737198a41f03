package balancer

import (
	"fmt"
	"net/netip"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Explain tells where a connection of client (ADDRESS:PORT) to a frontend would go now. It asks the same code that
// workers pick by; connections that open meanwhile may change the answer of bounded load.
func (b *Balancer) Explain(frontend, client string) (Explanation, error) {
	snap := b.snap.Load()
	number, ok := b.frontendNumber[frontend]
	if !ok {
		return Explanation{}, fmt.Errorf("%w: frontend %q", ErrNotFound, frontend)
	}
	ap, err := netip.ParseAddrPort(client)
	if err != nil {
		return Explanation{}, fmt.Errorf("%w: client %q: want ADDRESS:PORT", ErrBadQuery, client)
	}
	ap = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	f := snap.Frontends[number]
	peer := sys.AddrFrom(ap)
	e := Explanation{
		Frontend: frontend, Client: ap.String(), Pool: f.Pool.Name, Admitted: f.Admits(peer.IP),
		Algorithm: [...]string{"maglev", "least_sessions", "round_robin"}[f.Pool.Algorithm],
	}
	if !e.Admitted {
		e.Refusal = "denied"
		e.Steps = append(e.Steps, "the frontend's allow and deny lists refuse the address")
	}
	listens := b.listensFor(frontend, ap.Addr().Is4())
	if len(listens) == 0 {
		e.Admitted, e.Refusal = false, "no_listener"
		e.Steps = append(e.Steps, "no listener of the frontend takes clients of this address family")
		return e, nil
	}
	e.Listen = listens[0].String()
	hash := hashOf(&e, f, peer, listens[0], &snap.Hasher)
	explainListens(&e, f, peer, listens, &snap.Hasher)
	b.explainPick(&e, f.Pool, hash)
	return e, nil
}

// listensFor is where a client of that family may come to; if that is nowhere, the unix sockets, as an example.
func (b *Balancer) listensFor(frontend string, is4 bool) []config.Address {
	family := config.TCP6
	if is4 {
		family = config.TCP4
	}
	var fit, unix []config.Address
	for i := range b.listeners {
		l := &b.listeners[i] // no copy: its descriptors may be being closed
		switch {
		case l.frontend != frontend:
		case l.address.Network == family:
			fit = append(fit, l.address)
		case l.address.Network == config.Unix:
			unix = append(unix, l.address)
		}
	}
	if len(fit) > 0 {
		return fit
	}
	return unix
}

// hashOf hashes as workers do for a new session, and says what of it is hashed.
func hashOf(e *Explanation, f *backend.Frontend, peer sys.Addr, listen config.Address, h *flow.Hasher) uint64 {
	switch {
	case listen.Network == config.Unix:
		e.HashOf = "a counter: a unix socket has no addresses"
		e.Steps = append(e.Steps, "every session has another hash: the answer is an example")
	case f.Pool.Hash == backend.HashClient:
		e.HashOf = "client address " + peer.AddrPort().Addr().String()
	case f.Pool.Hash == backend.HashClientPrefix:
		prefix := flow.Prefix(peer.IP, f.Prefix4, f.Prefix6)
		e.HashOf = "client network " + netip.AddrFrom16(prefix).Unmap().String()
	default:
		e.HashOf = fmt.Sprintf("%s -> %s, TCP", peer, listen)
	}
	hash := f.Hash(h, peer, listenAddr(listen), 0)
	e.Hash = fmt.Sprintf("%016x", hash)
	return hash
}

// listenAddr is a listener's address as workers hash it: zero for a unix socket.
func listenAddr(a config.Address) sys.Addr {
	if a.Network == config.Unix {
		return sys.Addr{}
	}
	return sys.AddrFrom(a.AddrPort)
}

// explainListens says which of several listeners the answer is for, and what it would be at the others.
func explainListens(e *Explanation, f *backend.Frontend, peer sys.Addr, listens []config.Address, h *flow.Hasher) {
	if len(listens) == 1 {
		return
	}
	e.Steps = append(e.Steps, fmt.Sprintf("the answer is for a connection to %s, one of %d listeners that the client may come to", listens[0], len(listens)))
	if f.Pool.Hash != backend.HashTuple || f.Pool.Algorithm != backend.Maglev {
		return
	}
	for _, l := range listens[1:] {
		if m := f.Pool.Pick(&backend.Cursor{}, f.Hash(h, peer, listenAddr(l), 0), monotonicMs(), backend.NoBackend); m != nil {
			e.Steps = append(e.Steps, fmt.Sprintf("a connection to %s would go to %s", l, m.Name))
		}
	}
}

func (b *Balancer) explainPick(e *Explanation, p *backend.Pool, hash uint64) {
	now := monotonicMs()
	if p.Live.Panic.Load() {
		e.Steps = append(e.Steps, "the pool is in panic: health is ignored")
	}
	for i := range p.Members {
		m := &p.Members[i]
		takes, why := p.Takes(m, now)
		e.Backends = append(e.Backends, Candidate{Name: m.Name, Takes: takes, Why: why, Sessions: m.Sessions(), Share: p.Share(m)})
	}
	if p.Algorithm != backend.Maglev {
		e.Steps = append(e.Steps, "this algorithm looks at the sessions held, and at each worker's turn: the answer is an example")
	} else if first := p.Home(hash); first != nil {
		e.Steps = append(e.Steps, fmt.Sprintf("the table's slot for the hash belongs to %s", first.Name))
	}
	m := p.PickWithPorts(&backend.Cursor{}, hash, now, backend.NoBackend)
	switch {
	case m != nil:
	case p.Pick(&backend.Cursor{}, hash, now, backend.NoBackend) != nil:
		e.Steps = append(e.Steps, "no port of our sources is left towards a backend that takes sessions: the client would be reset (no_ports)")
		return
	default:
		e.Steps = append(e.Steps, "no backend takes new sessions: the client would be reset (no_backend)")
		return
	}
	e.Backend, e.Address = m.Name, m.Address
	if first := p.Home(hash); first != nil && first.Number != m.Number {
		_, why := p.Takes(first, now)
		if why == "" {
			why = "it holds its bounded share already"
		}
		e.Steps = append(e.Steps, fmt.Sprintf("%s is walked past: %s", first.Name, why))
	}
	e.Steps = append(e.Steps, fmt.Sprintf("the session goes to %s (%s)", m.Name, m.Address))
	if step := explainSource(m); step != "" {
		e.Steps = append(e.Steps, step)
	}
}
