package load

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/proc"
)

// The target gets to finish its part of the opening before its memory is read: until it has used no CPU for quietFor.
// That is longer than a second: some, longsplice among them, set a session's options when it is that old.
const (
	quietFor  = 1200 * time.Millisecond
	quietTick = 10 * time.Millisecond // the resolution of a process's CPU time
)

// IdleConfig is silent sessions, opened in steps; memory is read at each step, CPU over the window at the last.
type IdleConfig struct {
	Config
	Steps []int // rising numbers of sessions
}

type idleRun struct {
	*driver
	sessions []idleSession
	answered int
}

// Idle opens the sessions without a byte on them, measures, and then has each echo eight bytes: a session that does
// not was not held.
func Idle(cfg IdleConfig) (*Result, error) {
	if len(cfg.Steps) == 0 || !slices.IsSorted(cfg.Steps) || cfg.Steps[0] < 1 {
		return nil, errors.New("load idle: needs rising numbers of sessions, 1 or more")
	}
	d, err := newDriver(cfg.Config, "idle")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &idleRun{driver: d, sessions: make([]idleSession, cfg.Steps[len(cfg.Steps)-1])}
	for _, n := range cfg.Steps {
		if err := r.growTo(n); err != nil {
			return nil, err
		}
	}
	m, err := r.startMeter()
	if err != nil {
		return nil, err
	}
	if err := d.turnFor(cfg.For); err != nil {
		return nil, err
	}
	if err := m.stop(d.res); err != nil {
		return nil, err
	}
	d.res.Sessions = uint64(d.live)
	return d.res, r.wake()
}

// growTo opens sessions up to n and records the target's memory.
func (r *idleRun) growTo(n int) error {
	have := r.dialled
	err := r.openAll(n-have, func(i int) {
		s := &r.sessions[have+i]
		s.run, s.seed = r, pattern.Seed(have+i)
		r.dial(&s.session, s, epoll.Both)
	})
	if err != nil || r.cfg.PID == 0 {
		return err
	}
	pids, err := proc.Tree(r.cfg.PID)
	if err != nil {
		return err
	}
	if err := r.settle(pids); err != nil {
		return err
	}
	f, err := r.footprint(n)
	r.res.Memory = append(r.res.Memory, f)
	return err
}

// settle waits until the processes are quiet, or as long as patience lasts: some are never quite at rest.
func (r *idleRun) settle(pids []int) error {
	last, since := -1.0, r.now()
	deadline := since + int64(r.cfg.Patience)
	for r.now() < deadline && r.now()-since < int64(quietFor) {
		cpu, err := proc.CPUSeconds(pids)
		if err != nil {
			return err
		}
		if cpu > last+quietTick.Seconds()/2 {
			last, since = cpu, r.now()
		}
		if err := r.turnFor(quietTick); err != nil {
			return err
		}
	}
	return nil
}

// wake proves that every session still works.
func (r *idleRun) wake() error {
	alive := r.live
	for i := range r.sessions {
		if s := &r.sessions[i]; s.fd >= 0 {
			s.send(pattern.At(s.seed, 0, 8))
		}
	}
	_, err := r.turnUntil(r.cfg.Patience, func() bool { return r.live == 0 })
	if lost := alive - r.answered; lost > 0 && r.live > 0 {
		r.res.Failed += uint64(r.live)
		r.note(fmt.Errorf("%d of %d idle sessions did not answer", lost, alive))
	}
	return err
}

type idleSession struct {
	session
	run      *idleRun
	seed     uint64
	received uint64
}

func (s *idleSession) Ready(events uint32) {
	if !s.established(events) || !readable(events) {
		return
	}
	for s.fd >= 0 { // until there is no more: an end that came with the bytes has no edge of its own
		got, more := s.recv()
		if !more {
			return
		}
		if at := pattern.Check(s.seed, s.received, got); at >= 0 {
			s.wrong(s.received + uint64(at))
			return
		}
		if s.received += uint64(len(got)); s.received >= 8 {
			s.run.answered++
			s.end()
		}
	}
}
