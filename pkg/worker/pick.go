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
		w.dial(slot, s, m)
	case s.reason != stats.None: // the attempt before failed, and there is no other
		w.cut(slot, s, s.reason)
	default:
		w.cut(slot, s, stats.NoBackend)
	}
}

// choose picks a member and takes a place there, and a port if the pool has sources. Another worker may take the last
// place first: then again. Where no port is left the next pick passes over all that are known to have none.
func (w *Worker) choose(s *session, f *backend.Frontend, avoid backend.Number) *backend.Member {
	p := f.Pool
	hash := f.Hash(&w.snap.Hasher, s.peer, w.listeners[s.listener].Addr, s.id)
	cursor, short := &w.cursors[p.Number], false
	for range len(p.Members) + 1 {
		var m *backend.Member
		if short {
			m = p.PickWithPorts(cursor, hash, w.monotonicMs(), avoid)
		} else {
			m = p.Pick(cursor, hash, w.monotonicMs(), avoid)
		}
		switch {
		case m == nil:
			return nil
		case !m.Acquire(m.MaxSessions):
		case w.takePort(s, m):
			return m
		default:
			m.Release()
			w.noPort(s, m)
			short = true
		}
	}
	return nil
}

// unpick gives the place at the backend and the port back; the socket is closed by then.
func (w *Worker) unpick(s *session) {
	if s.backend != backend.NoBackend {
		w.snap.Backends[s.backend].Release()
		s.backend = backend.NoBackend
	}
	w.givePort(s)
}
