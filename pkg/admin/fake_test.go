package admin

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/stats"
)

// fake is a View whose numbers move with the calls of step, so that what they have to be is known.
type fake struct {
	mu        sync.Mutex
	status    balancer.Status
	frontends []balancer.FrontendStatus
	pools     []balancer.PoolStatus
	workers   []balancer.WorkerStatus
	host      balancer.HostStatus
	recent    []balancer.Event
	err       error // of Sessions and Explain
	asked     balancer.SessionQuery
	emitted   chan balancer.Event // what Subscribe delivers
}

var began = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// newFake has one frontend, a pool of n backends of which some are not well, and two workers.
func newFake(n int) *fake {
	f := &fake{
		status: balancer.Status{
			Name: "edge-1", Version: "0.1.0", Commit: "abc1234", Go: "go1.26", PID: 4711, Started: began, UptimeS: 93784, Generation: 1, Workers: 2, Ready: true,
			Sessions: balancer.Gauge{Held: 12408, Limit: 498000, Peak: 13002}, BindsFirst: "descriptors: 1000000 open files, 2 a session",
			Limits: []balancer.Limit{
				{Resource: "descriptors", Sessions: 498000, Why: "1000000 open files, 2 a session"},
				{Resource: "memory", Sessions: 1200000, Why: "11264 MiB, 9 KiB a session in the kernel"},
			},
			FDs: balancer.Gauge{Held: 24822, Limit: 1000000}, Pipes: balancer.Pipes{Used: 12, Idle: 40, Limit: 4096, Degraded: 3},
			Kernel: "6.18.0", Features: []balancer.Feature{{Name: "splice", Present: true, Tried: true, Value: "socket to pipe to socket", Since: "2.6.17"}, {Name: "tcp_migrate_req", Tried: true, Since: "5.14", Fallback: "the queue of a closed listener is lost"}},
		},
		host:    balancer.HostStatus{ConntrackEntries: -1, ConntrackLimit: -1, TCPMemoryBytes: 190 << 20, TimeWaitSockets: 811},
		emitted: make(chan balancer.Event, 16),
	}
	f.frontends = []balancer.FrontendStatus{{
		Name: "chat", Listen: []string{"0.0.0.0:443", "[::]:443"}, Pool: "chat", Active: 12408, MaxSessions: 400000, Accepted: 91212,
		Refused: map[string]uint64{"rate": 17}, Ended: map[string]uint64{
			"client_fin": 71204, "backend_fin": 5100, "client_reset": 1811, "idle_timeout": 612, "connect_refused": 60, "no_backend": 17,
		}, ToBackend: 9_000_000_000, ToClient: 122_000_000_000, ZeroByte: 4, AcceptQueue: 2, ListenDrops: 1,
		Duration: balancer.Histogram{Bounds: stats.DurationBounds[:], Counts: []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, Sum: 1234.5},
	}}
	f.pools = []balancer.PoolStatus{{
		Name: "chat", Algorithm: "maglev", Hash: "5-tuple", Connecting: 3, Retries: 77,
		Connect: balancer.Histogram{Bounds: []float64{0.001, 0.01}, Counts: []uint64{5, 3, 2}, Sum: 0.5},
	}}
	for i := range n {
		f.pools[0].Backends = append(f.pools[0].Backends, fakeBackend(i))
	}
	for i := range 2 {
		f.workers = append(f.workers, balancer.WorkerStatus{
			ID: i, Sessions: 6204, BusyS: 100, CopiedBytes: 1000, SplicedBytes: 2000, StaleEvents: 2, PausedNoRoomS: 0.5, PausedNoFDsS: 0.25, LogLinesDropped: 1,
			Turns: balancer.Histogram{Bounds: []float64{0.001, 0.01}, Counts: []uint64{10, 5, 1}, Sum: 2},
		})
	}
	f.recent = []balancer.Event{
		{Time: began, Name: "started", Level: "info", Message: "2 workers, 498000 sessions at most"},
		{Time: began.Add(time.Minute), Name: "backend_unhealthy", Level: "warn", Subject: "chat/b2", Message: "3 checks failed: connection refused", Fields: map[string]string{"pool": "chat"}},
		{Time: began.Add(2 * time.Minute), Name: "admin_action", Level: "info", Subject: "session", Message: "killed the session of 192.0.2.7:40312"},
	}
	return f
}

func fakeBackend(i int) balancer.BackendStatus {
	b := balancer.BackendStatus{
		Name: fmt.Sprintf("b%d", i+1), Address: fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250+1), State: "healthy", Since: began, Weight: 1,
		Sessions: int64(900 + i*37%400), ToBackend: 1e9, ToClient: 9e9, Ended: map[string]uint64{"normal": 9}, Checks: map[string]uint64{"ok": 40000},
	}
	source := balancer.SourceStatus{Source: "10.0.9.1", Ports: "10000-11999", Used: b.Sessions, Resting: 30, Limit: 2000, RunsOutS: 90}
	b.Ports = &balancer.PortStatus{Used: b.Sessions, Resting: 30, Limit: 2000, RunsOutS: 90, Sources: []balancer.SourceStatus{source}}
	switch i {
	case 1:
		b.State, b.Why, b.Sessions, b.Checks["fail"] = "unhealthy", "3 checks failed: connection refused", 0, 42
	case 3:
		b.State, b.Why, b.Failures = "ejected", "5 connects failed in a row", map[string]uint64{"refused": 5}
	case 4:
		b.State, b.Weight, b.Backup = "draining", 0, true
	}
	return b
}

// step lets a second's worth of traffic happen: 120 sessions open, 100 close.
func (f *fake) step() {
	f.mu.Lock()
	defer f.mu.Unlock()
	fe := &f.frontends[0]
	ended := map[string]uint64{}
	for k, v := range fe.Ended {
		ended[k] = v
	}
	ended["client_fin"] += 100
	fe.Ended = ended
	fe.Accepted += 120
	fe.Active += 20
	fe.ToBackend += 3_000_000
	fe.ToClient += 41_000_000
	f.status.Sessions.Held += 20
	f.status.UptimeS++
	backends := append([]balancer.BackendStatus{}, f.pools[0].Backends...)
	for i := range backends {
		backends[i].ToClient += 4_000_000
	}
	f.pools[0].Backends = backends
	workers := append([]balancer.WorkerStatus{}, f.workers...)
	for i := range workers {
		workers[i].BusyS += 0.25 * float64(i+1)
		workers[i].SplicedBytes += 20_000_000
	}
	f.workers = workers
}

func (f *fake) Status() balancer.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *fake) Frontends() []balancer.FrontendStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]balancer.FrontendStatus(nil), f.frontends...)
}

func (f *fake) Pools() []balancer.PoolStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]balancer.PoolStatus(nil), f.pools...)
}

func (f *fake) Workers() []balancer.WorkerStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.workers
}

func (f *fake) Host() balancer.HostStatus { return f.host }

func (f *fake) Sessions(_ context.Context, q balancer.SessionQuery) (balancer.SessionPage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = q
	if f.err != nil {
		return balancer.SessionPage{}, f.err
	}
	return balancer.SessionPage{Sessions: []balancer.SessionStatus{{ID: "00000000000000a1", Client: "192.0.2.7:40312"}}, Matched: 1}, nil
}

func (f *fake) Explain(frontend, client string) (balancer.Explanation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return balancer.Explanation{Frontend: frontend, Client: client, Backend: "b1"}, f.err
}

func (f *fake) Subscribe(ctx context.Context) <-chan balancer.Event {
	out := make(chan balancer.Event, 16)
	go func() {
		defer close(out)
		for {
			select {
			case <-ctx.Done():
				return
			case e := <-f.emitted:
				out <- e
			}
		}
	}()
	return out
}

func (f *fake) Recent() []balancer.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]balancer.Event(nil), f.recent...)
}
