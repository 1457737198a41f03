package balancer

import (
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Status is the program as a whole, now.
func (b *Balancer) Status() Status {
	held := b.held.Held.Load()
	sum := b.sum()
	s := Status{
		Name: b.node(), Version: b.Build.Version, Commit: b.Build.Commit, Go: runtime.Version(), PID: os.Getpid(),
		Started: b.started, UptimeS: time.Since(b.started).Seconds(), Workers: b.workerCount,
		Ready: b.ready.Load() && !b.draining.Load(), Draining: b.draining.Load(),
		Sessions:   Gauge{Held: held, Limit: b.limits.sessions, Peak: b.held.Peak.Load()},
		BindsFirst: b.limits.bindsFirst, Limits: slices.Clone(b.limits.all),
		FDs: Gauge{Held: b.openFDs(held), Limit: b.limits.fds}, Pipes: b.pipeStatus(sum), Steering: b.steeringStatus(sum),
		Ports:  b.fullestPorts(),
		Kernel: sys.Release(), Features: FeaturesOf(b.features), Generation: b.snap.Load().Generation,
	}
	switch {
	case s.Draining:
		s.NotReady = "draining"
	case !s.Ready:
		s.NotReady = "the first health checks are not over"
	}
	return s
}

func (b *Balancer) openFDs(held int64) int64 {
	if n := sys.OpenFDs(); n >= 0 {
		return n
	}
	return sessionFDs*held + pipeFDs*b.pipes.Open.Load()
}

// pipeStatus takes what workers share as the number of pipes: what each has published is of another moment.
func (b *Balancer) pipeStatus(sum *stats.Copy) Pipes {
	open := min(b.pipes.Open.Load(), b.limits.pipes) // above it for the moment in which one is refused
	idle := min(int64(sum.Value(stats.Own, 0, stats.PipesIdle)), open)
	return Pipes{Used: open - idle, Idle: idle, Limit: b.limits.pipes, Degraded: b.pipes.Degraded.Load()}
}

// Frontends is every frontend, in the order of the configuration.
func (b *Balancer) Frontends() []FrontendStatus {
	sum := b.sum()
	var all []FrontendStatus
	for _, f := range b.snap.Load().Frontends {
		v := func(counter int) uint64 { return sum.Value(stats.Frontend, int(f.Number), counter) }
		s := FrontendStatus{
			Name: f.Name, Pool: f.Pool.Name, Removed: f.Removed, Draining: b.draining.Load(), MaxSessions: f.MaxSessions,
			Accepted: v(stats.Accepted), ToBackend: v(stats.ToBackend), ToClient: v(stats.ToClient), ZeroByte: v(stats.ZeroByte),
			Refused: map[string]uint64{}, Ended: map[string]uint64{},
			Duration: histogram(sum, stats.Frontend, int(f.Number), stats.DurationBase, stats.DurationBounds[:]),
		}
		s.Active = int64(s.Accepted)
		for r := stats.Reason(1); r < stats.NumReasons; r++ {
			n := v(stats.EndedBase + int(r))
			s.Ended[r.String()] = n
			s.Active -= int64(n)
		}
		for r := stats.Refusal(0); r < stats.NumRefusals; r++ {
			s.Refused[r.String()] = v(stats.RefusedBase + int(r))
		}
		b.addListeners(&s)
		all = append(all, s)
	}
	return all
}

// addListeners asks the kernel for the state of a frontend's listening sockets.
func (b *Balancer) addListeners(s *FrontendStatus) {
	b.listening.RLock()
	defer b.listening.RUnlock()
	for _, l := range b.listeners {
		if l.frontend != s.Name {
			continue
		}
		s.Listen = append(s.Listen, l.address.String())
		for _, fd := range l.fds {
			if n, err := sys.ListenerDrops(fd); err == nil {
				s.ListenDrops += uint64(n)
			}
			if waiting, _, err := sys.AcceptQueue(fd); err == nil {
				s.AcceptQueue += int64(waiting)
			}
		}
	}
}

// Pools is every pool, in the order of the configuration. Backends that were removed come after the others, for as long
// as their series stay.
func (b *Balancer) Pools() []PoolStatus {
	b.mu.Lock() // so that no number changes hands meanwhile
	defer b.mu.Unlock()
	sum := b.sum()
	var all []PoolStatus
	snap, removed, kernelPorts := b.snap.Load(), b.removed(), sys.KernelPorts()
	for _, p := range snap.Pools {
		s := PoolStatus{
			Name: p.Name, Panic: p.Live.Panic.Load(),
			Algorithm:  [...]string{"maglev", "least_sessions", "round_robin"}[p.Algorithm],
			Hash:       [...]string{"5-tuple", "client", "client-prefix"}[p.Hash],
			Connecting: int64(sum.Value(stats.Pool, p.Number, stats.DialBegun) - sum.Value(stats.Pool, p.Number, stats.DialEnded)),
			Retries:    sum.Value(stats.Pool, p.Number, stats.Retries),
			Connect:    histogram(sum, stats.Pool, p.Number, stats.ConnectBase, stats.ConnectBounds[:]),
		}
		for i := range p.Members {
			s.Backends = append(s.Backends, b.backendStatus(sum, &p.Members[i]))
			s.Backends[i].Ports = b.portStatus(&p.Members[i], kernelPorts)
		}
		for _, x := range removed {
			if x.PoolNumber == p.Number {
				gone := b.backendStatus(sum, &backend.Member{Backend: x}) // without weight: draining
				gone.Removed = true
				s.Backends = append(s.Backends, gone)
			}
		}
		all = append(all, s)
	}
	return all
}

// removed is the backends that are no longer configured, or no longer an answer for their name. The caller holds b.mu.
func (b *Balancer) removed() []*backend.Backend {
	var all []*backend.Backend
	for _, x := range b.registry.All() {
		if x == nil {
			continue
		}
		if _, retired := b.retired[x.Number]; retired {
			all = append(all, x)
		}
	}
	return all
}

// backendStatus wants b.mu held.
func (b *Balancer) backendStatus(sum *stats.Copy, m *backend.Member) BackendStatus {
	now, base, health := monotonicMs(), b.baseline[m.Number], m.Health()
	v := func(counter int) uint64 {
		n := sum.Value(stats.Backend, int(m.Number), counter)
		if base != nil {
			n -= base[counter]
		}
		return n
	}
	s := BackendStatus{
		Name: m.Name, Address: m.Address, State: stateOf(m, health, now), Weight: m.Weight, Backup: m.Backup,
		Sessions: m.Sessions(), MaxSessions: m.MaxSessions,
		ToBackend: v(stats.BackendToBackend), ToClient: v(stats.BackendToClient),
		Ended: map[string]uint64{}, Failures: map[string]uint64{}, Checks: map[string]uint64{},
	}
	for c := stats.Cause(0); c < stats.NumCauses; c++ {
		s.Ended[c.String()] = v(stats.CauseBase + int(c))
	}
	for f := stats.ConnectFailure(0); f < stats.NumConnectFailures; f++ {
		s.Failures[f.String()] = v(stats.FailureBase + int(f))
	}
	b.watch.describe(m, health, &s)
	return s
}

// describe adds what is remembered of a backend. The health was read before: the reason for it is there.
func (w *watched) describe(m *backend.Member, health backend.Health, s *BackendStatus) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.state[m.Backend]
	s.Since, s.Why = seen.since, seen.why[health]
	if seen.word != s.State {
		s.Since = time.Now() // the monitor has yet to see it
	}
	for result, n := range w.checks[[2]string{m.Pool, m.Name}] {
		s.Checks[result] = n
	}
}

// Workers is every event loop.
func (b *Balancer) Workers() []WorkerStatus {
	var all []WorkerStatus
	for i, w := range b.workers {
		var c stats.Copy
		w.Sheet().AddTo(&c)
		v := func(counter int) uint64 { return c.Value(stats.Own, 0, counter) }
		all = append(all, WorkerStatus{
			ID: i, Sessions: int64(v(stats.LiveSessions)), BusyS: float64(v(stats.BusyNs)) / 1e9,
			Turns:       histogram(&c, stats.Own, 0, stats.TurnBase, stats.TurnBounds[:]),
			CopiedBytes: v(stats.CopiedBytes), SplicedBytes: v(stats.SplicedBytes), StaleEvents: v(stats.StaleEvents),
			PausedNoRoomS: float64(v(stats.PausedNs)) / 1e9, PausedNoFDsS: float64(v(stats.PausedNoFDsNs)) / 1e9,
			LogLinesDropped: v(stats.LogDropped),
		})
	}
	return all
}

// histogram reads one out of a row; its sum is kept in microseconds.
func histogram(c *stats.Copy, k stats.Kind, number, base int, bounds []float64) Histogram {
	h := Histogram{Bounds: bounds, Counts: make([]uint64, len(bounds)+1)}
	for i := range h.Counts {
		h.Counts[i] = c.Value(k, number, base+i)
	}
	h.Sum = float64(c.Value(k, number, base+len(bounds)+1)) / 1e6
	return h
}
