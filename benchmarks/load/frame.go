package load

import (
	"bytes"
	"fmt"

	"github.com/gobwas/ws"
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/frame"
	"github.com/longsplice/longsplice/benchmarks/pattern"
)

// webSocket is the client's side of RFC 6455 for one session.
type webSocket struct {
	parser  frame.Parser
	request []byte // what is left of the handshake's request
	key     string
	answer  []byte // what has come of the handshake's answer; later the frames that came with it
	open    bool   // the handshake is done
	closing bool   // our close frame is out or in control
	control []byte // frames that go between messages: pongs and the close
	close   []byte // what has come of the content of the server's close frame
}

// taker is what a session does with the bytes that belong to its messages.
type taker interface {
	take(payload []byte)
	closed() // the server has answered our close frame; the session is still open
}

// closeNormal is the content of a close frame: code 1000.
var closeNormal = ws.NewCloseFrameBody(ws.StatusNormalClosure, "")

// noMask: control frames are masked with zeros, as RFC 6455 wants a mask and does not mind its value on the wire.
var noMask [4]byte

func newWebSocket(to, path string) *webSocket {
	w := &webSocket{parser: frame.Parser{State: ws.StateClientSide}}
	w.request, w.key = frame.Request(to, path)
	return w
}

// shake moves the handshake on and says whether the session may begin.
func (s *session) shake(events uint32) bool {
	w := s.web
	if len(w.request) > 0 {
		w.request = w.request[s.send(w.request):]
	}
	for s.fd >= 0 && readable(events) {
		n, errno := epoll.Recv(s.fd, s.d.buf)
		if got, more := s.received(n, errno); more {
			w.answer = append(w.answer, got...)
		}
		if s.fd < 0 || errno != 0 {
			return false
		}
		done, rest, err := frame.Check(w.answer, w.key)
		if err != nil {
			s.fail(err)
			return false
		}
		if done {
			w.open, w.answer = true, rest
			s.d.up++
			return true
		}
	}
	return false
}

// deliver hands the content of data frames to the session; without framing that is everything. It answers pings and ends
// the session at the server's close frame.
func (s *session) deliver(got []byte, to taker) {
	if s.web == nil {
		to.take(got)
		return
	}
	for len(got) > 0 && s.fd >= 0 {
		part, rest, err := s.web.parser.Next(got)
		if err != nil {
			s.fail(fmt.Errorf("receive frame: %w", err))
			return
		}
		got = rest
		switch op := s.web.parser.Header.OpCode; {
		case op.IsData():
			if len(part.Payload) > 0 {
				to.take(part.Payload)
			}
		case op == ws.OpPing:
			s.pong(part)
		case op == ws.OpClose:
			s.web.close = append(s.web.close, part.Payload...)
			if part.Last {
				s.closeCame(to, got)
				return // another session may be in this place now
			}
		}
	}
}

func (s *session) pong(part frame.Part) {
	w := s.web
	if part.First {
		w.control = frame.AppendHeader(w.control, ws.Header{Fin: true, OpCode: ws.OpPong, Masked: true, Length: w.parser.Header.Length})
	}
	w.control = append(w.control, part.Payload...)
}

// closeCame ends the session at the server's close frame. It answers ours with our code, or with none, and nothing may
// follow it.
func (s *session) closeCame(to taker, rest []byte) {
	switch content := s.web.close; {
	case !s.web.closing:
		s.fail(fmt.Errorf("receive: the server closed the WebSocket session"))
	case len(rest) > 0 || len(content) > 0 && !bytes.Equal(content, closeNormal):
		s.d.res.Wrong++
		s.d.note(fmt.Errorf("wrong bytes in a close frame or behind it"))
		s.end()
	default:
		to.closed()
	}
}

// sendControl sends what waits between messages and says whether none is left.
func (s *session) sendControl() bool {
	w := s.web
	for w != nil && len(w.control) > 0 {
		n := s.send(w.control)
		if w.control = w.control[n:]; n == 0 {
			return false
		}
	}
	return true
}

// hangUp ends the session in good order: in WebSocket by a close frame, whose answer calls closed; else at once, and
// calls it too. No message may be under way.
func (s *session) hangUp(to taker) {
	if s.web == nil {
		to.closed()
		return
	}
	s.web.closing = true
	s.web.control = frame.Append(s.web.control, ws.OpClose, &noMask, closeNormal)
	s.sendControl()
}

// framing is how messages of one size look on the wire. It owns the buffer in which frames are composed, which belongs
// to the loop: nothing stays in it between two calls.
type framing struct {
	size int // of a message
	wire int // of a message with its frame's header
	out  []byte
}

// newFraming is for messages of that size; one that is not WebSocket's goes out straight from the pattern.
func (d *driver) newFraming(size int) framing {
	f := framing{size: size, wire: size}
	if d.cfg.WebSocket {
		f.wire += ws.HeaderSize(ws.Header{Length: int64(size), Masked: true})
		f.out = make([]byte, 0, f.wire)
	}
	return f
}

// message is what is left of a stream's message number n when sent bytes of it are out.
func (f *framing) message(seed, n uint64, sent int) []byte {
	payload := pattern.At(seed, n*uint64(f.size), uint64(f.size))
	if f.wire == f.size {
		return payload[sent:]
	}
	mask := frame.Mask(seed, n)
	f.out = frame.Append(f.out[:0], ws.OpBinary, &mask, payload)
	return f.out[sent:]
}
