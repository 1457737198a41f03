package health

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Hooks are told what checks find. Any may be nil. They are called from the goroutines of checks, for one backend never
// two at a time, and must not call Close.
type Hooks struct {
	// Changing tells why a backend's health is about to be another: whoever sees the new one can know the reason.
	Changing func(b *backend.Backend, to backend.Health, why string)
	// Changed tells of a backend whose health is another now. why is for people.
	Changed func(p *backend.Pool, b *backend.Backend, from, to backend.Health, why string)
	// Checked tells of every check that was done: ok, fail, timeout, or local for a shortage of our own.
	Checked func(pool, backend, result string)
}

// PoolChecks says how the members of a pool are checked.
type PoolChecks struct {
	Pool   *backend.Pool
	Health config.Health
}

// Checker checks the backends of all pools. Its methods may be called from any goroutine.
type Checker struct {
	hooks   Hooks
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu         sync.Mutex // guards what follows
	watches    map[*backend.Backend]*watch
	unseen     map[*watch]bool // nil before the first Apply; then its watches that have no result yet
	firstRound chan struct{}
	firstOver  func() // closes firstRound, once
}

// New makes a checker that checks nothing yet.
func New(h Hooks) *Checker {
	dialer := net.Dialer{KeepAlive: -1}
	c := &Checker{hooks: h, dial: dialer.DialContext, watches: map[*backend.Backend]*watch{}, firstRound: make(chan struct{})}
	c.firstOver = sync.OnceFunc(func() { close(c.firstRound) })
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Apply makes these the pools that are checked: it starts checks of new members, ends those of members that are gone
// (whose health is unknown again) and gives the others their new pool and settings; what is known of them stays.
// Members of a pool without checks are healthy at once; no hook is called for them. Every pool is refreshed.
func (c *Checker) Apply(pools []PoolChecks) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return
	}
	members := checkedMembers(pools)
	for b, w := range c.watches {
		if _, stays := members[b]; !stays {
			c.stop(w)
		}
	}
	started := c.startOrUpdate(members)
	for _, p := range pools {
		if p.Health.Type == config.HealthNone {
			setHealthy(p.Pool)
		}
		p.Pool.Refresh(nowMs())
	}
	if c.unseen == nil {
		c.unseen = started
		if len(started) == 0 {
			c.firstOver()
		}
	}
}

func checkedMembers(pools []PoolChecks) map[*backend.Backend]PoolChecks {
	members := map[*backend.Backend]PoolChecks{}
	for _, p := range pools {
		if p.Health.Type == config.HealthNone {
			continue
		}
		for _, m := range p.Pool.Members {
			members[m.Backend] = p
		}
	}
	return members
}

func setHealthy(p *backend.Pool) {
	for _, m := range p.Members {
		m.SetHealth(backend.Healthy)
	}
}

// Where many checks begin at once they are startSpacing apart, and all of them begin within startShare of a timeout.
const (
	startSpacing = time.Millisecond
	startShare   = 0.25
)

func (c *Checker) startOrUpdate(members map[*backend.Backend]PoolChecks) (started map[*watch]bool) {
	started = map[*watch]bool{}
	for b, checks := range members {
		if w := c.watches[b]; w != nil {
			w.update(checks)
			continue
		}
		window := time.Duration(startShare * float64(checks.Health.Timeout))
		delay := time.Duration(len(started)) * min(startSpacing, window/time.Duration(len(members)))
		c.watches[b] = c.start(b, checks, delay)
		started[c.watches[b]] = true
	}
	return started
}

func (c *Checker) start(b *backend.Backend, checks PoolChecks, delay time.Duration) *watch {
	ctx, cancel := context.WithCancel(c.ctx)
	w := &watch{c: c, b: b, cancel: cancel, changed: make(chan struct{}, 1), checks: checks}
	c.running.Go(func() { w.run(ctx, delay) })
	return w
}

// stop ends a watch without waiting for its goroutine, which reports nothing any more. It wants c.mu.
func (c *Checker) stop(w *watch) {
	w.retire()
	delete(c.watches, w.b)
	c.noteSeen(w)
}

// FirstRound is closed when every backend of the first Apply was checked once, is gone, or the checker is closed.
func (c *Checker) FirstRound() <-chan struct{} { return c.firstRound }

func (c *Checker) seen(w *watch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noteSeen(w)
}

// noteSeen wants c.mu.
func (c *Checker) noteSeen(w *watch) {
	if !c.unseen[w] {
		return
	}
	delete(c.unseen, w)
	if len(c.unseen) == 0 {
		c.firstOver()
	}
}

// Close ends all checks and waits for their goroutines and hooks. Health stays as it was last found.
func (c *Checker) Close() {
	c.cancel()
	c.running.Wait()
	c.firstOver()
}

// nowMs is the clock that ejections are counted in.
func nowMs() int64 { return sys.Real{}.NowNs() / int64(time.Millisecond) }
