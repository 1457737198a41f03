package flow

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
)

const second = int64(1e9)

func TestRateAllowsABurstThenThePace(t *testing.T) {
	r := NewRate(10, 5)
	now := 100 * second
	if got := allowed(r, now, 20); got != 5 {
		t.Errorf("%d at once, want the burst of 5", got)
	}
	if w := r.WaitNs(now); w != second/10 {
		t.Errorf("wait %d ns, want 100 ms", w)
	}
	if r.Allow(now + second/10 - 1) {
		t.Error("allowed 1 ns early")
	}
	if !r.Allow(now+second/10) || r.Allow(now+second/10) {
		t.Error("after one interval exactly one more must be allowed")
	}
	if got := allowed(r, now+1000*second, 20); got != 5 {
		t.Errorf("%d after a long rest, want the burst of 5", got)
	}
}

func TestRateAverage(t *testing.T) {
	for _, perSecond := range []int{1, 3, 1000, 333_333, 1_000_000} {
		r := NewRate(perSecond, 2) // with 1, the pace would be that of the questions
		step := second / int64(perSecond) / 3
		end := 2_000_000 * step
		got := 0
		for now := int64(0); now < end; now += step {
			if r.Allow(now) {
				got++
			}
		}
		want := float64(end) / float64(second) * float64(perSecond)
		if ratio := float64(got) / want; math.Abs(ratio-1) > 0.002 {
			t.Errorf("%d per second: %d allowed, %.0f expected", perSecond, got, want)
		}
	}
}

func TestRateRefusalCostsNothing(t *testing.T) {
	r := NewRate(1, 1)
	r.Allow(0)
	for now := int64(0); now < second; now += second / 100 {
		if r.Allow(now) {
			t.Fatalf("allowed at %d ns", now)
		}
	}
	if !r.Allow(second) {
		t.Error("refused after a whole interval: refusals were charged")
	}
}

func TestRateZeroIsNoLimit(t *testing.T) {
	r := NewRate(0, 0)
	if got := allowed(r, 5, 1000); got != 1000 || r.WaitNs(5) != 0 {
		t.Errorf("%d of 1000 allowed, wait %d", got, r.WaitNs(5))
	}
}

func TestRateIsSharedByWorkers(t *testing.T) {
	r := NewRate(1000, 100)
	var got atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { got.Add(int64(allowed(r, second, 1000))) })
	}
	wg.Wait()
	if got.Load() != 100 {
		t.Errorf("%d allowed at one moment by 8 workers, want the burst of 100", got.Load())
	}
}

// allowed asks n times at nowNs and counts the yeses.
func allowed(r *Rate, nowNs int64, n int) (yes int) {
	for range n {
		if r.Allow(nowNs) {
			yes++
		}
	}
	return yes
}

func BenchmarkRateAllow(b *testing.B) {
	r := NewRate(1_000_000, 100)
	for now := int64(0); b.Loop(); now += 1000 {
		r.Allow(now)
	}
}
