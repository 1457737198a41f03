package serve

import (
	"encoding/binary"
	"math"

	"github.com/gobwas/ws"
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/frame"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"golang.org/x/sys/unix"
)

// PushPrefaceBytes and PushHeadBytes are sizes on the wire. A message is its head and then the pattern, and never shorter
// than its head.
const (
	PushPrefaceBytes = 32
	PushHeadBytes    = 24
)

// PushEnd marks the last message's Number, whose other bits are then the number of messages before it.
const PushEnd = 1 << 63

// PushPreface asks for messages of MessageBytes: the first one at First, CLOCK_MONOTONIC in nanoseconds, and then one every
// Interval nanoseconds. The client ends it with one more byte (in WebSocket: one more message) of any value; the answer
// is the last message, marked with PushEnd, in place of those that are due and could not begin yet.
type PushPreface struct {
	Seed, MessageBytes uint64
	First, Interval    int64
}

// Append encodes p as four big-endian words.
func (p PushPreface) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.Seed), p.MessageBytes)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(p.First)), uint64(p.Interval))
}

func parsePushPreface(b []byte) PushPreface {
	word := binary.BigEndian.Uint64
	return PushPreface{word(b), word(b[8:]), int64(word(b[16:])), int64(word(b[24:]))}
}

// valid bounds what a client may ask of the server's memory and time.
func (p *PushPreface) valid() bool {
	return p.MessageBytes >= PushHeadBytes && p.MessageBytes <= pattern.MaxChunk && p.Interval > 0 && p.First > 0
}

// PushHead opens a message. Begun is when the server's schedule handed it out, to the microsecond, 0 if it had to wait for
// the message before it: what is late then is the connection, not the server.
type PushHead struct {
	Number           uint64
	Scheduled, Begun int64
	Broken           bool // a byte of Begun is wrong; the client knows itself what the others must be
}

// waited is the lateness of messages without a Begun.
const waited = math.MaxUint32

// ParsePushHead decodes PushHeadBytes bytes.
func ParsePushHead(b []byte) PushHead {
	h := PushHead{Number: binary.BigEndian.Uint64(b), Scheduled: int64(binary.BigEndian.Uint64(b[8:]))}
	late, again := binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if late != waited {
		h.Begun = h.Scheduled + int64(late)*1000
	}
	h.Broken = again != ^late
	return h
}

// append encodes h as number, scheduled time, and microseconds of lateness with their complement behind them.
func (h PushHead) append(b []byte) []byte {
	late := uint32(waited)
	if h.Begun != 0 {
		late = uint32(min((h.Begun-h.Scheduled)/1000, waited-1))
	}
	b = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, h.Number), uint64(h.Scheduled))
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, late), ^late)
}

// pusher sends one client its messages. It holds no bytes: a message of which the kernel took a part is composed again
// from its head when there is room.
type pusher struct {
	s       *Server
	fd      int
	web     *conversation // nil: messages follow each other without framing
	ask     []byte        // what the client has said so far
	asked   PushPreface
	due     uint64 // messages whose time has come
	head    PushHead
	sent    int // bytes of the message under way; 0: none is
	stop    bool
	stopped bool   // the last message is out, or under way
	held    []byte // WebSocket: answers to the handshake and to control frames, sent between messages
}

func (p *pusher) Ready(events uint32) {
	p.flush()
	for p.fd >= 0 && events&(unix.EPOLLIN|epoll.Hangup) != 0 { // room or no room: a stop has to be heard
		n, errno := epoll.Recv(p.fd, p.s.buf)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 || n == 0 {
			p.end()
			return
		}
		p.hear(p.s.buf[:n])
		p.flush()
	}
}

func (p *pusher) end() {
	p.s.loop.Drop(p.fd)
	p.fd = -1 // the feed forgets it when its time comes
}

// hear takes what the client says: the preface, and later the stop.
func (p *pusher) hear(got []byte) {
	if p.web != nil {
		said, out := p.web.listen(got)
		p.held = append(p.held, out...)
		if got = said; p.web.failed {
			p.end()
			return
		}
	}
	p.ask = append(p.ask, got...)
	if p.asked.Interval == 0 && len(p.ask) >= PushPrefaceBytes {
		p.asked = parsePushPreface(p.ask)
		if !p.asked.valid() {
			p.end()
			return
		}
		p.s.feed.add(p)
	}
	p.stop = p.stop || len(p.ask) > PushPrefaceBytes
}

// flush sends what is due and says whether the kernel took all of it.
func (p *pusher) flush() bool {
	for p.fd >= 0 {
		switch {
		case p.sent > 0:
		case len(p.held) > 0:
			if !p.flushHeld() {
				return false
			}
			continue
		case p.web != nil && p.web.over:
			_ = unix.Shutdown(p.fd, unix.SHUT_WR) // fails only after a reset, which the next recv reports
			return true
		case p.stop && !p.stopped:
			p.stopped = true
			p.head = PushHead{Number: PushEnd | p.head.Number}
		case p.stopped || p.head.Number == p.due:
			return true
		default:
			p.head.Scheduled = p.dueAt(p.head.Number)
		}
		if !p.send() {
			return false
		}
	}
	return false
}

func (p *pusher) dueAt(n uint64) int64 { return p.asked.First + int64(n)*p.asked.Interval }

// send moves the message under way on, and says whether all of it went. After it the next one counts as held back, until
// the feed hands one out.
func (p *pusher) send() bool {
	msg := p.compose()
	n, errno := epoll.Send(p.fd, msg[p.sent:])
	if errno != 0 && errno != unix.EAGAIN {
		p.end()
		return false
	}
	if p.sent += n; p.sent < len(msg) {
		return false
	}
	p.sent = 0
	p.head.Number++
	p.head.Begun = 0
	return true
}

// compose builds the message in the shared buffer.
func (p *pusher) compose() []byte {
	size := p.asked.MessageBytes
	msg := p.s.out[:0]
	if p.web != nil {
		msg = frame.AppendHeader(msg, ws.Header{Fin: true, OpCode: ws.OpBinary, Length: int64(size)})
	}
	number := p.head.Number &^ PushEnd
	msg = p.head.append(msg)
	return append(msg, pattern.At(p.asked.Seed, number*size+PushHeadBytes, size-PushHeadBytes)...)
}

func (p *pusher) flushHeld() bool {
	n, errno := epoll.Send(p.fd, p.held)
	if errno != 0 && errno != unix.EAGAIN {
		p.end()
		return false
	}
	p.held = p.held[n:]
	return len(p.held) == 0
}

// handOut says that the next message's time has come.
func (p *pusher) handOut(now int64) {
	if p.stop {
		return
	}
	if p.head.Number == p.due && p.sent == 0 {
		p.head.Begun = now
	}
	p.due++
	p.flush()
}
