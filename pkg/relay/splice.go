package relay

import "github.com/longsplice/longsplice/pkg/sys"

// fill moves what the source has into an empty pipe, zero-copy. Without a pipe (limit, descriptors, the user's
// quota) this read is a copy.
func (m *Mover) fill(h *Half, src, dst int) (Outcome, sys.Errno) {
	pipe := m.Pipes.Get()
	if pipe == 0 {
		return m.copy(h, src, dst)
	}
	n, errno := m.K.Splice(src, m.Pipes.At(pipe).W, m.Pipes.size)
	if n > 0 && errno == 0 {
		h.pipe, h.held = pipe, uint32(n)
		h.flags |= Unsure
		h.run += min(uint32(n), 1<<30-min(h.run, 1<<30))
		return again, 0
	}
	m.Pipes.Put(pipe) // nothing went in
	switch errno {
	case 0:
		// The end, or an urgent byte with the end behind it: only recv knows.
		h.flags |= confirm
		return again, 0
	case sys.EAGAIN:
		if h.flags&Hangup != 0 {
			h.flags |= confirm // no edge will tell when the mark, if it is one, is passed
			return again, 0
		}
		m.drained(h)
		return Waiting, 0
	case sys.EINVAL, sys.ENOSYS, sys.EOPNOTSUPP, sys.EPERM:
		h.flags |= noSplice // kTLS, a sandboxed kernel: copying works
		h.flags &^= bulk
		return again, 0
	}
	// At an urgent mark splice reports, and takes away, a reset with bytes still queued behind it.
	h.flags |= confirm
	return SourceBroken, errno
}

// flushPipe moves the pipe's bytes to the sink, and gives the pipe back the moment it is empty.
func (m *Mover) flushPipe(h *Half, dst int) sys.Errno {
	if h.flags&Nagle != 0 {
		m.noDelay(h, dst, int(h.held))
	}
	for h.held > 0 {
		n, errno := m.K.Splice(m.Pipes.At(h.pipe).R, dst, int(h.held))
		if errno == sys.EAGAIN {
			h.flags &^= Writable
			return 0
		}
		if errno != 0 {
			return errno
		}
		if n == 0 {
			return sys.EIO // a pipe that holds bytes has no end of file
		}
		h.held -= uint32(n)
		h.Bytes += uint64(n)
		m.Spliced += uint64(n)
	}
	m.Pipes.Put(h.pipe)
	h.pipe = 0
	return 0
}
