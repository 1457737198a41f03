package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// lingerBytes is how much a half must have moved before a clean end waits for what is unsent: less than this is in the
// peer's hands or on its way for sure enough, and a system call a session is saved.
const lingerBytes = 256 << 10

// Polling of unsent bytes while closing, in ms.
const (
	pollMs       = 10
	maxPollMs    = 500
	maxWaitReset = 10_000 // a peer that takes nothing for so long gets its RST without the rest
)

// sourceEnded passes a FIN on: nothing is held, so it comes after the last byte. When the other direction had ended
// before, closing both sockets sends it.
func (w *Worker) sourceEnded(slot uint32, s *session, dir int) {
	if errno := s.broken[dir]; errno != 0 { // the send that met the error took it away; this is no end of stream
		w.sideFailed(slot, s, dir, sys.Errno(errno))
		return
	}
	s.half[dir].Set(relay.Done)
	s.lastMs = w.nowMs
	if s.reason == stats.None {
		s.reason = stats.ClientFIN + stats.Reason(dir) // the side that ended first
	}
	if s.half[other(dir)].Has(relay.Done) {
		w.endClean(slot, s, dir)
		return
	}
	w.k.ShutdownWrite(int(s.fd[other(dir)])) // a reset that is there already shows when it is read
	if w.frontend(s).Timeouts.HalfClose > 0 {
		w.wheel.Arm(slot, w.soon(s))
	}
}

// endClean closes a session whose directions have both ended; last is the one that ended now. Descriptors stay open
// while much may be unsent: the kernel gives up on the output of sockets that nobody owns when it has too many.
func (w *Worker) endClean(slot uint32, s *session, last int) {
	if !w.unsent(s) {
		w.finish(slot, s)
		return
	}
	w.k.ShutdownWrite(int(s.fd[other(last)]))
	s.state = lingering
	w.startPolling(slot, s)
}

// unsent tells whether a half that moved much has bytes on their way.
func (w *Worker) unsent(s *session) bool {
	for dir := range s.half {
		if s.half[dir].Bytes > lingerBytes {
			if n, errno := w.k.Unsent(int(s.fd[other(dir)])); errno == 0 && n > 0 {
				return true
			}
		}
	}
	return false
}

// sinkFailed: a write met an error. What the other side still sends to the dead one is dropped; but what the dead side
// sent before is read and passed on first.
func (w *Worker) sinkFailed(slot uint32, s *session, dir int, errno sys.Errno) {
	side := other(dir)
	s.half[dir].Set(relay.Done)
	if s.half[side].Has(relay.Done) {
		w.sideFailed(slot, s, side, errno)
		return
	}
	w.sourceBroken(slot, s, side, errno)
}

// sourceBroken: a connection is known to be dead, but bytes that came before may still be read from it. The end that
// follows them is no FIN.
func (w *Worker) sourceBroken(slot uint32, s *session, side int, errno sys.Errno) {
	s.broken[side] = uint16(errno)
	s.half[side].Set(relay.Readable | relay.Hangup | relay.Urgent) // its event, with what it says of urgent bytes, is still to come
	w.move(slot, s, side)
}

// sideFailed: one connection is dead and everything that came from it has been passed on. The other side gets a RST,
// since a cut stream must not look complete, but after its last byte.
func (w *Worker) sideFailed(slot uint32, s *session, side int, errno sys.Errno) {
	s.errno = uint16(errno)
	s.reason = w.failReason(s, side, errno)
	w.mover.Drop(&s.half[other(side)])
	s.half[client].Set(relay.Done)
	s.half[server].Set(relay.Done)
	w.keepSource(slot, s, side)
	w.hangUp(s, side)
	s.state = resetting
	s.marks |= reset
	if s.broken[other(side)] != 0 || w.leftUnsent(s) == 0 {
		w.finish(slot, s)
		return
	}
	w.startPolling(slot, s)
}

// keepSource remembers our end of a backend's connection that is closed before its session is logged.
func (w *Worker) keepSource(slot uint32, s *session, side int) {
	if w.Log == nil || side != server {
		return
	}
	if a, errno := w.k.LocalAddr(int(s.fd[server])); errno == 0 {
		w.sources[slot] = a
	}
}

// failReason sorts the errno of a dead connection.
func (w *Worker) failReason(s *session, side int, errno sys.Errno) stats.Reason {
	pair := func(r stats.Reason) stats.Reason { return r + stats.Reason(side) } // client's, backend's
	switch errno {
	case sys.ECONNRESET, sys.EPIPE:
		return pair(stats.ClientReset)
	case sys.ENOMEM, sys.ENOBUFS:
		return stats.NoMemory
	}
	// ETIMEDOUT of keepalive or TCP_USER_TIMEOUT, or what routers said meanwhile. With bytes waiting it is a stall.
	if s.half[other(side)].Held() > 0 {
		return stats.StallTimeout
	}
	if n, e := w.k.Unsent(int(s.fd[side])); e == 0 && n > 0 {
		return stats.StallTimeout
	}
	return pair(stats.ClientGone)
}

// startPolling waits for the peers to take what is unsent.
func (w *Worker) startPolling(slot uint32, s *session) {
	s.pollLog, s.lastMs = 0, w.nowMs
	s.acked[0] = w.leftUnsent(s)
	w.wheel.Arm(slot, w.nowMs+pollMs)
}

// poll looks again at what is unsent. It waits for as long as that shrinks.
func (w *Worker) poll(slot uint32, s *session) {
	left := w.leftUnsent(s)
	switch {
	case left == 0:
		w.finish(slot, s)
		return
	case left < s.acked[0]:
		s.acked[0], s.lastMs = left, w.nowMs
	case w.nowMs-s.lastMs >= w.patience(s):
		if s.state == lingering {
			s.reason = stats.StallTimeout
		}
		s.marks |= reset // the rest is lost: say so
		w.finish(slot, s)
		return
	}
	every := min(int64(pollMs)<<s.pollLog, maxPollMs)
	if every < maxPollMs {
		s.pollLog++
	}
	w.wheel.Arm(slot, w.nowMs+every)
}

// patience is how long a peer may take nothing while its session closes.
func (w *Worker) patience(s *session) int64 {
	t := w.frontend(s).Timeouts.Stall
	if t == 0 {
		t = 1 << 62
	}
	if s.state == resetting {
		t = min(t, maxWaitReset)
	}
	return t
}

// leftUnsent is the sum over the sockets that are still open and connected: what a dead one had to send stays unsent.
func (w *Worker) leftUnsent(s *session) uint32 {
	var left uint32
	for _, fd := range s.fd {
		if fd < 0 {
			continue
		}
		n, errno := w.k.Unsent(int(fd))
		if errno != 0 || n == 0 {
			continue
		}
		if info, errno := w.k.TCPInfo(int(fd)); errno == 0 && info.State == sys.TCP_CLOSE {
			continue
		}
		left += uint32(n)
	}
	return left
}

// closeEvent is an event while closing: only the death of a connection matters.
func (w *Worker) closeEvent(slot uint32, s *session, side int, events uint32) {
	if events&sys.EPOLLERR == 0 || s.fd[side] < 0 {
		return
	}
	if s.state == lingering {
		s.reason = stats.ClientReset + stats.Reason(side)
		s.marks |= reset
	}
	w.finish(slot, s)
}

// cut ends a session for a reason of ours: RST to both sides, since the stream is not complete.
func (w *Worker) cut(slot uint32, s *session, reason stats.Reason) {
	w.endDial(s)
	s.reason = reason
	s.marks |= reset
	w.finish(slot, s)
}

// finish marks a session as ended and counts the reason; nothing else does. The descriptors are closed by bury.
func (w *Worker) finish(slot uint32, s *session) {
	s.state = dead
	w.wheel.Disarm(slot)
	w.fresh.remove(&w.slots, s)
	w.mover.Drop(&s.half[toBackend])
	w.mover.Drop(&s.half[toClient])
	row := w.sheet.Row(stats.Frontend, int(s.frontend))
	row.Add(stats.EndedBase+int(s.reason), 1)
	row.Observe(stats.DurationBase, stats.DurationBounds[:], float64(w.nowMs-s.beganMs)/1000)
	if s.half[toBackend].Bytes+s.half[toClient].Bytes == 0 {
		row.Add(stats.ZeroByte, 1)
	}
	if s.backend != backend.NoBackend {
		w.sheet.Row(stats.Backend, int(s.backend)).Add(stats.CauseBase+int(s.reason.Cause()), 1)
	}
	w.dead = append(w.dead, slot)
}

// bury closes the descriptors of the sessions that ended in this batch and frees their slots: after the batch, so that
// no event still in it can meet a new owner of either.
func (w *Worker) bury() {
	for _, slot := range w.dead {
		s := w.slots.at(slot)
		if w.Log != nil {
			w.log(slot, s, false)
			delete(w.sources, slot)
		}
		w.hangUp(s, client)
		w.hangUp(s, server)
		w.unpick(s)
		w.leave(w.frontend(s), s.peer)
		w.slots.give(slot)
		w.freed = true
	}
	w.dead = w.dead[:0]
}

// hangUp closes one side, if it is open.
func (w *Worker) hangUp(s *session, side int) {
	fd := int(s.fd[side])
	if fd < 0 {
		return
	}
	s.fd[side] = -1
	if s.has(reset) {
		w.k.Reset(fd)
	} else {
		w.k.Close(fd)
	}
}

// endAll cuts every session there is.
func (w *Worker) endAll(reason stats.Reason) {
	for slot := range w.slots.used {
		if s := w.slots.at(slot); s.state != free && s.state != dead {
			w.cut(slot, s, reason)
		}
	}
}
