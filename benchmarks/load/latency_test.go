package load

import (
	"math"
	"slices"
	"testing"
)

func TestSummaryIsThatOfTheValues(t *testing.T) {
	h := newHistogram()
	if h.summary() != nil || h.schedule(1) != nil {
		t.Error("nothing was recorded, and something came of it")
	}
	for i := range 100_000 { // 1 us to 100 ms
		h.record(int64(i+1) * 1000)
	}
	h.record(-5)
	l := h.summary()
	for _, q := range []struct{ got, want float64 }{{l.P50, 50_000}, {l.P90, 90_000}, {l.P99, 99_000}, {l.P999, 99_900}, {l.Max, 100_000}} {
		if math.Abs(q.got-q.want) > q.want/500 {
			t.Errorf("%.1f us, want %.1f", q.got, q.want)
		}
	}
	if l.Count != 100_001 || len(l.Distribution) != len(percentiles) {
		t.Errorf("%d values, %d points", l.Count, len(l.Distribution))
	}
	rises := func(a, b Point) int {
		if a.Quantile < b.Quantile && a.Us <= b.Us {
			return -1
		}
		return 1
	}
	if !slices.IsSortedFunc(l.Distribution, rises) {
		t.Errorf("the distribution does not rise: %v", l.Distribution)
	}
	if last := l.Distribution[len(l.Distribution)-1]; last.Quantile != 1 || last.Us != l.Max {
		t.Errorf("it ends with %v, not with the maximum", last)
	}
}

func TestTooLongCountsAsTheLongest(t *testing.T) {
	h := newHistogram()
	h.record(math.MaxInt64)
	if got := h.summary(); got.Count != 1 || got.Max < highestNs/1e3 {
		t.Errorf("%+v", got)
	}
}

func TestWhoWasTheLimit(t *testing.T) {
	schedule := func(p99 float64) *Schedule { return &Schedule{Rate: 1000, P99: p99, Max: 2 * p99} }
	tests := []struct {
		name    string
		res     Result
		cpu     int
		limited bool
		notes   int
	}{
		{"closed loop, room left", Result{CPU: CPU{Self: 0.5, Busy: []float64{1, 0.5}}}, 1, false, 0},
		{"closed loop, generator full", Result{CPU: CPU{Self: 0.97}}, -1, false, 1},
		{"closed loop, its processor full", Result{CPU: CPU{Self: 0.5, Busy: []float64{0.2, 0.99}}}, 1, false, 1},
		{"closed loop, another processor full", Result{CPU: CPU{Self: 0.5, Busy: []float64{0.99, 0.5}}}, 1, false, 0},
		{"open loop, in time", Result{CPU: CPU{Self: 0.5}, Schedule: schedule(100), Latency: &Latency{P99: 200}}, -1, false, 0},
		{"open loop, late but beside longer latencies", Result{CPU: CPU{Self: 0.5}, Schedule: schedule(2000), Latency: &Latency{P99: 20_000}}, -1, false, 0},
		{"open loop, late", Result{CPU: CPU{Self: 0.5}, Schedule: schedule(2000), Latency: &Latency{P99: 3000}}, -1, true, 0},
		{"open loop, generator full", Result{CPU: CPU{Self: 0.99}, Schedule: schedule(10), Latency: &Latency{P99: 3000}}, -1, true, 0},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			tc.res.Seconds = 1
			tc.res.judge(tc.cpu)
			if (tc.res.Limited != "") != tc.limited || len(tc.res.Notes) != tc.notes {
				t.Errorf("limited %q, notes %q", tc.res.Limited, tc.res.Notes)
			}
		})
	}
}
