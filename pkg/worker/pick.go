package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/stats"
)

// protoTCP is the protocol of every flow key (RFC 9293).
const protoTCP = 6

// pick chooses the backend of a session, or of its next attempt, and dials it. failed is the backend of the last
// attempt, or NoBackend.
func (w *Worker) pick(slot uint32, s *session, failed backend.Number) {
	m := w.choose(s, w.frontend(s), failed)
	switch {
	case m != nil:
		s.backend = m.Number
		w.dial(slot, s, m.Backend)
	case s.reason != stats.None: // the attempt before failed, and there is no other
		w.cut(slot, s, s.reason)
	default:
		w.cut(slot, s, stats.NoBackend)
	}
}

// choose picks a member and takes a place there. Another worker may take the last place first: then again.
func (w *Worker) choose(s *session, f *backend.Frontend, avoid backend.Number) *backend.Member {
	p := f.Pool
	hash := w.hash(s, f)
	for range len(p.Members) + 1 {
		m := p.Pick(&w.cursors[p.Number], hash, w.monotonicMs(), avoid)
		if m == nil || m.Acquire(m.MaxSessions) {
			return m
		}
	}
	return nil
}

// unpick gives the place at the backend back.
func (w *Worker) unpick(s *session) {
	if s.backend != backend.NoBackend {
		w.snap.Backends[s.backend].Release()
		s.backend = backend.NoBackend
	}
}

// hash is what the pool's table is asked with. A unix socket has no addresses: the session's id stands in.
func (w *Worker) hash(s *session, f *backend.Frontend) uint64 {
	l := &w.listeners[s.listener]
	h := &w.snap.Hasher
	switch {
	case s.peer.Port == 0:
		return h.Counter(s.id)
	case f.Pool.Hash == backend.HashClient:
		return h.Client(s.peer.IP)
	case f.Pool.Hash == backend.HashClientPrefix:
		return h.Client(flow.Prefix(s.peer.IP, f.Prefix4, f.Prefix6))
	}
	return h.Tuple(&flow.Key{
		ClientIP: s.peer.IP, ClientPort: s.peer.Port,
		ListenIP: l.Addr.IP, ListenPort: l.Addr.Port, Proto: protoTCP,
	})
}
