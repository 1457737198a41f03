package load

import (
	"fmt"
	"time"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"golang.org/x/sys/unix"
)

// talk is a conversation on a schedule (open loop) that outlives its connections. Message j of speaker i is due at
// (j*speakers + i) intervals after the start, and its latency counts from then, as in load echo. Before that each
// connection has a greeting, one message that goes out as soon as it stands.
type talk struct {
	*driver
	messageBytes uint64
	speakers     []speaker
	about        account
	interval     float64 // ns between messages of all speakers together
	beganAt      int64   // the schedule's zero
	scheduled    uint64  // messages that have come due
	stopping     bool
}

// account hears what becomes of the speakers.
type account interface {
	greeted(s *speaker)            // the first answer of a connection is in
	answered(s *speaker, ns int64) // a scheduled message is back, that long after it was due
	lost(s *speaker, err error)    // the connection ended or did not come about; the fd is still open
}

func newTalk(d *driver, about account, speakers, messageBytes int) *talk {
	t := &talk{driver: d, about: about, messageBytes: uint64(messageBytes), speakers: make([]speaker, speakers)}
	for i := range t.speakers {
		t.speakers[i].talk, t.speakers[i].index = t, i
	}
	return t
}

// start begins the schedule at rate messages a second.
func (t *talk) start(rate float64) error {
	t.beganAt, t.interval = t.now(), 1e9/rate
	return t.tick(time.Duration(t.interval), t.makeDue)
}

func (t *talk) makeDue() {
	for now := t.now(); !t.stopping && t.dueAt(t.scheduled) <= now; t.scheduled++ {
		s := &t.speakers[t.scheduled%uint64(len(t.speakers))]
		if s.due++; s.fd >= 0 && s.up {
			s.flush()
		}
	}
}

func (t *talk) dueAt(k uint64) int64 { return t.beganAt + int64(float64(k)*t.interval) }

// waiting counts the speakers with an answer outstanding.
func (t *talk) waiting() (n int) {
	for i := range t.speakers {
		if s := &t.speakers[i]; s.fd >= 0 && s.received < s.sent {
			n++
		}
	}
	return n
}

// finish ends the schedule and waits for the last answers; one that does not come is a failed session.
func (t *talk) finish() error {
	t.stopping = true
	_, err := t.turnUntil(t.cfg.Patience, func() bool { return t.waiting() == 0 })
	if n := t.waiting(); n > 0 {
		t.res.Failed += uint64(n)
		t.note(fmt.Errorf("%d answers did not come within %s", n, t.cfg.Patience))
	}
	return err
}

// speaker is one client: a connection at a time, one message under way at a time.
type speaker struct {
	session
	talk           *talk
	index          int
	seed           uint64
	sent, received uint64 // positions in the connection's stream
	back           uint64 // messages of the connection that are back, the greeting too
	due, done      uint64 // scheduled messages: may go out, are back
}

// begin connects, for the first time or again: another stream, with another seed.
func (s *speaker) begin() {
	s.sent, s.received, s.back = 0, 0, 0
	s.seed = pattern.Seed(s.talk.dialled)
	s.talk.dial(&s.session, s, epoll.Both)
}

func (s *speaker) Ready(events uint32) {
	if s.fd < 0 || !s.stands(events) || !s.flush() {
		return
	}
	for s.fd >= 0 && readable(events) {
		n, errno := epoll.Recv(s.fd, s.d.buf)
		if errno == unix.EAGAIN {
			return
		}
		if errno != 0 || n == 0 {
			s.talk.about.lost(s, ending(errno))
			return
		}
		s.take(s.d.buf[:n])
		if n < len(s.d.buf) && events&epoll.Hangup == 0 {
			return
		}
	}
}

// stands is the first event's errand: how did connect end?
func (s *speaker) stands(events uint32) bool {
	if !s.up && events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		code, _ := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		s.talk.about.lost(s, fmt.Errorf("connect: %w", unix.Errno(code)))
		return false
	}
	if !s.up {
		s.up = true
		s.d.up++
	}
	return true
}

func ending(errno unix.Errno) error {
	if errno == 0 {
		return fmt.Errorf("receive: the stream ended early")
	}
	return fmt.Errorf("receive: %w", errno)
}

func (s *speaker) take(got []byte) {
	if at := pattern.Check(s.seed, s.received, got); at >= 0 || s.received+uint64(len(got)) > s.sent {
		s.wrong(s.received + uint64(max(at, 0)))
		return
	}
	s.received += uint64(len(got))
	if s.received == (s.back+1)*s.talk.messageBytes {
		s.answered()
	}
}

func (s *speaker) answered() {
	t := s.talk
	if s.back++; s.back == 1 {
		t.about.greeted(s)
	} else {
		due := t.dueAt(s.done*uint64(len(t.speakers)) + uint64(s.index))
		s.done++
		t.about.answered(s, t.now()-due)
	}
	if !t.stopping {
		s.flush()
	}
}

// flush sends what is left of the message under way; the next one begins only when this one is back. False: the
// connection was lost.
func (s *speaker) flush() bool {
	if s.back > 0 && s.due == s.done {
		return true
	}
	for end := (s.back + 1) * s.talk.messageBytes; s.sent < end; {
		n, errno := epoll.Send(s.fd, pattern.At(s.seed, s.sent, end-s.sent))
		if errno != 0 && errno != unix.EAGAIN {
			s.talk.about.lost(s, fmt.Errorf("send: %w", errno))
			return false
		}
		if n == 0 {
			return true
		}
		s.sent += uint64(n)
	}
	return true
}
