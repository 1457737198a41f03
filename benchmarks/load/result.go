package load

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/syscount"
)

// Result is one run's outcome. Counts and costs belong to the window, faults to the whole run.
type Result struct {
	Workload   string           `json:"workload"`
	Seconds    float64          `json:"seconds"`
	Messages   uint64           `json:"messages,omitempty"`
	Sessions   uint64           `json:"sessions,omitempty"`
	Bytes      uint64           `json:"bytes,omitempty"` // of payload, one way; bulk both: of both
	CPU        CPU              `json:"cpu"`
	Latency    *Latency         `json:"latency,omitempty"`
	Schedule   *Schedule        `json:"schedule,omitempty"` // open loop only
	Memory     []Footprint      `json:"memory,omitempty"`
	Held       *Footprint       `json:"held,omitempty"`    // at the end of the window, the sessions still open
	Classes    []Class          `json:"classes,omitempty"` // mixed, slow: figures by class of session
	Return     *Return          `json:"return,omitempty"`  // storm
	Syscalls   *syscount.Counts `json:"syscalls,omitempty"`
	Wrong      uint64           `json:"wrong"`          // sessions that received a wrong byte
	Failed     uint64           `json:"failed"`         // sessions that did not open, ended early or kept an answer
	Lost       uint64           `json:"lost,omitempty"` // push: messages that were sent and did not come
	FirstError string           `json:"first_error,omitempty"`
	// Limited is a sentence if the figures are the harness's own rather than the target's; "": they are the target's.
	Limited string `json:"limited,omitempty"`
	// Notes say what to know when reading the figures, and which were asked for and are missing.
	Notes []string `json:"notes,omitempty"`
}

// Sound says whether every session did what it should and every byte was right.
func (r *Result) Sound() bool { return r.Wrong == 0 && r.Failed == 0 && r.Lost == 0 }

// SelfShare is the part of one processor that the load generator used; it has one thread at work, so 1 is all it can do.
func (r *Result) SelfShare() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return r.CPU.Self / r.Seconds
}

// Schedule says how late messages were handed out, in microseconds after their time. That is the lateness of the side
// that sends them, and is part of the latencies.
type Schedule struct {
	Rate float64 `json:"rate"` // asked for, messages per second
	P50  float64 `json:"late_p50_us"`
	P99  float64 `json:"late_p99_us"`
	Max  float64 `json:"late_max_us"`
}

const (
	fullShare   = 0.95 // of a processor: from here on it counts as full
	leastWindow = 0.1  // s: below it processor times, counted in 10 ms, say nothing
	lateFloorUs = 500  // a schedule that is late by less than this is as good as timers on a shared machine are
	lateShare   = 0.25 // of the latency at the same quantile: above it the latency is the harness's own
)

// judge decides whether the harness was the limit. cpu is the one processor the generator may use, -1: several.
func (r *Result) judge(cpu int) {
	if r.Seconds < leastWindow {
		return
	}
	share := r.SelfShare()
	switch s := r.Schedule; {
	case s == nil && share >= fullShare:
		r.note("the load generator used %.0f %% of a processor: what a second holds is its limit, costs per unit are the target's", 100*share)
	case s == nil && r.busy(cpu) >= fullShare:
		r.note("processor %d, the load generator's, was full: what a second holds is its limit, costs per unit are the target's", cpu)
	case s == nil:
	case share >= fullShare:
		r.Limited = fmt.Sprintf("the load generator used %.0f %% of a processor: it cannot keep this schedule", 100*share)
	case r.Latency != nil && s.P99 > lateFloorUs && s.P99 > lateShare*r.Latency.P99:
		r.Limited = fmt.Sprintf("the schedule ran late (p99 %.0f us, max %.0f us) beside latencies of p99 %.0f us: they are the harness's more than the target's", s.P99, s.Max, r.Latency.P99)
	}
}

// busy is the share of that processor which somebody used.
func (r *Result) busy(cpu int) float64 {
	if cpu < 0 || cpu >= len(r.CPU.Busy) || r.Seconds == 0 {
		return 0
	}
	return r.CPU.Busy[cpu] / r.Seconds
}

func (r *Result) note(format string, a ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, a...)) }
