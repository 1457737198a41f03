package load

import (
	"errors"
	"math"
	"time"

	"github.com/gobwas/ws"
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/frame"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/serve"
)

// PushConfig says that a server in mode push sends messages to Sessions clients on a schedule, as feeds do.
type PushConfig struct {
	Config
	Sessions     int
	MessageBytes int
	Rate         float64 // messages per second of all sessions together
	Together     bool    // every session's message at the same moment, rather than evenly apart
}

// pushRun: each session asks for its own part of the schedule, in the machine's monotonic clock, and each message says when
// it was due, so latency counts from there to its last byte, whatever the server and the target do. The server must be
// on this machine.
type pushRun struct {
	*driver
	cfg       PushConfig
	sessions  []pushSession
	interval  int64 // ns between a session's messages
	latency   histogram
	lateness  histogram // of the server's schedule
	from, to  int64     // the window, CLOCK_MONOTONIC; both out of reach until known
	measuring bool
}

// lead is the time between asking for a schedule and its start, and perSession what it grows by: all shall have asked.
const (
	lead       = 50 * time.Millisecond
	perSession = 20 * time.Microsecond
)

// Push runs until the window has passed and every session has had its last message.
func Push(cfg PushConfig) (*Result, error) {
	if cfg.Sessions < 1 || cfg.MessageBytes < serve.PushHeadBytes || cfg.MessageBytes > pattern.MaxChunk || cfg.Rate <= 0 {
		return nil, BadConfig("load push: needs sessions >= 1, 24 <= message bytes <= 262144 and rate > 0")
	}
	d, err := newDriver(cfg.Config, "push")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &pushRun{driver: d, cfg: cfg, sessions: make([]pushSession, cfg.Sessions), latency: newHistogram(), lateness: newHistogram()}
	r.interval, r.from, r.to = max(int64(float64(cfg.Sessions)*1e9/cfg.Rate), 1), math.MaxInt64, math.MaxInt64
	if err := d.openAll(cfg.Sessions, r.open); err != nil {
		return nil, err
	}
	wait := r.ask()
	if err := d.turnFor(wait + cfg.Warm); err != nil {
		return nil, err
	}
	if err := r.window(); err != nil {
		return nil, err
	}
	return d.res, r.finish()
}

func (r *pushRun) open(i int) {
	s := &r.sessions[i]
	s.run, s.seed = r, pattern.Seed(i)
	r.dial(&s.session, s, epoll.Both)
}

// ask sends every session's preface and returns how long it is until the schedule begins.
func (r *pushRun) ask() time.Duration {
	wait := lead + time.Duration(len(r.sessions))*perSession
	start := epoll.Now() + int64(wait)
	for i := range r.sessions {
		s := &r.sessions[i]
		if s.first = start; !r.cfg.Together {
			s.first += int64(i) * r.interval / int64(len(r.sessions))
		}
		s.say(serve.PushPreface{Seed: s.seed, MessageBytes: uint64(r.cfg.MessageBytes), First: s.first, Interval: r.interval}.Append(nil))
	}
	return wait
}

func (r *pushRun) window() error {
	m, err := r.startMeter()
	if err != nil {
		return err
	}
	r.measuring, r.from = true, epoll.Now()
	if err := r.turnFor(r.cfg.For); err != nil {
		return err
	}
	r.measuring, r.to = false, epoll.Now()
	r.res.Bytes = r.res.Messages * uint64(r.cfg.MessageBytes)
	r.res.Schedule = &Schedule{Rate: r.cfg.Rate}
	return m.stop(r.res)
}

// finish stops the messages and waits for each session's last one, which says how many there were.
func (r *pushRun) finish() error {
	for i := range r.sessions {
		if s := &r.sessions[i]; s.fd >= 0 {
			s.say([]byte{0})
		}
	}
	err := r.allEnd("a session's last message did not come, or no close frame after it")
	r.res.Latency = r.latency.summary()
	if s := r.lateness.schedule(r.cfg.Rate); s != nil {
		r.res.Schedule = s
	}
	r.res.judge(onlyCPU())
	return err
}

// arrived accounts for a message by when it was due: one that the window's end overtook counts too.
func (r *pushRun) arrived(h serve.PushHead) {
	if r.measuring {
		r.res.Messages++
	}
	if h.Scheduled < r.from || h.Scheduled >= r.to {
		return
	}
	r.latency.record(epoll.Now() - h.Scheduled)
	if h.Begun != 0 {
		r.lateness.record(h.Begun - h.Scheduled)
	}
}

// withheld accounts for the messages of the window that had not even begun when the stop came: each has taken at least
// until now.
func (r *pushRun) withheld(s *pushSession) {
	now := epoll.Now()
	for due := s.first + int64(s.next)*r.interval; due < min(r.to, now); due += r.interval {
		if due >= r.from {
			r.latency.record(now - due)
		}
	}
}

type pushSession struct {
	session
	run    *pushRun
	seed   uint64
	first  int64  // when message 0 is due
	asking []byte // what is left of what we have to say
	next   uint64 // the number of the message that should come
	head   [serve.PushHeadBytes]byte
	have   int // bytes of the message under way
	over   bool
}

func (s *pushSession) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	s.flush()
	for s.fd >= 0 && readable(events) {
		got, more := s.recv()
		if !more {
			return
		}
		s.deliver(got, s)
		if s.fd >= 0 {
			s.flush() // what frames between the messages ask for
		}
		if len(got) < len(s.d.buf) && events&epoll.Hangup == 0 {
			return
		}
	}
}

// say sends something to the server: the preface, or the stop.
func (s *pushSession) say(what []byte) {
	if s.web != nil {
		mask := frame.Mask(s.seed, s.next)
		what = frame.Append(nil, ws.OpBinary, &mask, what)
	}
	s.asking = append(s.asking, what...)
	s.flush()
}

func (s *pushSession) flush() {
	for s.fd >= 0 && len(s.asking) > 0 {
		n := s.send(s.asking)
		if n == 0 {
			return
		}
		s.asking = s.asking[n:]
	}
	if s.fd >= 0 {
		s.sendControl()
	}
}

// take goes through the messages in what came.
func (s *pushSession) take(p []byte) {
	for len(p) > 0 && s.fd >= 0 {
		if s.over {
			s.wrong(s.position())
			return
		}
		if s.have < len(s.head) {
			n := copy(s.head[s.have:], p)
			s.have, p = s.have+n, p[n:]
			if s.have < len(s.head) || !s.begins() {
				return
			}
		}
		n := min(len(p), s.run.cfg.MessageBytes-s.have)
		if at := pattern.Check(s.seed, s.position(), p[:n]); at >= 0 {
			s.wrong(s.position() + uint64(at))
			return
		}
		s.have, p = s.have+n, p[n:]
		if s.have == s.run.cfg.MessageBytes {
			s.complete()
		}
	}
}

// position is the place in the stream's pattern of the next byte.
func (s *pushSession) position() uint64 {
	return s.next*uint64(s.run.cfg.MessageBytes) + uint64(s.have)
}

// begins judges a message's head. Numbers that are left out are lost messages; one that comes again, or a time that is not
// the schedule's, is a wrong byte.
func (s *pushSession) begins() bool {
	h := serve.ParsePushHead(s.head[:])
	number := h.Number &^ uint64(serve.PushEnd)
	due := s.first + int64(number)*s.run.interval
	if h.Number&serve.PushEnd != 0 {
		due = 0
	}
	if number < s.next || h.Scheduled != due || h.Broken {
		s.wrong(s.next * uint64(s.run.cfg.MessageBytes))
		return false
	}
	if lost := number - s.next; lost > 0 {
		s.d.res.Lost += lost
		s.d.note(errors.New("messages are missing from a session"))
		s.next = number
	}
	return true
}

func (s *pushSession) complete() {
	h := serve.ParsePushHead(s.head[:])
	s.have = 0
	if h.Number&serve.PushEnd != 0 {
		s.over = true
		s.run.withheld(s)
		s.hangUp(s)
		return
	}
	s.next++
	s.run.arrived(h)
}

func (s *pushSession) closed() { s.end() }
