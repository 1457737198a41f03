package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

const (
	pageSize     = 4096
	defaultSlots = 16 // PIPE_DEF_BUFFERS
	minSlots     = 2  // PIPE_MIN_DEF_BUFFERS, beyond fs.pipe-user-pages-soft
)

// pipe holds bytes in slots (struct pipe_buffer), each a piece of one received segment: it is full when its
// slots are used, however few bytes they hold.
type pipe struct {
	buf    []byte
	head   int
	slots  []int // bytes in each slot, oldest first, from slotHd on
	slotHd int
	max    int // slots
	reader bool
	writer bool
}

func (p *pipe) held() int { return len(p.buf) - p.head }
func (p *pipe) free() int { return p.max - (len(p.slots) - p.slotHd) }

// put fills one slot.
func (p *pipe) put(b []byte) {
	p.buf = append(p.buf, b...)
	p.slots = append(p.slots, len(b))
}

// take consumes n bytes; a slot is free once its last byte is gone.
func (p *pipe) take(n int) {
	p.head += n
	for n > 0 {
		m := min(n, p.slots[p.slotHd])
		p.slots[p.slotHd] -= m
		n -= m
		if p.slots[p.slotHd] == 0 {
			p.slotHd++
		}
	}
	if p.head == len(p.buf) {
		p.buf, p.head, p.slots, p.slotHd = p.buf[:0], 0, p.slots[:0], 0
	}
}

// Pipe implements sys.Kernel: pipe2, then F_SETPIPE_SZ, which grows a pipe only within the quota (fs/pipe.c).
func (k *Kernel) Pipe(size int) (sys.Pipe, sys.Errno) {
	if k.fault(k.Faults.PipeEMFILE) || k.open+2 > k.FDLimit-firstFD {
		k.note("pipe", -1, size, -1, sys.EMFILE)
		return sys.Pipe{}, sys.EMFILE
	}
	p := k.newPipe()
	p.max = defaultSlots
	if k.slots+p.max > k.PipePages {
		p.max = minSlots
	}
	slots := 1
	for slots*pageSize < size {
		slots *= 2
	}
	if slots <= p.max || k.slots+slots <= k.PipePages {
		p.max = slots
	}
	k.slots += p.max
	r := k.alloc(file{kind: isPipeR, pipe: p})
	w := k.alloc(file{kind: isPipeW, pipe: p})
	k.note("pipe", r, size, w, 0)
	return sys.Pipe{R: r, W: w, Size: p.max * pageSize}, 0
}

func (k *Kernel) newPipe() *pipe {
	if k.npipes == len(k.pipes) {
		k.pipes = append(k.pipes, &pipe{})
	}
	p := k.pipes[k.npipes]
	k.npipes++
	*p = pipe{buf: p.buf[:0], slots: p.slots[:0], reader: true, writer: true}
	return p
}

// freePipe returns the pages of a pipe when both ends are closed, and with them what it holds.
func (k *Kernel) freePipe(p *pipe) {
	if !p.reader && !p.writer {
		k.slots -= p.max
		p.buf, p.head = p.buf[:0], 0
	}
}

// Splice implements sys.Kernel.
func (k *Kernel) Splice(from, to, n int) (moved int, errno sys.Errno) {
	in, out := k.get(from, "splice"), k.get(to, "splice")
	switch {
	case in == nil || out == nil:
		return 0, sys.EBADF
	case n == 0:
	case in.kind == isSocket && out.kind == isPipeW:
		moved, errno = in.sock.spliceRead(out.pipe, n)
		k.note("splice_in", from, n, moved, errno)
		k.after(in.sock)
	case in.kind == isPipeR && out.kind == isSocket:
		moved, errno = k.spliceWrite(in.pipe, out.sock, n)
		k.note("splice_out", to, n, moved, errno)
		k.after(out.sock)
	default:
		errno = sys.EINVAL
	}
	return moved, errno
}

// spliceRead is do_splice and tcp_splice_read. A full pipe is EAGAIN before the socket is looked at. It stops
// at the urgent mark, where it says what an empty socket says: EAGAIN, 0 behind a FIN, the pending error (which
// it consumes) behind a RST, whatever there is still to read.
func (s *socket) spliceRead(p *pipe, n int) (moved int, errno sys.Errno) {
	if !p.reader {
		return 0, sys.EPIPE
	}
	if p.free() == 0 {
		return 0, sys.EAGAIN
	}
	n = min(n, p.free()*pageSize, s.in.readable())
	if n == 0 {
		return 0, s.ended()
	}
	for moved < n && p.free() > 0 {
		m := min(n-moved, int(s.in.segs[s.in.segHd]-s.in.copied), s.in.frag)
		p.put(s.in.peek(m))
		s.in.advance(m)
		moved += m
	}
	return moved, 0
}

// spliceWrite is splice_to_socket: what the socket does not take stays in the pipe.
func (k *Kernel) spliceWrite(p *pipe, s *socket, n int) (moved int, errno sys.Errno) {
	if p.held() == 0 {
		if !p.writer {
			return 0, 0
		}
		return 0, sys.EAGAIN
	}
	n = min(n, p.held())
	moved, errno = k.sendOn(s, p.buf[p.head:p.head+n], 0)
	p.take(moved)
	return moved, errno
}
