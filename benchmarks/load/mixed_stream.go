package load

import (
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"golang.org/x/sys/unix"
)

// mixedWindow is how many bytes of a bulk session may be on their way to the echo and back.
const mixedWindow = 1 << 20

// mixedStream sends the pattern to an echo and checks what comes back; level-triggered, a chunk each way per event.
type mixedStream struct {
	session
	run            *mixedRun
	seed           uint64
	sent, received uint64
	wants          uint32 // events that are asked for
}

func (s *mixedStream) begin(r *mixedRun) {
	s.run, s.seed, s.wants = r, pattern.Seed(r.dialled), unix.EPOLLOUT
	r.dial(&s.session, s, s.wants)
}

// pump gives each bulk session its share: of the rate, or of the time.
func (r *mixedRun) pump() {
	for i := range r.bulk {
		if s := &r.bulk[i]; s.fd >= 0 && s.up {
			s.push()
			s.ask()
		}
	}
}

func (s *mixedStream) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	if readable(events) {
		s.pull()
	}
	if s.fd >= 0 && events&unix.EPOLLOUT != 0 {
		s.push()
	}
	if s.fd >= 0 {
		s.ask()
	}
}

// room is how many bytes may be sent now.
func (s *mixedStream) room() uint64 {
	r := s.run
	if !r.flowing {
		return 0
	}
	room := mixedWindow - (s.sent - s.received)
	if r.cfg.BulkRate > 0 {
		due := uint64(r.cfg.BulkRate * float64(r.now()-r.flowsAt) / 1e9 / float64(len(r.bulk)))
		room = min(room, max(due, s.sent)-s.sent)
	}
	return room
}

func (s *mixedStream) push() {
	if n := s.room(); n > 0 {
		s.sent += uint64(s.send(pattern.At(s.seed, s.sent, n)))
	}
}

func (s *mixedStream) pull() {
	got, more := s.recv()
	if !more {
		return
	}
	if at := pattern.Check(s.seed, s.received, got); at >= 0 || s.received+uint64(len(got)) > s.sent {
		s.wrong(s.received + uint64(max(at, 0)))
		return
	}
	s.received += uint64(len(got))
	s.run.moved += uint64(len(got))
}

// ask wants to be told of room to send only while there is something to send.
func (s *mixedStream) ask() {
	wants := uint32(unix.EPOLLIN)
	if s.room() > 0 {
		wants |= unix.EPOLLOUT
	}
	if s.fd < 0 || wants == s.wants {
		return
	}
	s.wants = wants
	if err := s.d.loop.Want(s.fd, wants); err != nil {
		s.fail(err)
	}
}
