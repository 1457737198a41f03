package load

import (
	"errors"

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
	begun     int
	measuring bool
	stopping  bool
}

// Churn runs until the window has passed and the sessions under way have ended. The client closes first, so the
// TIME_WAITs stay on its side and on the balancer's: give it several Sources, and the balancer several backends.
func Churn(cfg ChurnConfig) (*Result, error) {
	if cfg.AtOnce < 1 || cfg.MessageBytes < 1 || cfg.MessageBytes > pattern.MaxChunk {
		return nil, errors.New("load churn: needs at-once >= 1 and 1 <= message bytes <= 262144")
	}
	d, err := newDriver(cfg.Config, "churn")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &churnRun{driver: d, cfg: cfg}
	for range cfg.AtOnce {
		s := &churnSession{run: r}
		s.begin()
	}
	if err := d.turnFor(cfg.Warm); err != nil {
		return nil, err
	}
	m, err := r.startMeter()
	if err != nil {
		return nil, err
	}
	r.measuring = true
	if err := d.turnFor(cfg.For); err != nil {
		return nil, err
	}
	r.measuring = false
	if err := m.stop(d.res); err != nil {
		return nil, err
	}
	r.stopping = true
	done, err := d.turnUntil(d.cfg.Patience, func() bool { return d.live == 0 })
	if !done {
		d.res.Failed += uint64(d.live)
		d.note(errors.New("a session did not end"))
	}
	return d.res, err
}

type churnSession struct {
	session
	run            *churnRun
	seed           uint64
	sent, received uint64
}

// begin opens the next session in this place. A session that fails is not replaced, so that a dead target ends the run.
func (s *churnSession) begin() {
	s.seed, s.sent, s.received = pattern.Seed(s.run.begun), 0, 0
	s.run.begun++
	s.run.dial(&s.session, s, epoll.Both)
}

func (s *churnSession) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	s.push()
	if readable(events) {
		s.pull()
	}
}

func (s *churnSession) push() {
	size := uint64(s.run.cfg.MessageBytes)
	for s.sent < size && s.fd >= 0 {
		n := s.send(pattern.At(s.seed, s.sent, size-s.sent))
		if n == 0 {
			return
		}
		s.sent += uint64(n)
	}
}

func (s *churnSession) pull() {
	size := uint64(s.run.cfg.MessageBytes)
	for s.fd >= 0 {
		got, more := s.recv()
		if !more {
			return
		}
		if at := pattern.Check(s.seed, s.received, got); at >= 0 || s.received+uint64(len(got)) > size {
			s.wrong(s.received + uint64(max(at, 0)))
			return
		}
		if s.received += uint64(len(got)); s.received == size {
			s.finished()
			return
		}
	}
}

func (s *churnSession) finished() {
	if s.run.measuring {
		s.d.res.Sessions++
	}
	s.end()
	if !s.run.stopping {
		s.begin()
	}
}
