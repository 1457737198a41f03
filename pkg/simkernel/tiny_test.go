package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

// bug is a mistake that tiny makes on purpose.
type bug string

const (
	none         bug = ""
	blindRecv    bug = "reads without a look at the mark"
	dropByte     bug = "drops a byte of a short send"
	earlyFIN     bug = "sends FIN with bytes held"
	oneRecv      bug = "reads once per event, however much there is"
	forgetSpace  bug = "forgets what it holds when there is room again"
	crossed      bug = "sends a byte of its own"
	leak         bug = "forgets to close a descriptor"
	closeTwice   bug = "closes a descriptor twice"
	resetAtOnce  bug = "resets without waiting for what is unsent"
	trustSplice  bug = "takes a splice of 0 for the end"
	dirtyPipe    bug = "gives a pipe that holds bytes to the next session"
	resetIsFIN   bug = "makes a FIN of a RST"
	urgentInline bug = "passes the urgent byte on as an ordinary one"
)

// tiny is the smallest relay that is right: something to try the simulated kernel on. Every second session splices
// until it meets an urgent byte.
type tiny struct {
	k        *Kernel
	bug      bug
	ep, lfd  int
	sessions []*tinySession
	ev       [8]sys.Event
	spare    []sys.Pipe // empty
}

type tinyHalf struct {
	src, dst int
	held     []byte
	pipe     sys.Pipe // with piped bytes in it
	piped    int
	splices  bool
	oob      bool // the one byte held is the urgent one
	hup      bool
	ended    bool // the source gave its last byte
	over     bool
	broken   bool // a send to the source failed, and that was the only time the error is told
}

type tinySession struct {
	id        uint64
	fds       [2]int // client, backend; -1: closed
	connected bool
	dead      [2]bool // EPOLLERR was told, or EPOLLHUP where a send took the error
	resetting bool    // one side was reset: reset the other when it has got all
	h         [2]tinyHalf
}

func (x *tiny) start(k *Kernel, b bug) {
	*x = tiny{k: k, bug: b, sessions: x.sessions[:0], spare: x.spare[:0]}
	x.ep, _ = k.EpollCreate()
	x.lfd = k.Listen(sys.Addr{Port: 80})
	k.EpollAdd(x.ep, x.lfd, sys.EPOLLIN, 0)
}

// stop gives the spare pipes back.
func (x *tiny) stop() {
	for _, p := range x.spare {
		x.k.Close(p.R)
		x.k.Close(p.W)
	}
	x.spare = x.spare[:0]
}

func (x *tiny) turn() {
	n, _ := x.k.EpollWait(x.ep, x.ev[:], 0)
	for i := range x.ev[:n] {
		e := &x.ev[i]
		if e.Token() == 0 {
			x.accept()
			continue
		}
		s := x.sessions[e.Token()>>1-1]
		if side := int(e.Token() & 1); s.fds[side] >= 0 {
			x.event(s, side, e.Events)
		}
	}
	for _, s := range x.sessions {
		if s.resetting {
			x.reset(s)
		}
	}
}

var tinyTo = sys.Sockaddr{}

func (x *tiny) accept() {
	fd, _, e := x.k.Accept(x.lfd)
	if e != 0 {
		return
	}
	b, e := x.k.Socket(sys.AF_INET)
	if e != 0 {
		x.k.Close(fd)
		return
	}
	s := &tinySession{id: uint64(len(x.sessions) + 1), fds: [2]int{fd, b}}
	s.h[0] = tinyHalf{src: fd, dst: b}
	s.h[1] = tinyHalf{src: b, dst: fd}
	s.h[0].splices, s.h[1].splices = s.id%2 == 0, s.id%2 == 0
	x.sessions = append(x.sessions, s)
	if e := x.k.Connect(b, &tinyTo); e != 0 && e != sys.EINPROGRESS {
		x.fail(s)
		return
	}
	const in = sys.EPOLLIN | sys.EPOLLOUT | sys.EPOLLPRI | sys.EPOLLRDHUP | sys.EPOLLET
	x.k.EpollAdd(x.ep, fd, in, s.id<<1)
	x.k.EpollAdd(x.ep, b, in, s.id<<1|1)
}

// drop throws away what a half holds.
func (x *tiny) drop(h *tinyHalf) {
	if h.piped > 0 && x.bug == dirtyPipe {
		x.spare = append(x.spare, h.pipe)
	} else if h.piped > 0 {
		x.k.Close(h.pipe.R)
		x.k.Close(h.pipe.W)
	}
	h.held, h.piped = nil, 0
}

// fail ends a session at once, by RST.
func (x *tiny) fail(s *tinySession) {
	x.drop(&s.h[0])
	x.drop(&s.h[1])
	for i, fd := range s.fds {
		if fd >= 0 {
			x.k.Reset(fd)
			s.fds[i] = -1
		}
	}
	s.resetting = false
}

func (x *tiny) event(s *tinySession, side int, mask uint32) {
	if mask&(sys.EPOLLRDHUP|sys.EPOLLHUP|sys.EPOLLERR) != 0 {
		s.h[side].hup = true
	}
	if side == 1 && !s.connected {
		if mask&sys.EPOLLERR != 0 {
			x.fail(s)
			return
		}
		s.connected = mask&sys.EPOLLOUT != 0
		x.move(s, 0)
	}
	s.dead[side] = s.dead[side] || mask&(sys.EPOLLERR|sys.EPOLLHUP) != 0
	if mask&sys.EPOLLPRI != 0 {
		s.h[side].splices = false
	}
	if !s.connected {
		return
	}
	x.move(s, side)
	if s.dead[side] && s.fds[side] >= 0 && s.h[side].over && !s.h[1-side].over {
		x.sideFailed(s, s.fds[side]) // a RST behind the FIN: no read will tell
	}
	if x.bug != forgetSpace && s.fds[side] >= 0 {
		x.move(s, 1-side)
	}
}

// move relays one half as far as it goes.
func (x *tiny) move(s *tinySession, side int) {
	h := &s.h[side]
	for !h.over && s.fds[1-side] >= 0 {
		if h.holds() && !x.flush(s, h) {
			return
		}
		if h.ended {
			x.finish(s, h)
			return
		}
		if s.fds[side] < 0 || !x.read(s, h) {
			return
		}
	}
}

func (h *tinyHalf) holds() bool { return len(h.held) > 0 || h.piped > 0 }

// flush writes what is held; false: not all of it.
func (x *tiny) flush(s *tinySession, h *tinyHalf) bool {
	if h.piped > 0 {
		return x.flushPipe(s, h)
	}
	flags := 0
	if h.oob && x.bug != urgentInline {
		flags = sys.MSG_OOB
	}
	n, e := x.k.Send(h.dst, h.held, flags)
	if e == sys.EAGAIN {
		return false
	}
	if e != 0 {
		x.sinkFailed(s, h)
		return false
	}
	if x.bug == dropByte && n < len(h.held) {
		n++
	}
	h.held = h.held[n:]
	if len(h.held) > 0 {
		if x.bug == earlyFIN && h.hup {
			x.k.ShutdownWrite(h.dst)
		}
		return false
	}
	h.oob = false
	return true
}

func (x *tiny) flushPipe(s *tinySession, h *tinyHalf) bool {
	n, e := x.k.Splice(h.pipe.R, h.dst, h.piped)
	if e != 0 && e != sys.EAGAIN {
		x.sinkFailed(s, h)
		return false
	}
	h.piped -= n
	if h.piped == 0 {
		x.spare = append(x.spare, h.pipe)
	}
	return h.piped == 0
}

// fill splices into a pipe; false: recv must say what there is.
func (x *tiny) fill(h *tinyHalf) bool {
	if len(x.spare) == 0 {
		p, e := x.k.Pipe(8192)
		if e != 0 {
			return false
		}
		x.spare = append(x.spare, p)
	}
	p := x.spare[len(x.spare)-1]
	n, e := x.k.Splice(h.src, p.W, 1<<20)
	if e == 0 && n == 0 && x.bug == trustSplice {
		h.ended = true
		return true
	}
	if e != 0 || n == 0 {
		h.broken = h.broken || e != 0 && e != sys.EAGAIN // splice took the error
		return false
	}
	x.spare = x.spare[:len(x.spare)-1]
	h.pipe, h.piped = p, n
	return true
}

// read takes more from the source; false: there is nothing to go on with.
func (x *tiny) read(s *tinySession, h *tinyHalf) bool {
	if h.splices && x.fill(h) {
		return true
	}
	b := make([]byte, 200)
	if x.bug != blindRecv {
		if n, _ := x.k.Unread(h.src); n == 0 {
			if at, _ := x.k.AtMark(h.src); at {
				if done, more := x.readUrgent(h, b); done {
					return more
				}
			} else if !h.hup {
				return false // a recv now might begin at a mark that arrives this moment
			}
		}
	}
	n, e := x.k.Recv(h.src, b, 0)
	switch {
	case e == sys.EAGAIN:
		return false
	case e != 0:
		x.sideFailed(s, h.src)
		return false
	case n == 0 && h.broken:
		x.sideFailed(s, h.src)
		return false
	case n == 0:
		h.ended = true
		return true
	}
	h.held = b[:n]
	if x.bug == crossed && n == 3 {
		b[1]++
	}
	return x.bug != oneRecv || x.flush(s, h) && false
}

// readUrgent takes the byte at the mark; done: there is no need for an ordinary recv, and more tells about the rest.
func (x *tiny) readUrgent(h *tinyHalf, b []byte) (done, more bool) {
	n, e := x.k.Recv(h.src, b[:1], sys.MSG_OOB)
	switch {
	case e == sys.EAGAIN:
		return true, false
	case e != 0 || n == 0:
		return false, false
	}
	h.held, h.oob = b[:1], true
	return true, true
}

func (x *tiny) finish(s *tinySession, h *tinyHalf) {
	h.over = true
	x.k.ShutdownWrite(h.dst)
	if !s.h[0].over || !s.h[1].over {
		return
	}
	for i := range s.fds {
		if x.bug == leak && i == 1 {
			continue
		}
		x.k.Close(s.fds[i])
		if x.bug == closeTwice {
			x.k.Close(s.fds[i])
		}
		s.fds[i] = -1
	}
}

// sinkFailed ends a half whose sink was reset; what the sink had sent before is still to be read.
func (x *tiny) sinkFailed(s *tinySession, h *tinyHalf) {
	x.drop(h)
	h.over = true
	side := 0
	if s.fds[1] == h.dst {
		side = 1
	}
	back := &s.h[side]
	if back.over || back.ended || s.fds[1-side] < 0 {
		x.sideFailed(s, h.dst)
		return
	}
	back.broken, back.hup = true, true
	x.move(s, side)
}

// sideFailed closes the side that was reset; the other gets what is held, and then the RST.
func (x *tiny) sideFailed(s *tinySession, fd int) {
	for i := range s.fds {
		if s.fds[i] == fd {
			x.k.Reset(fd)
			s.fds[i] = -1
			s.h[1-i].over = true
			x.drop(&s.h[1-i])
			s.resetting = x.bug != resetIsFIN
			if x.bug == resetIsFIN && s.fds[1-i] >= 0 {
				x.k.Close(s.fds[1-i])
				s.fds[1-i] = -1
			}
		}
	}
}

func (x *tiny) reset(s *tinySession) {
	for i, fd := range s.fds {
		if fd < 0 {
			continue
		}
		if s.dead[i] {
			x.fail(s) // nobody is left, and SIOCOUTQ of a reset socket never shrinks
			return
		}
		h := &s.h[1-i]
		if h.holds() && !x.flush(s, h) && x.bug != resetAtOnce {
			continue
		}
		if !s.resetting || s.fds[i] < 0 {
			return
		}
		if n, _ := x.k.Unsent(fd); n == 0 || x.bug == resetAtOnce {
			x.k.Reset(fd)
			s.fds[i] = -1
			s.resetting = false
		}
	}
}
