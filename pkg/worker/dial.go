package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// sessionEvents is what both sockets of a session are registered for, once, edge-triggered.
const sessionEvents = sys.EPOLLIN | sys.EPOLLOUT | sys.EPOLLPRI | sys.EPOLLRDHUP | sys.EPOLLET

// dial starts connecting to the picked backend. Registering comes after connect: a socket that does not connect yet
// would report a hang-up, and whatever happened in between is reported as an edge anyway.
func (w *Worker) dial(slot uint32, s *session, m *backend.Member) {
	w.beginDial(s, m.Backend)
	began := w.connectFrom(s, m)
	if began != 0 && began != sys.EINPROGRESS {
		w.dialFailed(slot, s, began)
		return
	}
	if errno := w.watch(slot, s); errno != 0 {
		w.dialFailed(slot, s, errno)
		return
	}
	if began == 0 { // a unix socket
		w.connected(slot, s)
		return
	}
	if t := w.frontend(s).Timeouts.Connect; t > 0 {
		w.wheel.Arm(slot, w.nowMs+t)
	}
}

// beginDial prepares a session for an attempt, the first or another one.
func (w *Worker) beginDial(s *session, b *backend.Backend) {
	s.state = dialling
	s.marks = s.marks&^(unixServer|portless) | connecting
	s.connectUs = uint32(w.nowNs / 1000) // the low bits of when it began, until connected
	s.half[toBackend].Set(relay.Nagle)
	if b.To.Family() == sys.AF_UNIX {
		s.marks |= unixServer
		s.half[toBackend].Clear(relay.Nagle)
	}
	w.sheet.Row(stats.Pool, b.PoolNumber).Add(stats.DialBegun, 1)
}

// beginToClient makes the half that the backend will speak through, of which nothing has passed.
func (w *Worker) beginToClient(s *session) {
	s.half[toClient] = relay.Half{}
	s.half[toClient].Set(relay.Writable)
	if w.ClientOptions && !s.onUnix() {
		s.half[toClient].Set(relay.Nagle)
	}
}

// endDial takes back what beginDial counted.
func (w *Worker) endDial(s *session) {
	if s.has(connecting) {
		s.marks &^= connecting
		w.poolRow(s).Add(stats.DialEnded, 1)
	}
}

// watch registers the backend's socket, and the client's at the first attempt.
func (w *Worker) watch(slot uint32, s *session) sys.Errno {
	errno := w.k.EpollAdd(w.epfd, int(s.fd[server]), sessionEvents, token(s.generation, slot, server))
	if errno == 0 && !s.has(watched) {
		s.marks |= watched
		errno = w.k.EpollAdd(w.epfd, int(s.fd[client]), sessionEvents, token(s.generation, slot, client))
	}
	return errno
}

// dialEvent is an event of either side while connecting. A client that has sent its FIN may still want an answer (a
// half-close); only one that is gone by RST cancels the connect. A unix socket's hang-up is no RST but the usual close:
// what it wrote before is still to be passed on.
func (w *Worker) dialEvent(slot uint32, s *session, side int, events uint32) {
	switch {
	case side == server:
		w.dialAnswered(slot, s, events)
	case events&sys.EPOLLERR != 0, events&sys.EPOLLHUP != 0 && !s.onUnix():
		w.cut(slot, s, stats.ClientLeft)
	default:
		s.latch(client, events, w.turns)
	}
}

// dialAnswered is an event of the connecting socket. An error is either the answer, or that of a connection which stood
// and has ended since: then what the backend said first is passed on, and its end as what it was.
func (w *Worker) dialAnswered(slot uint32, s *session, events uint32) {
	if events&(sys.EPOLLERR|sys.EPOLLHUP) != 0 && !w.spoke(s, events) {
		switch errno := w.k.SockError(int(s.fd[server])); {
		case errno == sys.EPIPE: // a FIN without a byte came before the RST; recv tells of it all the same
		case errno != 0:
			w.dialFailed(slot, s, errno)
			return
		case events&sys.EPOLLERR != 0:
			w.dialFailed(slot, s, sys.EPROTO) // an error without a name is a failure all the same
			return
		default:
			return // some kernels report a hang-up before the answer
		}
	}
	if events&sys.EPOLLOUT != 0 {
		s.latch(server, events, w.turns)
		w.connected(slot, s)
	}
}

// spoke tells whether a connecting socket has bytes to read. The question leaves the error in its place, for the recv
// that comes behind the last byte.
func (w *Worker) spoke(s *session, events uint32) bool {
	n, errno := w.k.Unread(int(s.fd[server]))
	return errno == 0 && n > 0 || events&sys.EPOLLPRI != 0
}

// connected begins relaying, unless the socket has connected to itself: a backend that is down and whose port lies in
// the kernel's range for outgoing connections can be "reached" by the very socket that looks for it.
func (w *Worker) connected(slot uint32, s *session) {
	b := w.snap.Backends[s.backend]
	if b.MaySelfConnect {
		if a, errno := w.k.LocalAddr(int(s.fd[server])); errno == 0 && a == b.Addr {
			w.connectFailed(slot, s, stats.FailSelf, sys.ECONNREFUSED)
			return
		}
	}
	b.Connected()
	s.connectUs = max(uint32(w.nowNs/1000)-s.connectUs, 1)
	s.marks |= established
	w.endDial(s)
	w.poolRow(s).Observe(stats.ConnectBase, stats.ConnectBounds[:], float64(s.connectUs)/1e6)
	s.state, s.reason, s.errno = relaying, stats.None, 0
	s.lastMs = w.nowMs
	s.half[toBackend].Set(relay.Writable)
	s.sinceMs = [2]uint32{uint32(w.nowMs), uint32(w.nowMs)}
	w.wheel.Arm(slot, w.soon(s))
	w.relay(slot, s)
}

// dialFailed sorts the errno of an attempt.
func (w *Worker) dialFailed(slot uint32, s *session, errno sys.Errno) {
	failure := stats.FailOther
	switch errno {
	case sys.ECONNREFUSED, sys.ECONNRESET, sys.EAGAIN, sys.ENOENT:
		// ECONNRESET: accepted, and reset without a byte. EAGAIN: a unix socket's backlog is full; no event will tell.
		failure = stats.FailRefused
	case sys.ETIMEDOUT:
		failure = stats.FailTimeout
	case sys.EHOSTUNREACH, sys.ENETUNREACH:
		failure = stats.FailUnreachable
	case sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM, sys.ENOSPC, sys.EADDRNOTAVAIL, sys.EADDRINUSE, sys.EPERM, sys.EACCES:
		failure = stats.FailLocal // ours, not the backend's fault (EPERM: a firewall rule of this host)
	}
	w.connectFailed(slot, s, failure, errno)
}

// connectFailed counts a failed attempt, perhaps ejects the backend, and tries another one or gives up. Nothing has
// been sent yet, so trying again is safe. A backend without a port left costs no retry: pick knows of it from now on.
func (w *Worker) connectFailed(slot uint32, s *session, failure stats.ConnectFailure, errno sys.Errno) {
	pool := w.frontend(s).Pool
	failed := s.backend
	b := w.snap.Backends[failed]
	w.sheet.Row(stats.Backend, int(failed)).Add(stats.FailureBase+int(failure), 1)
	w.endDial(s)
	if failure != stats.FailLocal {
		pool.Eject(b, b.Failed(), w.monotonicMs())
	}
	s.errno, s.reason = uint16(errno), connectReason(failure, errno)
	switch {
	case s.has(portless) && s.passed < ports.MaxTries:
		s.passed++
	case int(s.retries) >= pool.ConnectRetries:
		w.cut(slot, s, s.reason)
		return
	default:
		s.retries++
		w.poolRow(s).Add(stats.Retries, 1)
	}
	w.hangUp(s, server)
	w.beginToClient(s)
	w.unpick(s)
	w.pick(slot, s, failed)
}

// connectReason is the end reason after the last attempt.
func connectReason(failure stats.ConnectFailure, errno sys.Errno) stats.Reason {
	switch {
	case failure == stats.FailTimeout:
		return stats.ConnectTimeout
	case failure != stats.FailLocal:
		return stats.ConnectRefused
	case errno == sys.EADDRNOTAVAIL || errno == sys.EADDRINUSE:
		return stats.NoPorts
	case errno == sys.EMFILE || errno == sys.ENFILE:
		return stats.NoFDs
	}
	return stats.NoMemory
}
