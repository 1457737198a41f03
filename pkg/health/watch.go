package health

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
)

// watch is the checking of one backend. Its goroutine runs until it is retired or the checker closed.
type watch struct {
	c       *Checker
	b       *backend.Backend
	cancel  context.CancelFunc
	changed chan struct{} // holds one token when the settings have changed

	mu      sync.Mutex // guards what follows, and the backend's health against a watch that was retired meanwhile
	checks  PoolChecks
	streak  int // results in a row that speak against the present health
	retired bool
}

// update gives the watch the pool and settings of a new snapshot; they hold from now on, for a pause too.
func (w *watch) update(checks PoolChecks) {
	w.mu.Lock()
	w.checks = checks
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watch) settings() config.Health {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.checks.Health
}

// retire ends the watch: no result that is still to come counts.
func (w *watch) retire() {
	w.cancel()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retired = true
	w.b.SetHealth(backend.Unknown)
}

// run checks until ctx ends. The first pause is a random part of the interval, which spreads the checks of backends that
// were started together; the later ones differ by up to jitter, which keeps them from falling into step.
func (w *watch) run(ctx context.Context, delay time.Duration) {
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	for share := rand.Float64(); ; share = jittered() {
		begun := time.Now()
		result, err := w.c.probe(ctx, w.b, w.settings())
		if ctx.Err() != nil {
			return
		}
		w.judge(result, err)
		w.c.seen(w)
		if !w.pause(ctx, begun, share) {
			return
		}
	}
}

const jitter = 0.1

// jittered is 1, give or take jitter.
func jittered() float64 { return 1 - jitter + 2*jitter*rand.Float64() }

// pause waits until a share of the interval has passed since begun, at once if it has; false means that ctx has ended.
func (w *watch) pause(ctx context.Context, begun time.Time, share float64) bool {
	for {
		next := begun.Add(time.Duration(share * float64(w.settings().Interval)))
		select {
		case <-time.After(time.Until(next)):
			return true
		case <-w.changed:
		case <-ctx.Done():
			return false
		}
	}
}

// judge takes in one result and tells the hooks.
func (w *watch) judge(r outcome, err error) {
	pool, from, to, why := w.record(r, err)
	if pool == nil {
		return
	}
	if w.c.hooks.Checked != nil {
		w.c.hooks.Checked(w.b.Pool, w.b.Name, string(r))
	}
	if to != from && w.c.hooks.Changed != nil {
		w.c.hooks.Changed(pool, w.b, from, to, why)
	}
}

// record sets the health that follows from a result; pool is nil if the watch was retired.
func (w *watch) record(r outcome, err error) (pool *backend.Pool, from, to backend.Health, because string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.retired {
		return nil, 0, 0, ""
	}
	from = w.b.Health()
	to, needed := w.next(from, r)
	if to != from {
		because = why(needed, err)
		if w.c.hooks.Changing != nil {
			w.c.hooks.Changing(w.b, to, because)
		}
		w.b.SetHealth(to)
		w.checks.Pool.Refresh(nowMs())
	}
	return w.checks.Pool, from, to, because
}

// next is rise and fall: the health after a result, and how many results in a row it takes to get there.
func (w *watch) next(from backend.Health, r outcome) (to backend.Health, needed int) {
	to, needed = backend.Unhealthy, w.checks.Health.Fall
	switch r {
	case local:
		return from, 0
	case ok:
		to, needed = backend.Healthy, w.checks.Health.Rise
	}
	if to == from {
		w.streak = 0
		return from, 0
	}
	if from == backend.Unknown {
		needed = 1
	}
	if w.streak++; w.streak < needed {
		return from, needed
	}
	w.streak = 0
	return to, needed
}

// why says for people what changed a backend's health.
func why(needed int, err error) string {
	switch {
	case err == nil && needed == 1:
		return "a check succeeded"
	case err == nil:
		return fmt.Sprintf("%d checks in a row succeeded", needed)
	case needed == 1:
		return err.Error()
	}
	return fmt.Sprintf("%d checks in a row failed, the last one: %v", needed, err)
}
