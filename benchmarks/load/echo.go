package load

import (
	"errors"
	"math"
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
// (coordinated omission), and for those that it never let begin. In the closed loop latency counts from the sending.
type echoRun struct {
	*driver
	cfg       EchoConfig
	framing   framing
	sessions  []echoSession
	latency   histogram
	lateness  histogram // of the schedule
	beganAt   int64     // schedule's zero, ns
	interval  float64
	scheduled uint64 // messages that have come due
	from, to  int64  // the window, ns; both out of reach until known
	measuring bool
	stopping  bool
}

// Echo runs until the window has passed and the last answers are in.
func Echo(cfg EchoConfig) (*Result, error) {
	if cfg.Sessions < 1 || cfg.MessageBytes < 1 || cfg.MessageBytes > pattern.MaxChunk || cfg.Rate < 0 {
		return nil, BadConfig("load echo: needs sessions >= 1, 1 <= message bytes <= 262144 and rate >= 0")
	}
	d, err := newDriver(cfg.Config, "echo")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &echoRun{driver: d, cfg: cfg, framing: d.newFraming(cfg.MessageBytes), sessions: make([]echoSession, cfg.Sessions)}
	r.latency, r.lateness, r.from, r.to = newHistogram(), newHistogram(), math.MaxInt64, math.MaxInt64
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
	if err := r.drain(); err != nil {
		return nil, err
	}
	r.sum()
	return d.res, r.hangUp()
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
	r.measuring, r.from = true, r.now()
	if err := r.turnFor(r.cfg.For); err != nil {
		return err
	}
	r.measuring, r.to = false, r.now()
	r.res.Bytes = r.res.Messages * uint64(r.cfg.MessageBytes)
	r.res.Schedule = r.lateness.schedule(r.cfg.Rate)
	return m.stop(r.res)
}

// drain lets every session finish its message; an answer that does not come is a failed session.
func (r *echoRun) drain() error {
	r.stopping = true
	waiting := func(s *echoSession) bool { return s.fd >= 0 && s.sent > 0 }
	done := func() bool {
		for i := range r.sessions {
			if waiting(&r.sessions[i]) {
				return false
			}
		}
		return true
	}
	_, err := r.turnUntil(r.driver.cfg.Patience, done)
	for i := range r.sessions {
		if s := &r.sessions[i]; waiting(s) {
			s.fail(errors.New("an answer did not come"))
		}
	}
	return err
}

// sum writes the latencies. In the open loop they are those of the messages that were due in the window: one whose answer
// is not there by now, or that has not even begun, has taken at least until now.
func (r *echoRun) sum() {
	now := r.now()
	for i := range r.sessions {
		s := &r.sessions[i]
		for j := s.done; r.cfg.Rate > 0 && j < s.due; j++ {
			r.account(r.dueAt(j*uint64(len(r.sessions))+uint64(i)), now)
		}
	}
	r.res.Latency = r.latency.summary()
	if r.res.Schedule != nil { // the meter had no latencies yet to judge it by
		r.res.judge(onlyCPU())
	}
}

// hangUp ends WebSocket's sessions by close frames. Those without framing just end.
func (r *echoRun) hangUp() error {
	for i := range r.sessions {
		if s := &r.sessions[i]; s.fd >= 0 && s.sent == 0 {
			s.session.hangUp(s)
		}
	}
	return r.allEnd("a session did not end with a close frame")
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
		if s.due++; s.fd >= 0 && s.sent == 0 {
			s.flush()
		}
	}
}

func (r *echoRun) dueAt(k uint64) int64 { return r.beganAt + int64(float64(k)*r.interval) }

// account records a message's latency if it belongs to the window: in the open loop by when it was due, in the closed one
// by when its answer came.
func (r *echoRun) account(from, now int64) {
	counts := r.measuring
	if r.cfg.Rate > 0 {
		counts = r.from <= from && from < r.to
	}
	if counts {
		r.latency.record(now - from)
	}
}

type echoSession struct {
	session
	run            *echoRun
	index          int
	seed           uint64
	sent, received int    // bytes of the message under way, on the wire and of its payload; 0, 0: none is
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
		s.deliver(got, s)
		if s.web != nil && s.fd >= 0 {
			s.flush() // what frames between the messages ask for
		}
		if len(got) < len(s.d.buf) && events&epoll.Hangup == 0 {
			return
		}
	}
}

// take compares what came back with what was sent of this message.
func (s *echoSession) take(payload []byte) {
	f := &s.run.framing
	at := pattern.Check(s.seed, s.done*uint64(f.size)+uint64(s.received), payload)
	if at >= 0 || s.received+len(payload) > s.sent-(f.wire-f.size) {
		s.wrong(s.done*uint64(f.size) + uint64(s.received+max(at, 0)))
		return
	}
	if s.received += len(payload); s.received == f.size {
		s.answered()
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
	s.sent, s.received = 0, 0
	r.account(from, now)
	if r.measuring {
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

// flush sends what is left of the message under way, or begins the next one that is due: when this one is back.
func (s *echoSession) flush() {
	f := &s.run.framing
	for s.fd >= 0 {
		if s.web != nil && (s.sent == 0 || s.sent == f.wire) && !s.sendControl() {
			return
		}
		if s.sent == f.wire || s.sent == 0 && (s.due == s.done || s.run.stopping) {
			return
		}
		n := s.send(f.message(s.seed, s.done, s.sent))
		if n == 0 {
			return
		}
		s.sent += n
	}
}

func (s *echoSession) closed() { s.end() }
