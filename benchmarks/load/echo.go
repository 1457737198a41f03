package load

import (
	"errors"
	"time"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
)

// EchoConfig says that Sessions long-lived sessions send messages and get them back, one at a time each.
type EchoConfig struct {
	Config
	Sessions     int
	MessageBytes int
	Rate         float64 // messages per second of all sessions together; 0: closed loop, each as fast as it can
}

// echoRun: in the open loop message j of session i is due at (j*Sessions + i) intervals after the start, whatever the
// answers do, and its latency counts from then: a target that stalls is charged for every message it held up
// (coordinated omission). In the closed loop latency counts from the sending.
type echoRun struct {
	*driver
	cfg       EchoConfig
	sessions  []echoSession
	latency   histogram
	lateness  histogram // of the schedule
	beganAt   int64     // schedule's zero, ns
	interval  float64
	scheduled uint64 // messages that have come due
	measuring bool
	stopping  bool
}

// Echo runs until the window has passed and the last answers are in.
func Echo(cfg EchoConfig) (*Result, error) {
	if cfg.Sessions < 1 || cfg.MessageBytes < 1 || cfg.MessageBytes > pattern.MaxChunk || cfg.Rate < 0 {
		return nil, errors.New("load echo: needs sessions >= 1, 1 <= message bytes <= 262144 and rate >= 0")
	}
	d, err := newDriver(cfg.Config, "echo")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &echoRun{driver: d, cfg: cfg, sessions: make([]echoSession, cfg.Sessions), latency: newHistogram(), lateness: newHistogram()}
	if err := d.openAll(cfg.Sessions, r.open); err != nil {
		return nil, err
	}
	if err := r.schedule(); err != nil {
		return nil, err
	}
	if err := d.turnFor(cfg.Warm); err != nil {
		return nil, err
	}
	if err := r.window(); err != nil {
		return nil, err
	}
	return d.res, r.drain()
}

func (r *echoRun) open(i int) {
	s := &r.sessions[i]
	s.run, s.index, s.seed = r, i, pattern.Seed(i)
	r.dial(&s.session, s, epoll.Both)
}

// schedule starts the messages: a ticker in the loop, or every session's first one.
func (r *echoRun) schedule() error {
	r.beganAt = r.now()
	if r.cfg.Rate > 0 {
		r.interval = 1e9 / r.cfg.Rate
		return r.tick(time.Duration(r.interval), r.makeDue)
	}
	for i := range r.sessions {
		s := &r.sessions[i]
		s.due++
		s.sentAt = r.now()
		s.flush()
	}
	return nil
}

func (r *echoRun) window() error {
	m, err := r.startMeter()
	if err != nil {
		return err
	}
	r.measuring = true
	if err := r.turnFor(r.cfg.For); err != nil {
		return err
	}
	r.measuring = false
	r.res.Bytes = r.res.Messages * uint64(r.cfg.MessageBytes)
	r.res.Latency, r.res.Schedule = r.latency.summary(), r.lateness.schedule(r.cfg.Rate)
	return m.stop(r.res)
}

// drain lets every session finish its message; an answer that does not come is a failed session.
func (r *echoRun) drain() error {
	r.stopping = true
	waiting := func() (n int) {
		for i := range r.sessions {
			if s := &r.sessions[i]; s.fd >= 0 && s.received < s.sent {
				n++
			}
		}
		return n
	}
	done, err := r.turnUntil(r.driver.cfg.Patience, func() bool { return waiting() == 0 })
	if n := waiting(); !done && n > 0 {
		r.res.Failed += uint64(n)
		r.note(errors.New("an answer did not come"))
	}
	return err
}

// makeDue hands out the messages whose time has come.
func (r *echoRun) makeDue() {
	now := r.now()
	for !r.stopping {
		late := now - r.dueAt(r.scheduled)
		if late < 0 {
			return
		}
		if r.measuring {
			r.lateness.record(late)
		}
		s := &r.sessions[r.scheduled%uint64(len(r.sessions))]
		r.scheduled++
		if s.due++; s.fd >= 0 && s.sent == s.received {
			s.flush()
		}
	}
}

func (r *echoRun) dueAt(k uint64) int64 { return r.beganAt + int64(float64(k)*r.interval) }

type echoSession struct {
	session
	run            *echoRun
	index          int
	seed           uint64
	sent, received uint64 // stream positions
	done, due      uint64 // messages back, messages that may have been sent
	sentAt         int64
}

func (s *echoSession) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	s.flush()
	for s.fd >= 0 && readable(events) {
		got, more := s.recv()
		if !more {
			return
		}
		if at := pattern.Check(s.seed, s.received, got); at >= 0 || s.received+uint64(len(got)) > s.sent {
			s.wrong(s.received + uint64(max(at, 0)))
			return
		}
		s.received += uint64(len(got))
		if s.received == (s.done+1)*uint64(s.run.cfg.MessageBytes) {
			s.answered()
		}
		if len(got) < len(s.d.buf) && events&epoll.Hangup == 0 {
			return
		}
	}
}

// answered counts a complete message and sends the next one if it is due.
func (s *echoSession) answered() {
	r, now := s.run, s.d.now()
	from := s.sentAt
	if r.cfg.Rate > 0 {
		from = r.dueAt(s.done*uint64(len(r.sessions)) + uint64(s.index))
	}
	s.done++
	if r.measuring {
		r.latency.record(now - from)
		r.res.Messages++
	}
	if r.stopping {
		return
	}
	if r.cfg.Rate == 0 {
		s.due++
		s.sentAt = now
	}
	s.flush()
}

// flush sends what is left of the message under way: the next one begins only when this one is back.
func (s *echoSession) flush() {
	if s.due == s.done || s.fd < 0 {
		return
	}
	end := (s.done + 1) * uint64(s.run.cfg.MessageBytes)
	for s.sent < end && s.fd >= 0 {
		n := s.send(pattern.At(s.seed, s.sent, end-s.sent))
		if n == 0 {
			return
		}
		s.sent += uint64(n)
	}
}
