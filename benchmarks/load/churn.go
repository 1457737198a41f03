package load

import (
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
)

// ChurnConfig says that AtOnce sessions at any time connect, send one message, get it back, close, and begin again.
type ChurnConfig struct {
	Config
	AtOnce       int
	MessageBytes int
}

type churnRun struct {
	*driver
	cfg       ChurnConfig
	framing   framing
	latency   histogram // from the connect to the message's last byte
	begun     int
	measuring bool
	stopping  bool
}

// Churn runs until the window has passed and the sessions under way have ended. The client closes first, so the
// TIME_WAITs stay on its side and on the balancer's: give it several Sources, and the balancer several backends. With
// WebSocket the server closes first, as RFC 6455 wants it. Latency is a session's, from the connect to the last byte
// of its message, in a closed loop.
func Churn(cfg ChurnConfig) (*Result, error) {
	if cfg.AtOnce < 1 || cfg.MessageBytes < 1 || cfg.MessageBytes > pattern.MaxChunk {
		return nil, BadConfig("load churn: needs at-once >= 1 and 1 <= message bytes <= 262144")
	}
	d, err := newDriver(cfg.Config, "churn")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &churnRun{driver: d, cfg: cfg, framing: d.newFraming(cfg.MessageBytes), latency: newHistogram()}
	for range cfg.AtOnce {
		s := &churnSession{run: r}
		s.begin()
	}
	if err := d.turnFor(cfg.Warm); err != nil {
		return nil, err
	}
	if err := r.window(); err != nil {
		return nil, err
	}
	r.stopping = true
	return d.res, d.allEnd("a session did not end")
}

func (r *churnRun) window() error {
	m, err := r.startMeter()
	if err != nil {
		return err
	}
	r.measuring = true
	if err := r.turnFor(r.cfg.For); err != nil {
		return err
	}
	r.measuring = false
	r.res.Latency = r.latency.summary()
	return m.stop(r.res)
}

type churnSession struct {
	session
	run            *churnRun
	number         int // of the session
	seed           uint64
	beganAt        int64
	sent, received int // bytes, on the wire and of the payload
}

// begin opens the next session in this place. A session that fails is not replaced, so that a dead target ends the run.
func (s *churnSession) begin() {
	s.number, s.seed, s.sent, s.received, s.beganAt = s.run.begun, pattern.Seed(s.run.begun), 0, 0, s.run.now()
	s.run.begun++
	s.run.dial(&s.session, s, epoll.Both)
}

func (s *churnSession) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	s.flush()
	for s.fd >= 0 && readable(events) {
		got, more := s.recv()
		if !more {
			return
		}
		number := s.number
		s.deliver(got, s)
		if s.number != number { // a new one in this place, which has not been told of anything yet
			return
		}
	}
}

func (s *churnSession) flush() {
	for f := &s.run.framing; s.fd >= 0 && s.sent < f.wire; {
		n := s.send(f.message(s.seed, 0, s.sent))
		if n == 0 {
			return
		}
		s.sent += n
	}
	s.sendControl()
}

func (s *churnSession) take(payload []byte) {
	size := s.run.framing.size
	if at := pattern.Check(s.seed, uint64(s.received), payload); at >= 0 || s.received+len(payload) > size {
		s.wrong(uint64(s.received + max(at, 0)))
		return
	}
	if s.received += len(payload); s.received < size {
		return
	}
	if s.run.measuring {
		s.run.latency.record(s.run.now() - s.beganAt)
	}
	s.hangUp(s)
}

// closed counts the session and begins the next one.
func (s *churnSession) closed() {
	if s.run.measuring {
		s.d.res.Sessions++
	}
	s.end()
	if !s.run.stopping {
		s.begin()
	}
}
