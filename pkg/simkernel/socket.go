package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

type state uint8

const (
	unconnected state = iota // TCP_CLOSE, never connected
	synSent
	established // and every later state up to the last FIN's acknowledgement
	done        // TCP_CLOSE, or TIME_WAIT
)

// Bits of sk_shutdown.
const (
	rcvShutdown = 1 << iota
	sendShutdown
	bothShutdown = rcvShutdown | sendShutdown
)

// socket is one end of a connection, the worker's or a peer's.
type socket struct {
	fd       int // -1: not accepted yet, closed, or a peer's
	conn     *conn
	in, out  *stream
	family   int
	state    state
	shutdown uint8
	eof      bool // SOCK_DONE: a FIN arrived
	err      sys.Errno
	noSpace  bool // SOCK_NOSPACE: somebody waits for room
	orphan   bool // its owner closed it
	probes   uint8
	stale    int // SIOCOUTQ of a reset socket: write_seq and snd_una stay as they were
	local    sys.Addr
	bound    bool
}

// takeError is sock_error: the pending error is told once.
func (s *socket) takeError() sys.Errno {
	e := s.err
	s.err = 0
	return e
}

// ended is what tcp_recvmsg_locked and tcp_splice_read answer when there is nothing to move: a FIN comes
// before the pending error and does not consume it.
func (s *socket) ended() sys.Errno {
	switch {
	case s.eof:
		return 0
	case s.err != 0:
		return s.takeError()
	case s.shutdown&rcvShutdown != 0:
		return 0
	case s.state == unconnected || s.state == done:
		return sys.ENOTCONN
	}
	return sys.EAGAIN
}

// recv is tcp_recvmsg_locked without flags. A call that starts at the mark passes over the urgent byte; one
// that starts before it stops there.
func (s *socket) recv(p []byte) (n int, errno sys.Errno) {
	d := s.in
	if d.atMark() && d.queued() > 0 && len(p) > 0 {
		if d.urg != urgentRead {
			d.hole()
			if s.state != done || s.eof { // else recvUrgent says ENOTCONN: there is no way to read it
				d.lost++
			}
		}
		d.advance(1)
	}
	n = min(len(p), d.readable())
	if n == 0 {
		return 0, s.ended()
	}
	copy(p, d.peek(n))
	d.advance(n)
	return n, 0
}

// look is tcp_recvmsg_locked with MSG_PEEK: it sees what recv would return, moves nothing, but takes an error away.
func (s *socket) look(p []byte) (n int, errno sys.Errno) {
	d := s.in
	skip, n := 0, d.readable()
	if d.atMark() && d.queued() > 0 {
		skip, n = 1, d.queued()-1
	}
	if n = min(len(p), n); n == 0 {
		return 0, s.ended()
	}
	copy(p, d.peek(skip + n)[skip:])
	return n, 0
}

// recvUrgent is tcp_recv_urg. ENOTCONN after a RST, even with the byte there: the kernel looks at the state first.
func (s *socket) recvUrgent(p []byte) (n int, errno sys.Errno) {
	if s.in.urg == noUrgent || s.in.urg == urgentRead {
		return 0, sys.EINVAL
	}
	if s.state == done && !s.eof {
		return 0, sys.ENOTCONN
	}
	if s.in.urg == waiting {
		s.in.urg = urgentRead
		return copy(p[:min(1, len(p))], []byte{s.in.urgByte}), 0
	}
	if s.state == done || s.shutdown&rcvShutdown != 0 {
		return 0, 0
	}
	return 0, sys.EAGAIN
}

// send is tcp_sendmsg_locked: what does not fit sets SOCK_NOSPACE. limit is the most that memory allows.
func (s *socket) send(p []byte, flags, limit int) (n int, errno sys.Errno) {
	if s.state == synSent {
		if s.err != 0 {
			return 0, s.takeError()
		}
		return 0, sys.EAGAIN
	}
	if s.state != established || s.err != 0 || s.shutdown&sendShutdown != 0 {
		if s.err != 0 {
			return 0, s.takeError()
		}
		return 0, sys.EPIPE
	}
	n = min(len(p), s.out.room(), limit)
	if n < len(p) {
		s.noSpace = true
	}
	if n == 0 && len(p) > 0 {
		return 0, sys.EAGAIN
	}
	s.out.append(p[:n])
	if flags&sys.MSG_OOB != 0 && n > 0 {
		s.out.up = s.out.write // tcp_mark_urg
	}
	return n, 0
}

// unread is tcp_inq (FIONREAD): 0 at the mark, even after MSG_OOB took the byte.
func (s *socket) unread() int {
	if s.state == synSent {
		return 0
	}
	return s.in.readable()
}

// unsent is SIOCOUTQ: the FIN counts as one byte until it is acknowledged.
func (s *socket) unsent() int {
	switch {
	case s.state == synSent:
		return 0
	case s.stale > 0:
		return s.stale
	}
	n := s.out.unsent()
	if s.out.fin && !s.out.finSeen {
		n++
	}
	return n
}

// poll is tcp_poll. Finding no room to write sets SOCK_NOSPACE, as there: from then on an edge is due.
func (s *socket) poll() (mask uint32) {
	if s.shutdown == bothShutdown || s.state == done || s.state == unconnected {
		mask |= sys.EPOLLHUP
	}
	if s.shutdown&rcvShutdown != 0 {
		mask |= sys.EPOLLIN | sys.EPOLLRDHUP
	}
	if s.state != synSent {
		mask |= s.pollStream()
	}
	if s.err != 0 {
		mask |= sys.EPOLLERR
	}
	return mask
}

func (s *socket) pollStream() (mask uint32) {
	target := 1
	if s.in.atMark() {
		target = 2 // a lone urgent byte is not input
	}
	if s.in.queued() >= target {
		mask |= sys.EPOLLIN
	}
	if s.in.urg == waiting {
		mask |= sys.EPOLLPRI
	}
	if s.shutdown&sendShutdown != 0 || s.out.writable() {
		mask |= sys.EPOLLOUT
	} else {
		s.noSpace = true
	}
	return mask
}
