package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// takePort takes a port for a session towards a backend, from one source after the other; where the kernel chooses ports, a
// source. False, at once: none is left. A pool without sources needs none.
func (w *Worker) takePort(s *session, m *backend.Member) bool {
	if len(m.Ports) == 0 {
		return true
	}
	w.sourceTurn++
	p, port := m.Ports.Take(w.sourceTurn, w.monotonicMs())
	if p == nil {
		return false
	}
	s.pair, s.port = p.Number, port
	return true
}

// givePort gives a session's port back; whether it may be used again at once is the kernel's to say (TIME_WAIT).
func (w *Worker) givePort(s *session) {
	if s.pair != 0 {
		w.snap.Pairs[s.pair].Give(s.port)
		s.pair = 0
	}
}

// noPort notes that a session would have gone to a backend to which no port is left. That is our shortage: nothing is
// counted against the backend but the failure itself.
func (w *Worker) noPort(s *session, m *backend.Member) {
	w.sheet.Row(stats.Backend, int(m.Number)).Add(stats.FailureBase+int(stats.FailLocal), 1)
	if s.reason == stats.None {
		s.reason, s.errno = stats.NoPorts, uint16(sys.EADDRNOTAVAIL)
	}
}

// connectFrom makes the socket and starts connecting, from the session's port if it has one. A port that the kernel refuses
// rests, and the next one is tried, of the next source.
func (w *Worker) connectFrom(s *session, m *backend.Member) sys.Errno {
	for try := 1; ; try++ {
		errno := w.connect(s, m.Backend)
		if s.pair == 0 || errno != sys.EADDRNOTAVAIL && errno != sys.EADDRINUSE {
			return errno
		}
		w.hangUp(s, server) // a socket that was bound once cannot be bound again
		w.snap.Pairs[s.pair].Refused(s.port, w.monotonicMs())
		s.pair = 0
		if try == ports.MaxTries {
			return sys.EADDRNOTAVAIL
		}
		if !w.takePort(s, m) {
			s.marks |= portless
			return sys.EADDRNOTAVAIL
		}
	}
}

// connect is one try.
func (w *Worker) connect(s *session, b *backend.Backend) sys.Errno {
	fd, errno := w.socket(b.To.Family())
	if errno != 0 {
		return errno
	}
	s.fd[server] = int32(fd)
	if s.pair != 0 {
		if errno := w.bind(fd, s); errno != 0 {
			return errno
		}
	}
	return w.k.Connect(fd, &b.To)
}

// bind gives a socket its source. A port of ours may be in TIME_WAIT, or connected to other backends, as long as every
// socket that has it says SO_REUSEADDR; where the kernel chooses, it does so in connect, when it knows the backend: in bind it
// would take a port from all backends at once. Its search goes through all even ports before the odd ones or the other way
// round, which is dear once half of them are in use; told a range, it goes through them in order (__inet_hash_connect, from
// Linux 6.8 on).
func (w *Worker) bind(fd int, s *session) sys.Errno {
	p := w.snap.Pairs[s.pair]
	if p.Own() {
		w.k.SetOption(fd, sys.SOL_SOCKET, sys.SO_REUSEADDR, 1)
	} else {
		w.k.SetOption(fd, sys.IPPROTO_IP, sys.IP_BIND_ADDRESS_NO_PORT, 1)
		if r, crowded := p.Crowded(); crowded {
			w.k.SetOption(fd, sys.IPPROTO_IP, sys.IP_LOCAL_PORT_RANGE, int(r.Last)<<16|int(r.First))
		}
	}
	errno := w.k.Bind(fd, &p.From, s.port)
	if errno == sys.EADDRNOTAVAIL { // the host has lost the address: other sources first
		p.Exhausted(w.monotonicMs())
	}
	return errno
}
