package load

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"golang.org/x/sys/unix"
)

// slowStream is one download from a source, level-triggered, a chunk per event.
type slowStream struct {
	session
	run        *slowRun
	count      *uint64 // of its class's bytes
	head       []byte  // what is left of the preface
	seed       uint64
	pos, total uint64
	slow       bool    // does not read on events
	allowed    float64 // bytes that a slow reader may read now
}

func (s *slowStream) begin() {
	s.pos, s.seed = 0, pattern.Seed(s.run.dialled)
	s.head = serve.Preface{Seed: s.seed, Length: s.total}.Append(nil)
	s.run.dial(&s.session, s, unix.EPOLLOUT)
}

func (s *slowStream) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	if len(s.head) > 0 {
		s.request()
		return
	}
	// An error is told even of a socket that nothing is wanted of.
	if !s.slow || events&unix.EPOLLERR != 0 {
		s.read(s.d.buf)
	}
}

// request sends the preface; then a slow reader wants nothing to be told of.
func (s *slowStream) request() {
	s.head = s.head[s.send(s.head):]
	if len(s.head) > 0 || s.fd < 0 {
		return
	}
	if s.slow {
		s.want(0)
		return
	}
	s.want(unix.EPOLLIN)
}

// resume makes a slow reader an ordinary one.
func (s *slowStream) resume() {
	s.slow = false
	if s.fd >= 0 && len(s.head) == 0 {
		s.want(unix.EPOLLIN)
	}
}

func (s *slowStream) want(events uint32) {
	if err := s.d.loop.Want(s.fd, events); err != nil {
		s.fail(err)
	}
}

// read takes one chunk into buf, which may be empty.
func (s *slowStream) read(buf []byte) {
	if len(buf) == 0 {
		return
	}
	n, errno := epoll.Recv(s.fd, buf)
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		s.fail(fmt.Errorf("receive: %w", errno))
	case n == 0 && s.pos < s.total:
		s.fail(fmt.Errorf("receive: FIN after %d bytes of %d", s.pos, s.total))
	case n == 0:
		s.ended()
	default:
		s.take(buf[:n])
	}
}

func (s *slowStream) take(got []byte) {
	at := pattern.Check(s.seed, s.pos, got)
	if at < 0 && s.pos+uint64(len(got)) > s.total {
		at = int(s.total - s.pos)
	}
	if at >= 0 {
		s.wrong(s.pos + uint64(at))
		return
	}
	s.pos += uint64(len(got))
	s.allowed -= float64(len(got))
	*s.count += uint64(len(got))
}

// ended makes room for the next fast stream; a stalled one, and any at the end of the run, has no successor.
func (s *slowStream) ended() {
	again := s.count == &s.run.moved && !s.run.stopping
	s.end()
	if again {
		s.begin()
	}
}
