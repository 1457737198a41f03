package load

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"golang.org/x/sys/unix"
)

// twoWay sends a stream and receives another one of the same length at once, then the sink's verdict, then FIN. It is
// level-triggered and moves one chunk each way per event.
type twoWay struct {
	bulkStream        // pos is what was received
	sent       uint64 // of our stream
	verdict    []byte
}

func (s *twoWay) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	if len(s.head) > 0 {
		if s.opened() {
			s.want(unix.EPOLLIN | unix.EPOLLOUT)
		}
		return
	}
	if readable(events) {
		s.receive()
	}
	if s.fd >= 0 && s.sent < s.run.each {
		s.upload()
	}
}

func (s *twoWay) upload() {
	n := uint64(s.send(pattern.At(s.seed, s.sent, s.run.each-s.sent)))
	s.sent += n
	s.run.moved += n
	if s.sent == s.run.each && s.fd >= 0 {
		s.want(unix.EPOLLIN)
	}
}

func (s *twoWay) receive() {
	n, errno := epoll.Recv(s.fd, s.d.buf)
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		s.fail(fmt.Errorf("receive: %w", errno))
	case n == 0:
		s.ended()
	default:
		s.take(s.d.buf[:n])
	}
}

// take compares the stream's part with the pattern; what is behind it is the verdict.
func (s *twoWay) take(got []byte) {
	body := got[:min(uint64(len(got)), s.run.each-s.pos)]
	if len(body) > 0 {
		if at := pattern.Check(serve.BackSeed(s.seed), s.pos, body); at >= 0 {
			s.wrong(s.pos + uint64(at))
			return
		}
		s.pos += uint64(len(body))
		s.run.moved += uint64(len(body))
	}
	if s.verdict = append(s.verdict, got[len(body):]...); len(s.verdict) > serve.VerdictBytes {
		s.wrong(s.pos + serve.VerdictBytes)
	}
}

// ended judges the whole session at the server's FIN.
func (s *twoWay) ended() {
	if s.pos < s.run.each || len(s.verdict) < serve.VerdictBytes {
		s.fail(fmt.Errorf("receive: FIN after %d bytes of %d and %d of the verdict", s.pos, s.run.each, len(s.verdict)))
		return
	}
	v := serve.ParseVerdict(s.verdict)
	switch {
	case v.FirstWrong != serve.NoneWrong:
		s.wrong(v.FirstWrong)
	case v.Received != s.run.each || s.sent != s.run.each:
		s.fail(fmt.Errorf("the sink received %d bytes of %d", v.Received, s.run.each))
	default:
		s.d.res.Bytes += 2 * s.run.each
		s.end()
	}
}
