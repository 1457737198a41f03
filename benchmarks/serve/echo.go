package serve

import (
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"golang.org/x/sys/unix"
)

// echo sends back what it receives. It owns memory only while its peer does not read: what a send left over.
type echo struct {
	s     *Server
	fd    int
	held  []byte
	ended bool // the peer's FIN has been read
}

func (e *echo) Ready(events uint32) {
	if !e.flush() {
		return
	}
	for !e.ended {
		n, errno := epoll.Recv(e.fd, e.s.buf)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 {
			e.s.loop.Drop(e.fd)
			return
		}
		e.ended = n == 0
		e.held = e.s.buf[:n]
		if !e.flush() {
			return
		}
		if n < len(e.s.buf) && events&epoll.Hangup == 0 {
			return // drained: what comes later is a new edge
		}
	}
	e.s.loop.Drop(e.fd)
}

// flush sends what is held and says whether all of it went. What stays is copied out of the shared buffer.
func (e *echo) flush() bool {
	for len(e.held) > 0 {
		n, errno := epoll.Send(e.fd, e.held)
		if errno == unix.EAGAIN {
			e.held = append([]byte(nil), e.held...)
			return false
		}
		if errno != 0 {
			e.s.loop.Drop(e.fd)
			return false
		}
		e.held = e.held[n:]
	}
	e.held = nil
	return true
}
