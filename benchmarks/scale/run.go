package scale

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/proc"
)

const (
	downLimit    = 30 * time.Second // for clients to reset their sessions
	quietLimit   = 20 * time.Second // for balancers to come to rest; some machines never let them
	progressTick = 2 * time.Second
)

type run struct {
	ctx       context.Context
	cfg       Config
	plan      plan
	dir       string
	port      uint16 // of every balancer and backend
	cells     []*cell
	balancers []int  // process ids
	group     *group // the balancers'; nil: none to be had
	began     time.Time
	res       Result
}

func (r *run) say(format string, a ...any) { r.cfg.Progress(fmt.Sprintf(format, a...)) }

// up starts all cells and measures them empty.
func (r *run) up() (err error) {
	r.say("%d sessions over %d processes (%s)", r.plan.sessions, r.plan.processes, r.plan.bound)
	free, err := child.FreePort(address(balancerNet, 0))
	if err != nil {
		return err
	}
	r.port = free.Port()
	seeds := 0
	for i := range r.plan.processes {
		sessions := r.plan.share(r.plan.sessions, i)
		c, err := r.newCell(i, sessions, seeds)
		if err != nil {
			return err
		}
		r.balancers = append(r.balancers, c.balancer.PID())
		if seeds += sessions; r.ctx.Err() != nil {
			return r.ctx.Err()
		}
	}
	r.res.Base, err = r.measure(0)
	return err
}

// down ends all cells at once, so that none waits for another's resets.
func (r *run) down() {
	var all sync.WaitGroup
	for _, c := range r.cells {
		all.Go(c.down)
	}
	all.Wait()
	if r.group != nil {
		r.group.remove()
	}
}

// climb opens the sessions in equal steps, and stops where a session fails or where the next step would use more memory
// than the budget.
func (r *run) climb() error {
	for step := 1; step <= r.cfg.Steps; step++ {
		target := r.plan.sessions * step / r.cfg.Steps
		if over := r.wouldUse(target); over > r.plan.budget {
			r.res.Bound = fmt.Sprintf("memory: %d sessions would use %.1f GB, the budget is %.1f GB", target, float64(over)/1e9, float64(r.plan.budget)/1e9)
			r.say("stopped: %s", r.res.Bound)
			break
		}
		m, err := r.step(target)
		if err != nil {
			return err
		}
		r.res.Steps = append(r.res.Steps, m)
		r.res.Sessions = m.Sessions
		r.say("%s", describe(m, r.res.Base))
		if r.res.Wrong+r.res.Failed > 0 {
			r.res.Bound = "sessions failed: " + r.res.FirstError
			break
		}
	}
	if len(r.res.Steps) == 0 {
		return errors.New("scale: not one step fits into the budget")
	}
	return nil
}

// wouldUse is the memory that so many sessions take by what the last step has shown, in bytes.
func (r *run) wouldUse(sessions int) int64 {
	n := len(r.res.Steps)
	if n == 0 {
		return int64(sessions) * firstGuess
	}
	last := r.res.Steps[n-1]
	return (r.res.Base.Available - last.Available) * int64(sessions) / int64(last.Sessions)
}

func (r *run) step(target int) (Measure, error) {
	cpu, err := proc.CPUSeconds(r.balancers)
	if err != nil {
		return Measure{}, err
	}
	began := time.Now()
	live := 0
	err = r.all(func(i int) string { return fmt.Sprintf("open %d", r.plan.share(target, i)) }, func(rep load.HoldReport) { live += rep.Live })
	if err != nil {
		return Measure{}, err
	}
	seconds := time.Since(began).Seconds()
	now, err := proc.CPUSeconds(r.balancers)
	if err != nil {
		return Measure{}, err
	}
	m, err := r.measure(live)
	m.OpenSeconds, m.OpenCPU = seconds, now-cpu
	return m, err
}

// all has every cell do something at the same time, and adds up the answers. Faults are counted from the start: the latest
// answers' sum is the run's.
func (r *run) all(command func(i int) string, take func(load.HoldReport)) error {
	for i, c := range r.cells {
		if err := c.command(command(i)); err != nil {
			return err
		}
	}
	done := r.watch()
	defer done()
	r.res.Wrong, r.res.Failed = 0, 0
	for _, c := range r.cells {
		rep, err := c.answer(r.ctx)
		if err != nil {
			return err
		}
		r.res.Wrong += rep.Wrong
		r.res.Failed += rep.Failed
		if r.res.FirstError == "" {
			r.res.FirstError = rep.FirstError
		}
		take(rep)
	}
	return nil
}

// watch says now and then how many sessions there are, until the returned function is called.
func (r *run) watch() (done func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for t := time.NewTicker(progressTick); ; {
			select {
			case <-stop:
				t.Stop()
				return
			case <-t.C:
				if k, err := proc.ReadKernel(); err == nil {
					r.say("  about %d sessions", max(k.Sockets-r.res.Base.Sockets, 0)/filesEach)
				}
			}
		}
	}()
	return func() { close(stop); <-ended }
}

// check has every session echo.
func (r *run) check() error {
	r.say("each session echoes")
	return r.all(func(int) string { return "check" }, func(rep load.HoldReport) { r.res.Checked += rep.Checked })
}
