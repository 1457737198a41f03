// Package serve is the backend of the benchmarks: it echoes, swallows and checks, or sends the pattern.
//
// One goroutine runs one loop; Serve returns when its stop function says so. Bulk sessions (sink, source) open with a
// Preface of the client's; an echo session has no framing at all, so that any client may use it.
package serve

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"golang.org/x/sys/unix"
)

// Mode is what a server does with a session's bytes.
type Mode string

// Modes of a server.
const (
	Echo   Mode = "echo"   // every byte goes back
	Sink   Mode = "sink"   // reads a Preface and that many bytes, checks them, answers with a Verdict
	Source Mode = "source" // reads a Preface and sends that many bytes of the pattern, then FIN
)

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
	Addrs    []netip.AddrPort // where it listens, ports filled in
	Accepted uint64
	loop     *epoll.Loop
	mode     Mode
	buf      []byte // shared by all sessions: nothing stays in it between events
}

// Open listens on every address. If the first one's port is 0, the kernel's choice becomes the port of all that have
// none, so that one port number names the whole set.
func Open(mode Mode, addrs []netip.AddrPort) (*Server, error) {
	if mode != Echo && mode != Sink && mode != Source {
		return nil, fmt.Errorf("serve: unknown mode %q; use echo, sink or source", mode)
	}
	loop, err := epoll.New()
	if err != nil {
		return nil, err
	}
	s := &Server{loop: loop, mode: mode, buf: make([]byte, 256<<10)}
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
	default:
		return &echo{s: s, fd: fd}, epoll.Both
	}
}
