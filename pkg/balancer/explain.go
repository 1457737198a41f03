package balancer

import (
	"fmt"
	"net/netip"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/sys"
)

// protoTCP is the protocol number of TCP, as workers hash it.
const protoTCP = 6

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
	listen := b.listenFor(frontend, ap.Addr().Is4())
	e.Listen = listen.String()
	if !e.Admitted {
		e.Refusal = "denied"
		e.Steps = append(e.Steps, "the frontend's allow and deny lists refuse the address")
	}
	hash := hashOf(&e, f, peer, listen, snap.Hasher)
	b.explainPick(&e, f.Pool, hash)
	return e, nil
}

// listenFor is the address of a frontend that a client of that family would come to; the first one if none fits.
func (b *Balancer) listenFor(frontend string, is4 bool) config.Address {
	var first config.Address
	for i := range b.listeners {
		l := &b.listeners[i] // no copy: its descriptors may be being closed
		if l.frontend != frontend {
			continue
		}
		if first.IsZero() {
			first = l.address
		}
		if l.address.Network == config.TCP4 && is4 || l.address.Network == config.TCP6 && !is4 {
			return l.address
		}
	}
	return first
}

// hashOf hashes what the pool's configuration says, as pkg/worker does for a new session.
func hashOf(e *Explanation, f *backend.Frontend, peer sys.Addr, listen config.Address, h flow.Hasher) uint64 {
	var hash uint64
	switch {
	case listen.Network == config.Unix:
		e.HashOf = "a counter: a unix socket has no addresses"
		e.Steps = append(e.Steps, "every session has another hash: the answer is an example")
		hash = h.Counter(0)
	case f.Pool.Hash == backend.HashClient:
		e.HashOf = "client address " + peer.AddrPort().Addr().String()
		hash = h.Client(peer.IP)
	case f.Pool.Hash == backend.HashClientPrefix:
		prefix := flow.Prefix(peer.IP, f.Prefix4, f.Prefix6)
		e.HashOf = "client network " + netip.AddrFrom16(prefix).Unmap().String()
		hash = h.Client(prefix)
	default:
		e.HashOf = fmt.Sprintf("%s -> %s, TCP", peer, listen)
		at := sys.AddrFrom(listen.AddrPort)
		hash = h.Tuple(&flow.Key{ClientIP: peer.IP, ClientPort: peer.Port, ListenIP: at.IP, ListenPort: at.Port, Proto: protoTCP})
	}
	e.Hash = fmt.Sprintf("%016x", hash)
	return hash
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
	m := p.Pick(&backend.Cursor{}, hash, now, backend.NoBackend)
	if m == nil {
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
}
