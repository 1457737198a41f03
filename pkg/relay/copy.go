package relay

import "github.com/longsplice/longsplice/pkg/sys"

// copy moves one block's worth by recv and send. A recv that did not fill the block has drained the source: the
// turn ends without asking again, since the next bytes make a new edge, and a needless recv might start at an
// urgent mark and swallow the byte. Only after a hang-up, which makes no further edge, it reads on.
func (m *Mover) copy(h *Half, src, dst int) (Outcome, sys.Errno) {
	if h.flags&(Urgent|confirm|Unsure) != 0 {
		if out, errno := m.beforeRecv(h, src); out != again || h.urgentDue() {
			return out, errno
		}
	}
	buf := m.Blocks.Spare()
	if buf == nil {
		return Starved, 0
	}
	n, errno := m.K.Recv(src, buf, 0)
	switch {
	case errno == sys.EAGAIN:
		m.drained(h)
		return Waiting, 0
	case h.flags&early != 0 && n == 0: // an end, and the mark was not met: the byte goes now
		h.flags &^= early
		return again, 0
	case errno != 0:
		return SourceFailed, errno
	case n == 0:
		h.flags = h.flags&^Readable | Ended
		return SourceEnded, 0
	}
	h.flags &^= confirm | Unsure
	switch {
	case n == len(buf):
		h.flags |= Unsure
		if m.Mode != Copy {
			h.flags |= bulk
		}
	case h.flags&Urgent != 0:
		h.flags |= Unsure // the mark may be why it was short
	case h.flags&Hangup == 0:
		h.flags &^= Readable
	}
	return m.sendFresh(h, dst, buf[:n])
}

// sendFresh writes what was just read; what the sink does not take stays in the block, which becomes the half's.
func (m *Mover) sendFresh(h *Half, dst int, p []byte) (Outcome, sys.Errno) {
	if h.flags&Nagle != 0 {
		m.noDelay(h, dst, len(p))
	}
	n, errno := m.K.Send(dst, p, 0)
	if errno != 0 && errno != sys.EAGAIN {
		return SinkFailed, errno
	}
	if errno == 0 {
		h.Bytes += uint64(n)
		m.Copied += uint64(n)
	} else {
		n = 0
		h.flags &^= Writable
	}
	if n < len(p) {
		h.block = m.Blocks.TakeSpare()
		h.off, h.held = uint32(n), uint32(len(p)-n)
	}
	return again, 0
}

// flushBlock writes the bytes of the half's block, and gives it back when it is empty.
func (m *Mover) flushBlock(h *Half, dst int) sys.Errno {
	for h.held > 0 {
		p := m.Blocks.Bytes(h.block)[h.off : h.off+h.held]
		if h.flags&Nagle != 0 {
			m.noDelay(h, dst, len(p))
		}
		n, errno := m.K.Send(dst, p, 0)
		if errno == sys.EAGAIN {
			h.flags &^= Writable
			return 0
		}
		if errno != 0 {
			return errno
		}
		h.off += uint32(n)
		h.held -= uint32(n)
		h.Bytes += uint64(n)
		m.Copied += uint64(n)
	}
	m.Blocks.Put(h.block)
	h.block, h.off = 0, 0
	return 0
}

// drained notes that the source is empty, and ends bulk mode when it has become quiet: two wake-ups in a row
// that brought less than a splice is worth.
func (m *Mover) drained(h *Half) {
	const worthSplicing, quietEnough = 16 << 10, 2
	h.flags &^= Readable | Unsure | confirm
	if h.run >= worthSplicing {
		h.quiet = 0
	} else if h.quiet++; h.quiet >= quietEnough {
		h.flags &^= bulk
		h.quiet = 0
	}
	h.run = 0
}
