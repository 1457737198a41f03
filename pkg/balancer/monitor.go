package balancer

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/health"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/worker"
)

// watched is what the monitor remembers to see changes, and what checks have found.
type watched struct {
	mu       sync.Mutex
	checks   map[[2]string]map[string]uint64 // by pool and backend, by result
	state    map[*backend.Backend]seenState
	ports    map[portsOf]*portTrend
	panics   map[string]bool
	degraded uint64
}

// seenState is the state a backend was last seen in.
type seenState struct {
	word  string
	since time.Time
	why   [3]string // what brought it to each health, the last time
}

// forget drops what is remembered of a backend that is gone.
func (w *watched) forget(x *backend.Backend) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.state, x)
	delete(w.checks, [2]string{x.Pool, x.Name})
}

// checked counts a finished check.
func (w *watched) checked(pool, name, result string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	key := [2]string{pool, name}
	if w.checks[key] == nil {
		w.checks[key] = map[string]uint64{}
	}
	w.checks[key][result]++
}

// changing notes why a backend's health is about to change.
func (w *watched) changing(x *backend.Backend, to backend.Health, why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state[x]
	s.why[to] = why
	w.state[x] = s
}

// healthChanged is told by the checker.
func (b *Balancer) healthChanged(p *backend.Pool, x *backend.Backend, from, to backend.Health, why string) {
	subject := x.Pool + "/" + x.Name
	fields := map[string]string{"pool": x.Pool, "backend": x.Name, "address": x.Address}
	switch {
	case to == backend.Unhealthy:
		b.Emit(Event{Name: "backend_unhealthy", Level: "warn", Subject: subject, Message: why, Fields: fields})
		if p.ResetUnhealthy {
			b.shedBackend(x)
		}
	case to == backend.Healthy && from == backend.Unhealthy:
		b.Emit(Event{Name: "backend_healthy", Level: "info", Subject: subject, Message: why, Fields: fields})
	}
}

// shedUnhealthyOver is the time over which the sessions of a backend that became unhealthy are closed. Only tests
// change it.
var shedUnhealthyOver = 5 * time.Second

func (b *Balancer) shedBackend(x *backend.Backend) {
	shed := worker.Shedding{Reason: stats.BackendUnhealthy, Backend: x.Number, OverMs: shedUnhealthyOver.Milliseconds()}
	for _, w := range b.workers {
		w.Give(worker.Once(func(w *worker.Worker) { w.Shed(shed) }))
	}
}

// checks is what the checker has to watch.
func (b *Balancer) checks(s *backend.Snapshot) []health.PoolChecks {
	var all []health.PoolChecks
	for i := range b.cfg.Pools {
		c := &b.cfg.Pools[i]
		all = append(all, health.PoolChecks{Pool: s.Pools[b.poolNumber[c.Name]], Health: c.Health})
	}
	return all
}

const monitorEvery = 200 * time.Millisecond

// monitor notices what changes by itself, and says so.
func (b *Balancer) monitor(ctx context.Context) {
	tick := time.NewTicker(monitorEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		b.monitorPools()
		b.monitorResources()
		b.events.flush()
		if n%5 == 0 {
			b.monitorTCPMemory()
			b.monitorPorts()
			b.mu.Lock()
			b.freeRetired()
			b.mu.Unlock()
		}
	}
}

// monitorPools sees ejections and panics begin and end.
func (b *Balancer) monitorPools() {
	now := monotonicMs()
	for _, p := range b.snap.Load().Pools {
		p.Refresh(now)
		b.monitorPanic(p)
		for i := range p.Members {
			m := &p.Members[i]
			word := stateOf(m, m.Health(), now)
			if before := b.watch.see(m.Backend, word); word == "ejected" && before != word {
				b.Emit(Event{
					Name: "backend_ejected", Level: "warn", Subject: p.Name + "/" + m.Name,
					Message: fmt.Sprintf("%d connects in a row failed: no new sessions for %s", p.EjectAfter, time.Duration(p.EjectForMs)*time.Millisecond),
					Fields:  map[string]string{"pool": p.Name, "backend": m.Name, "address": m.Address},
				})
			}
		}
	}
}

// see notes a backend's state and returns the one before.
func (w *watched) see(x *backend.Backend, word string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.state[x]
	before := s.word
	if before != word {
		s.word, s.since = word, time.Now()
		w.state[x] = s
	}
	return before
}

// stateOf is the one word for the state of a backend of that health.
func stateOf(m *backend.Member, health backend.Health, nowMs int64) string {
	switch {
	case m.Weight == 0 || m.Draining():
		return "draining"
	case m.Ejected(nowMs):
		return "ejected"
	}
	return [...]string{"unknown", "healthy", "unhealthy"}[health]
}

func (b *Balancer) monitorPanic(p *backend.Pool) {
	now := p.Live.Panic.Load()
	b.watch.mu.Lock()
	if b.watch.panics == nil {
		b.watch.panics = map[string]bool{}
	}
	before := b.watch.panics[p.Name]
	b.watch.panics[p.Name] = now
	b.watch.mu.Unlock()
	switch {
	case now && !before:
		b.Emit(Event{Name: "panic_on", Level: "error", Subject: p.Name, Message: "too few backends are healthy: health is ignored", Fields: map[string]string{"pool": p.Name}})
	case before && !now:
		b.Emit(Event{Name: "panic_off", Level: "info", Subject: p.Name, Message: "enough backends are healthy again", Fields: map[string]string{"pool": p.Name}})
	}
}

// monitorResources sees shortages.
func (b *Balancer) monitorResources() {
	held := b.held.Held.Load()
	paused := uint64(0)
	for _, w := range b.workers {
		paused += w.Sheet().Seen(stats.Own, 0, stats.ListenersPaused)
	}
	if paused > 0 {
		b.Emit(Event{Name: "accept_paused", Level: "warn", Message: fmt.Sprintf("%d of %d sessions are held; new connections wait in the kernel's queue. %s", held, b.limits.sessions, b.limits.bindsFirst)})
	}
	if open := sys.OpenFDs(); open > b.limits.fds*95/100 {
		b.Emit(Event{Name: "fds_low", Level: "warn", Message: fmt.Sprintf("%d of %d file descriptors are open; raise LimitNOFILE=", open, b.limits.fds)})
	}
	if n := b.pipes.Degraded.Load(); n > b.watch.degraded {
		b.watch.degraded = n
		b.Emit(Event{Name: "degraded", Level: "warn", Subject: "pipes", Message: "the kernel gives no more useful pipes: these directions are copied; raise fs.pipe-user-pages-soft, or lower relay.pipe_bytes"})
	}
}

// Shedding for TCP memory closes a hundredth of the sessions, and looks again.
const (
	tcpMemoryPart = 100
	tcpMemoryOver = 500 * time.Millisecond
)

// monitorTCPMemory sheds sessions while the host's TCP memory is above the configured share of its limit.
func (b *Balancer) monitorTCPMemory() {
	share := b.cfg.Process.ShedAtTCPMem
	if share == 0 {
		return
	}
	pages, limit := tcpMemoryPages()
	if limit <= 0 || float64(pages) < share*float64(limit) {
		return
	}
	b.Emit(Event{Name: "degraded", Level: "warn", Subject: "tcp_mem", Message: fmt.Sprintf("TCP uses %d of %d pages: shedding sessions", pages, limit)})
	shed := worker.Shedding{Reason: stats.Shed, Backend: backend.NoBackend, OverMs: tcpMemoryOver.Milliseconds(), Part: tcpMemoryPart}
	for _, w := range b.workers {
		w.Give(worker.Once(func(w *worker.Worker) { w.Shed(shed) }))
	}
}
