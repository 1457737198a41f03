package relay

import "github.com/longsplice/longsplice/pkg/sys"

// Move relays from src to dst until it must wait, the budget is used up, or the direction is over.
// The errno is that of SourceFailed and SinkFailed.
func (m *Mover) Move(h *Half, src, dst int) (Outcome, sys.Errno) {
	start := h.Bytes
	for range maxMoves {
		if h.Held() > 0 {
			if h.flags&Writable == 0 {
				return Waiting, 0
			}
			if errno := m.flush(h, dst); errno != 0 {
				m.Drop(h)
				return SinkFailed, errno
			}
		}
		if h.flags&(Readable|Writable) != Readable|Writable { // bytes that flush left over have cleared Writable
			return Waiting, 0
		}
		if h.Bytes-start >= maxBytes {
			break
		}
		if out, errno := m.read(h, src, dst); out != again {
			return out, errno
		}
	}
	return More, 0
}

// read takes the next bytes from the source; nothing is held.
func (m *Mover) read(h *Half, src, dst int) (Outcome, sys.Errno) {
	if m.splices(h) {
		return m.fill(h, src, dst)
	}
	return m.copy(h, src, dst)
}

// splices chooses the way of the next read.
func (m *Mover) splices(h *Half) bool {
	const never = Urgent | confirm | noSplice
	return h.flags&never == 0 && (h.flags&bulk != 0 || m.Mode == Splice)
}

// flush writes what is held. It returns 0 when all is written or the sink is full (Writable is cleared then).
func (m *Mover) flush(h *Half, dst int) sys.Errno {
	switch {
	case h.urgentDue():
		return m.sendUrgent(h, dst)
	case h.pipe != 0:
		return m.flushPipe(h, dst)
	}
	return m.flushBlock(h, dst)
}

// Drop throws away what a half holds, for a sink that takes nothing any more. A pipe with bytes in it is closed,
// never reused: its bytes must not reach another session.
func (m *Mover) Drop(h *Half) {
	if h.pipe != 0 {
		m.Pipes.Discard(h.pipe)
	}
	if h.block != 0 {
		m.Blocks.Put(h.block)
	}
	h.pipe, h.block, h.held, h.off = 0, 0, 0, 0
	h.flags &^= urgentHeld | early
}

// nagleFree is how many bytes may be written once without TCP_NODELAY: one segment of the smallest usual MSS
// (RFC 9293, 3.7.1). Nagle's algorithm never delays a first, single segment.
const nagleFree = 536

// noDelay sets TCP_NODELAY on a sink before Nagle's algorithm could delay something: sessions that send once save
// the call.
func (m *Mover) noDelay(h *Half, dst, n int) {
	if h.flags&sent == 0 && n <= nagleFree {
		h.flags |= sent
		return
	}
	h.flags &^= Nagle
	m.K.SetOption(dst, sys.IPPROTO_TCP, sys.TCP_NODELAY, 1)
}
