package flow

import "sync/atomic"

// Rate limits how many sessions are accepted per second. It is shared by all workers and is one atomic word: the
// generic cell rate algorithm in its virtual scheduling form (ITU-T I.371, annex A). The clock is passed in, and
// any monotonic one will do as long as all callers use the same; workers whose readings differ a little only see
// each other's sessions a little early or late.
type Rate struct {
	interval, burst int64 // ns for one session, ns for a whole burst
	next            atomic.Int64
}

// NewRate returns a limiter of perSecond sessions on average, of which up to burst (at least 1) may come at once.
// perSecond <= 0 means no limit. The interval is rounded down to 1 ns, so high rates are met from above: by less
// than 0.1 % up to a million per second.
func NewRate(perSecond, burst int) *Rate {
	if perSecond <= 0 {
		return &Rate{}
	}
	interval := max(int64(1e9)/int64(perSecond), 1)
	return &Rate{interval: interval, burst: interval * int64(max(burst, 1))}
}

// Allow takes one session out of the allowance at nowNs and returns true, or returns false and takes nothing.
func (r *Rate) Allow(nowNs int64) bool {
	if r.interval == 0 {
		return true
	}
	for {
		next := r.next.Load()
		after := max(next, nowNs) + r.interval
		if after-nowNs > r.burst {
			return false
		}
		if r.next.CompareAndSwap(next, after) {
			return true
		}
	}
}

// WaitNs returns how long after nowNs Allow would say yes if nobody else asked: 0 means now.
func (r *Rate) WaitNs(nowNs int64) int64 {
	return max(r.next.Load()+r.interval-r.burst-nowNs, 0)
}
