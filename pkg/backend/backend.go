package backend

import (
	"sync/atomic"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Number names a backend, or a frontend, for as long as anything refers to it. Numbers are dense and start at 0.
type Number uint32

// NoBackend is the number of none.
const NoBackend = ^Number(0)

// Health is what active checks found.
type Health uint32

// Health states. Unknown lasts until the first check is over; sessions are given to such a backend.
const (
	Unknown Health = iota
	Healthy
	Unhealthy
)

// Backend is one server address of a pool, with its live state.
type Backend struct {
	Number  Number
	Pool    string
	Name    string
	Address string       // as configured or resolved, for people
	To      sys.Sockaddr // for connect
	Addr    sys.Addr     // the same, to compare with; zero for a unix socket

	// PoolNumber is the counter row of its pool.
	PoolNumber int
	// MaySelfConnect: the port lies where the kernel takes local ports from, so that a socket could reach itself.
	MaySelfConnect bool

	pool *PoolLive

	_ [64]byte // what follows is written by all workers: keep it off the line of what they only read

	sessions     atomic.Int64 // dialling and established
	failures     atomic.Int64 // connects that failed in a row
	ejectedUntil atomic.Int64 // CLOCK_MONOTONIC ms
	health       atomic.Uint32
	draining     atomic.Bool
	_            [24]byte
}

// Sessions is how many sessions are held or being dialled.
func (b *Backend) Sessions() int64 { return b.sessions.Load() }

// Acquire counts a session; false, counting nothing, if limit (0: none) sessions are there already.
func (b *Backend) Acquire(limit int64) bool {
	if n := b.sessions.Add(1); limit > 0 && n > limit {
		b.sessions.Add(-1)
		return false
	}
	b.pool.Sessions.Add(1)
	return true
}

// Release takes back one Acquire.
func (b *Backend) Release() {
	b.sessions.Add(-1)
	b.pool.Sessions.Add(-1)
}

// Health is the state that active checks last set.
func (b *Backend) Health() Health { return Health(b.health.Load()) }

// SetHealth records what active checks found; it returns what was known before.
func (b *Backend) SetHealth(h Health) Health { return Health(b.health.Swap(uint32(h))) }

// Draining tells whether an operator wants no new sessions here.
func (b *Backend) Draining() bool { return b.draining.Load() }

// SetDraining is the operator's switch.
func (b *Backend) SetDraining(on bool) { b.draining.Store(on) }

// Ejected tells whether failing connects have put the backend aside at nowMs.
func (b *Backend) Ejected(nowMs int64) bool { return b.ejectedUntil.Load() > nowMs }

// EjectedUntil is when the last ejection ends, in CLOCK_MONOTONIC ms; 0 if there was none.
func (b *Backend) EjectedUntil() int64 { return b.ejectedUntil.Load() }

// Connected notes a connect that succeeded.
func (b *Backend) Connected() {
	if b.failures.Load() != 0 { // written only when it changes: the line is shared
		b.failures.Store(0)
	}
}

// Failed notes a connect that failed and returns how many failed in a row.
func (b *Backend) Failed() int64 { return b.failures.Add(1) }

// eject puts the backend aside until untilMs.
func (b *Backend) eject(untilMs int64) {
	b.failures.Store(0)
	b.ejectedUntil.Store(untilMs)
}
