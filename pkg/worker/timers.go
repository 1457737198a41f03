package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// firstTickMs is when a session that stands gets its first look, unless a timeout is shorter: short sessions are over by
// then and never pay for what the look does.
const firstTickMs = 1000

// soon is when to look at a session that has just been connected or half-closed: after a second, or at its nearest
// timeout.
func (w *Worker) soon(s *session) int64 {
	t := &w.frontend(s).Timeouts
	wait := int64(firstTickMs)
	if t.FirstByte > 0 && s.has(isFresh) {
		wait = min(wait, s.beganMs+t.FirstByte-w.nowMs)
	}
	for _, ms := range [...]int64{t.Idle, t.HalfClose, t.Stall} {
		if ms > 0 {
			wait = min(wait, ms)
		}
	}
	return w.nowMs + max(wait, 1)
}

// timer is the one timer of a session going off. Activity does not touch timers, it only writes lastMs; the tick works
// out what is nearest and arms the timer again.
func (w *Worker) timer(slot uint32, s *session) {
	switch s.state {
	case dialling:
		w.connectFailed(slot, s, stats.FailTimeout, sys.ETIMEDOUT)
	case relaying:
		w.tick(slot, s)
	case resetting, lingering:
		w.poll(slot, s)
	}
}

// tick checks every limit of an established session.
func (w *Worker) tick(slot uint32, s *session) {
	if !s.has(optionsSet) {
		w.setOptions(s)
	}
	t := &w.frontend(s).Timeouts
	if w.rests(s, t) && w.taking(s) {
		s.lastMs = w.nowMs
	}
	next := never
	due := func(deadline int64) bool { // notes a deadline, and tells whether it has passed
		next = min(next, deadline)
		return deadline <= w.nowMs
	}
	switch {
	case t.Idle > 0 && due(s.lastMs+t.Idle+w.spread(s, t.Idle)):
		w.cut(slot, s, stats.IdleTimeout)
		return
	case t.FirstByte > 0 && s.has(isFresh) && due(s.beganMs+t.FirstByte):
		w.cut(slot, s, stats.IdleTimeout)
		return
	case t.HalfClose > 0 && s.halfClosed() && due(s.lastMs+t.HalfClose):
		w.cut(slot, s, stats.HalfCloseTimeout)
		return
	case t.Stall > 0 && due(w.stallDeadline(s, t.Stall)):
		w.cut(slot, s, stats.StallTimeout)
		return
	}
	if next != never {
		w.wheel.Arm(slot, max(next, w.nowMs+1))
	}
}

// rests tells whether no byte has come for as long as idle, or half_close, allows.
func (w *Worker) rests(s *session, t *backend.Timeouts) bool {
	quiet := w.nowMs - s.lastMs
	return t.Idle > 0 && quiet >= t.Idle || t.HalfClose > 0 && s.halfClosed() && quiet >= t.HalfClose
}

// taking tells whether a receiver has taken bytes out of our send buffer since the last look, and more are there: a slow
// reader's session does not rest, though nothing passes through our hands.
func (w *Worker) taking(s *session) bool {
	for dir := range s.half {
		unsent, errno := w.k.Unsent(int(s.fd[other(dir)]))
		if acked := uint32(s.half[dir].Bytes) - uint32(unsent); errno == 0 && unsent > 0 && acked != s.acked[dir] {
			s.acked[dir], s.sinceMs[dir] = acked, uint32(w.nowMs)
			return true
		}
	}
	return false
}

// never is a deadline that does not come.
const never = int64(1) << 62

// spread is a session's own part of a tenth of the idle timeout, so that sessions that began together do not end
// together.
func (w *Worker) spread(s *session, timeout int64) int64 {
	const golden = 0x9e3779b97f4a7c15 // Knuth's multiplicative hashing, TAOCP 6.4
	return timeout / 10 * int64(s.id*golden>>48) >> 16
}

// halfClosed tells whether exactly one direction has ended.
func (s *session) halfClosed() bool { return s.half[toBackend].Over() != s.half[toClient].Over() }

// stallDeadline looks at both directions and returns when to look again, or a time that has passed if bytes have been
// waiting for longer than the timeout without the receiver taking any. What the receiver took is what we wrote less
// what is unsent.
func (w *Worker) stallDeadline(s *session, timeout int64) int64 {
	next := w.nowMs + timeout/2 // waiting may begin at any time: look in time to see it
	for dir := range s.half {
		h := &s.half[dir]
		if h.Over() {
			continue
		}
		unsent, errno := w.k.Unsent(int(s.fd[other(dir)]))
		if errno != 0 {
			unsent = 0
		}
		acked := uint32(h.Bytes) - uint32(unsent)
		if h.Held()+unsent == 0 || acked != s.acked[dir] {
			s.acked[dir], s.sinceMs[dir] = acked, uint32(w.nowMs)
			continue
		}
		waited := int64(uint32(w.nowMs) - s.sinceMs[dir])
		next = min(next, w.nowMs+timeout-waited, w.nowMs+max(timeout/4, 1))
	}
	return next
}

// setOptions sets on the backend's socket what clients' sockets inherit from their listener.
func (w *Worker) setOptions(s *session) {
	s.marks |= optionsSet
	if !s.has(unixServer) {
		w.setOptionsOf(int(s.fd[server]), &w.frontend(s).Options)
	}
	if w.ClientOptions && !s.onUnix() {
		w.setOptionsOf(int(s.fd[client]), &w.frontend(s).Options)
	}
}

// setOptionsOf sets them on one socket. Errors are no matter: the options are a net under our own timers.
func (w *Worker) setOptionsOf(fd int, o *backend.SocketOptions) {
	if o.KeepaliveIdle > 0 {
		w.k.SetOption(fd, sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1)
		w.k.SetOption(fd, sys.IPPROTO_TCP, sys.TCP_KEEPIDLE, o.KeepaliveIdle)
		w.k.SetOption(fd, sys.IPPROTO_TCP, sys.TCP_KEEPINTVL, o.KeepaliveInterval)
		w.k.SetOption(fd, sys.IPPROTO_TCP, sys.TCP_KEEPCNT, o.KeepaliveProbes)
	}
	if o.UserTimeoutMs > 0 {
		w.k.SetOption(fd, sys.IPPROTO_TCP, sys.TCP_USER_TIMEOUT, o.UserTimeoutMs)
	}
	if o.NotSentLowat > 0 {
		w.k.SetOption(fd, sys.IPPROTO_TCP, sys.TCP_NOTSENT_LOWAT, o.NotSentLowat)
	}
}
