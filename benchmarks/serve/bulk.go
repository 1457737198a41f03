package serve

import (
	"encoding/binary"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"golang.org/x/sys/unix"
)

// bulk is what sink and source share: the preface and the position in the stream.
type bulk struct {
	s     *Server
	fd    int
	head  [PrefaceBytes]byte
	have  int // bytes of head
	seed  uint64
	total uint64
	pos   uint64
}

// preface reads the session's opening, which may come in pieces, and says whether it is complete.
func (b *bulk) preface() bool {
	n, errno := epoll.Recv(b.fd, b.head[b.have:])
	if b.ended(n, errno) {
		return false
	}
	if b.have += n; b.have < PrefaceBytes {
		return false
	}
	b.seed = binary.BigEndian.Uint64(b.head[:])
	b.total = binary.BigEndian.Uint64(b.head[8:])
	return true
}

// ended drops the session at the peer's FIN or an error, and says so.
func (b *bulk) ended(n int, errno unix.Errno) bool {
	if errno == unix.EAGAIN || errno == 0 && n > 0 {
		return false
	}
	b.s.loop.Drop(b.fd)
	return true
}

// source sends the pattern and ends with FIN; it waits for the client's end before it closes.
type source struct{ bulk }

func (c *source) Ready(uint32) {
	switch {
	case c.have < PrefaceBytes:
		if c.preface() {
			_ = c.s.loop.Want(c.fd, unix.EPOLLOUT)
		}
	case c.pos < c.total:
		c.send()
	default:
		n, errno := epoll.Recv(c.fd, c.head[:])
		c.ended(n, errno)
	}
}

// send moves one chunk; after the last byte only the client's end is of interest.
func (c *source) send() {
	n, errno := epoll.Send(c.fd, pattern.At(c.seed, c.pos, c.total-c.pos))
	if c.ended(n, errno) {
		return
	}
	if c.pos += uint64(n); c.pos == c.total {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR) // fails only after a reset, which the next recv reports
		_ = c.s.loop.Want(c.fd, unix.EPOLLIN)
	}
}

// sink checks the stream and answers; it remembers the first wrong byte and reads on.
type sink struct {
	bulk
	firstWrong uint64
}

func (c *sink) Ready(uint32) {
	if c.have < PrefaceBytes {
		c.preface()
		return
	}
	n, errno := epoll.Recv(c.fd, c.s.buf)
	if !c.ended(n, errno) {
		c.take(c.s.buf[:n])
	}
}

// take checks what came; with the last byte it sends the verdict, which fits any send buffer that holds nothing else.
func (c *sink) take(got []byte) {
	if c.check(got) {
		epoll.Send(c.fd, c.verdict())
	}
}

// check compares what came and says whether the last byte is in it.
func (c *sink) check(got []byte) (complete bool) {
	if at := pattern.Check(c.seed, c.pos, got); at >= 0 && c.firstWrong == NoneWrong {
		c.firstWrong = c.pos + uint64(at)
	}
	before := c.pos
	c.pos += uint64(len(got))
	return before < c.total && c.pos >= c.total
}

func (c *sink) verdict() []byte { return Verdict{c.pos, c.firstWrong}.append(nil) }

// BackSeed is the seed of the direction from the server in mode Both: bytes that come back to their sender are wrong ones.
func BackSeed(seed uint64) uint64 { return seed + pattern.Period/2 }

// both receives and sends at once, a chunk each per turn.
type both struct {
	sink
	sent uint64
	last []byte // what is left of the verdict, once every byte is in
}

func (c *both) Ready(events uint32) {
	if c.have < PrefaceBytes {
		if c.preface() {
			c.want()
		}
		return
	}
	if events&(unix.EPOLLIN|epoll.Hangup) != 0 {
		n, errno := epoll.Recv(c.fd, c.s.buf)
		if c.ended(n, errno) {
			return
		}
		if c.check(c.s.buf[:n]) {
			c.last = c.verdict()
			c.want()
		}
	}
	if events&unix.EPOLLOUT != 0 {
		c.send()
	}
}

// want waits for room as long as there is something to send.
func (c *both) want() {
	events := uint32(unix.EPOLLIN)
	if c.sent < c.total || len(c.last) > 0 {
		events |= unix.EPOLLOUT
	}
	_ = c.s.loop.Want(c.fd, events)
}

// send moves one chunk of the stream, then the verdict, then FIN.
func (c *both) send() {
	p := c.last
	if c.sent < c.total {
		p = pattern.At(BackSeed(c.seed), c.sent, c.total-c.sent)
	}
	if len(p) == 0 {
		return
	}
	n, errno := epoll.Send(c.fd, p)
	if c.ended(n, errno) {
		return
	}
	if c.sent < c.total {
		c.sent += uint64(n)
	} else if c.last = c.last[n:]; len(c.last) == 0 {
		_ = unix.Shutdown(c.fd, unix.SHUT_WR) // fails only after a reset, which the next recv reports
	}
	if c.sent == c.total {
		c.want()
	}
}
