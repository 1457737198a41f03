package stats

import "sync/atomic"

// Counter numbers of a frontend's row.
const (
	Accepted      = 0
	RefusedBase   = 1                              // + Refusal
	EndedBase     = RefusedBase + int(NumRefusals) // + Reason
	ToBackend     = EndedBase + int(NumReasons)    // bytes
	ToClient      = ToBackend + 1                  // bytes
	ZeroByte      = ToClient + 1                   // sessions that ended without a byte
	DurationBase  = ZeroByte + 1                   // histogram of session durations
	FrontendWidth = DurationBase + len(DurationBounds) + 2
)

// Counter numbers of a backend's row.
const (
	BackendToBackend = 0
	BackendToClient  = 1
	CauseBase        = 2                          // + Cause
	FailureBase      = CauseBase + int(NumCauses) // + ConnectFailure
	BackendWidth     = FailureBase + int(NumConnectFailures)
)

// Counter numbers of a pool's row.
const (
	Retries     = 0
	DialBegun   = 1
	DialEnded   = 2 // begun - ended is what is connecting now
	ConnectBase = 3 // histogram of connect durations
	PoolWidth   = ConnectBase + len(ConnectBounds) + 2
)

// Counter numbers of the worker's own row.
const (
	CopiedBytes = iota
	SplicedBytes
	StaleEvents
	BusyNs
	PipesIdle
	BlocksOut
	PausedNs // accepting paused for want of room (sessions_limit)
	PausedNoFDsNs
	LogDropped
	LiveSessions    // a gauge
	ListenersPaused // a gauge
	TurnBase
	WorkerWidth = TurnBase + len(TurnBounds) + 2
)

// Upper bounds of histogram buckets, in seconds. A histogram in a row is one counter a bucket, one for the rest
// (+Inf) and the sum in microseconds.
var (
	DurationBounds = [...]float64{0.01, 0.1, 1, 10, 60, 300, 900, 3600, 4 * 3600, 24 * 3600}
	ConnectBounds  = [...]float64{0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 3}
	TurnBounds     = [...]float64{0.00002, 0.0001, 0.0005, 0.001, 0.002, 0.005, 0.02, 0.1, 1}
)

// Row is a set of counters of one thing in one worker.
type Row struct {
	v     []uint64 // the owner's
	seen  []atomic.Uint64
	dirty bool
	sheet *Sheet
}

// Add counts; only the sheet's owner may call it.
func (r *Row) Add(counter int, n uint64) {
	r.v[counter] += n
	r.touch()
}

// Put sets a counter that is kept elsewhere or is a gauge.
func (r *Row) Put(counter int, n uint64) {
	r.v[counter] = n
	r.touch()
}

// Observe adds a value to the histogram that begins at counter base.
func (r *Row) Observe(base int, bounds []float64, seconds float64) {
	i := 0
	for i < len(bounds) && seconds > bounds[i] {
		i++
	}
	r.v[base+i]++
	r.v[base+len(bounds)+1] += uint64(seconds * 1e6)
	r.touch()
}

func (r *Row) touch() {
	if !r.dirty {
		r.dirty = true
		r.sheet.dirty = append(r.sheet.dirty, r)
	}
}

// publish makes the counters visible.
func (r *Row) publish() {
	for i, n := range r.v {
		if r.seen[i].Load() != n {
			r.seen[i].Store(n)
		}
	}
	r.dirty = false
}
