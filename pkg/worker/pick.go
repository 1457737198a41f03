package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
)

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
	hash := f.Hash(&w.snap.Hasher, s.peer, w.listeners[s.listener].Addr, s.id)
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
