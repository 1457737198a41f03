// Package serve is the backend of the benchmarks: it echoes, swallows and checks, sends the pattern, or pushes messages on
// a schedule.
//
// One goroutine runs one loop; Run returns when its stop function says so. Bulk sessions (sink, source, both) open with a
// Preface of the client's, push sessions with a PushPreface; an echo session has no framing at all, or that of WebSocket,
// so that any client may use it.
package serve

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gobwas/ws"
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"golang.org/x/sys/unix"
)

// Mode is what a server does with a session's bytes.
type Mode string

// bufBytes is what one call reads or writes at most.
const bufBytes = 256 << 10

// Modes of a server.
const (
	Echo   Mode = "echo"   // every byte goes back
	Sink   Mode = "sink"   // reads a Preface and that many bytes, checks them, answers with a Verdict
	Source Mode = "source" // reads a Preface and sends that many bytes of the pattern, then FIN
	Both   Mode = "both"   // Sink and Source at once: sends the pattern, the Verdict behind it, then FIN
	Push   Mode = "push"   // reads a PushPreface and sends messages on its schedule until the client says stop
)

// modes in the order of their explanation.
var modes = []Mode{Echo, Sink, Source, Both, Push}

// Framed says whether sessions of this mode may be WebSocket's.
func (m Mode) Framed() bool { return m == Echo || m == Push }

// PrefaceBytes and VerdictBytes are the sizes on the wire.
const (
	PrefaceBytes = 16
	VerdictBytes = 16
)

// NoneWrong is a Verdict's FirstWrong when every byte was right.
const NoneWrong = ^uint64(0)

// Preface opens a bulk session: the stream's pattern seed and its length in bytes.
type Preface struct{ Seed, Length uint64 }

// Append encodes p as two big-endian words.
func (p Preface) Append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.Seed), p.Length)
}

// Verdict ends a sink session: how many bytes came, and the position of the first wrong one or NoneWrong.
type Verdict struct{ Received, FirstWrong uint64 }

// ParseVerdict decodes VerdictBytes bytes.
func ParseVerdict(b []byte) Verdict {
	return Verdict{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

func (v Verdict) append(b []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, v.Received), v.FirstWrong)
}

// Server is a set of listening addresses served in one mode.
type Server struct {
	Addrs     []netip.AddrPort // where it listens, ports filled in
	Accepted  uint64
	WebSocket bool // to be set before Run, for modes that are Framed: sessions open with RFC 6455's handshake
	loop      *epoll.Loop
	mode      Mode
	buf, out  []byte // shared by all sessions: nothing stays in them between events
	feed      feed
}

// Open listens on every address. If the first one's port is 0, the kernel's choice becomes the port of all that have
// none, so that one port number names the whole set.
func Open(mode Mode, addrs []netip.AddrPort) (*Server, error) {
	if !slices.Contains(modes, mode) {
		return nil, fmt.Errorf("serve: unknown mode %q; use one of %v", mode, modes)
	}
	loop, err := epoll.New()
	if err != nil {
		return nil, err
	}
	s := &Server{loop: loop, mode: mode, buf: make([]byte, bufBytes), out: make([]byte, 0, bufBytes+ws.MaxHeaderSize+PushHeadBytes)}
	if mode == Push {
		if err := s.feed.open(loop); err != nil {
			loop.Close()
			return nil, err
		}
	}
	for i, addr := range addrs {
		if i > 0 && addr.Port() == 0 {
			addr = netip.AddrPortFrom(addr.Addr(), s.Addrs[0].Port())
		}
		if err := s.listen(addr); err != nil {
			loop.Close()
			return nil, err
		}
	}
	return s, nil
}

func (s *Server) listen(addr netip.AddrPort) error {
	fd, bound, err := epoll.Listen(addr)
	if err != nil {
		return err
	}
	s.Addrs = append(s.Addrs, bound)
	return s.loop.Add(fd, unix.EPOLLIN, &listener{s: s, fd: fd})
}

// Run serves until stop, which is asked at least every 100 ms, returns true; then it closes everything.
func (s *Server) Run(stop func() bool) error {
	defer s.loop.Close()
	for !stop() {
		if err := s.loop.Turn(100 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// listener accepts what is waiting, at most 64 connections a turn; it is level-triggered, the rest is reported again.
type listener struct {
	s  *Server
	fd int
}

func (l *listener) Ready(uint32) {
	for range 64 {
		fd, errno := epoll.Accept(l.fd)
		if errno != 0 { // EAGAIN; a connection reset in the queue; or no fds, and then the client times out
			return
		}
		l.s.Accepted++
		h, events := l.s.session(fd)
		if l.s.loop.Add(fd, events, h) != nil {
			unix.Close(fd)
		}
	}
}

func (s *Server) session(fd int) (h epoll.Handler, events uint32) {
	switch s.mode {
	case Sink:
		return &sink{bulk: bulk{s: s, fd: fd}, firstWrong: NoneWrong}, unix.EPOLLIN
	case Source:
		return &source{bulk: bulk{s: s, fd: fd}}, unix.EPOLLIN
	case Both:
		return &both{sink: sink{bulk: bulk{s: s, fd: fd}, firstWrong: NoneWrong}}, unix.EPOLLIN
	case Push:
		return &pusher{s: s, fd: fd, web: s.conversation()}, epoll.Both
	default:
		return &echo{s: s, fd: fd, web: s.conversation()}, epoll.Both
	}
}
