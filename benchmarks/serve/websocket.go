package serve

import (
	"github.com/gobwas/ws"
	"github.com/longsplice/longsplice/benchmarks/frame"
)

// conversation is the WebSocket side of a session. Every frame has an answer of the same length: data comes back as it is,
// a ping as a pong, a close as a close. So a frame goes back piece by piece as it comes, however long it is.
type conversation struct {
	s      *Server
	parser frame.Parser
	hello  []byte // the request as far as it has come; nil once it was answered
	open   bool   // the handshake is done
	over   bool   // a close frame was answered, or the peer broke the rules: nothing is sent any more
	failed bool   // the peer broke the rules
}

// conversation returns nil for sessions without framing.
func (s *Server) conversation() *conversation {
	if !s.WebSocket {
		return nil
	}
	return &conversation{s: s, parser: frame.Parser{State: ws.StateServerSide}}
}

// reply returns what is to be sent for got, in the server's shared buffer; got loses its masks.
func (c *conversation) reply(got []byte) []byte {
	out := c.s.out[:0]
	if !c.open {
		out, got = c.shake(out, got)
	}
	for len(got) > 0 && !c.over {
		part, rest, err := c.parser.Next(got)
		if err != nil {
			c.over, c.failed = true, true
			break
		}
		got, out = rest, c.mirror(out, part)
	}
	return out
}

// shake answers the handshake when it is complete, and returns the bytes behind it.
func (c *conversation) shake(out, got []byte) (sent, rest []byte) {
	c.hello = append(c.hello, got...)
	answer, rest, err := frame.Accept(c.hello)
	if err != nil {
		c.over, c.failed = true, true
	}
	if answer != nil {
		c.open, c.hello = true, nil
	}
	if !c.open {
		rest = nil
	}
	return append(out, answer...), rest
}

// mirror appends the answer to a part of a frame. It is never longer than the part with its header was, mask included, but
// for a header of which most came with an earlier read: the shared buffer has room for that one.
func (c *conversation) mirror(out []byte, part frame.Part) []byte {
	h := c.parser.Header
	if part.First {
		answer := ws.Header{Fin: h.Fin, OpCode: h.OpCode, Length: h.Length}
		if h.OpCode == ws.OpPing {
			answer.OpCode = ws.OpPong
		}
		if h.OpCode != ws.OpPong { // a pong wants no answer
			out = frame.AppendHeader(out, answer)
		}
	}
	if h.OpCode != ws.OpPong {
		out = append(out, part.Payload...)
	}
	c.over = part.Last && h.OpCode == ws.OpClose
	return out
}

// listen returns the content of data frames, and what is to be sent for everything else, the latter in the server's shared
// buffer.
func (c *conversation) listen(got []byte) (said, out []byte) {
	out = c.s.out[:0]
	if !c.open {
		out, got = c.shake(out, got)
	}
	for len(got) > 0 && !c.over {
		part, rest, err := c.parser.Next(got)
		if err != nil {
			c.over, c.failed = true, true
			break
		}
		if got = rest; c.parser.Header.OpCode.IsControl() {
			out = c.mirror(out, part)
		} else {
			said = append(said, part.Payload...)
		}
	}
	return said, out
}
