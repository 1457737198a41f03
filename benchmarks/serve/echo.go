package serve

import (
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"golang.org/x/sys/unix"
)

// echo sends back what it receives. It owns memory only while its peer does not read: what a send left over.
type echo struct {
	s     *Server
	fd    int
	web   *conversation // nil: bytes go back as they came
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
		if e.web != nil {
			e.held = e.web.reply(e.held)
		}
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
	if e.web != nil && e.web.over {
		return e.closed()
	}
	return true
}

// closed ends a WebSocket session's own direction once, behind the last frame; the peer's end is still read.
func (e *echo) closed() bool {
	if e.web.failed {
		e.s.loop.Drop(e.fd)
		return false
	}
	_ = unix.Shutdown(e.fd, unix.SHUT_WR) // fails only after a reset, which the next recv reports
	return true
}
