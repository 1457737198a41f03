package load

import (
	"math"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency in microseconds. In an open loop it counts from the message's scheduled time, sent or not: a target that stalls
// is charged for every message it held up, so that no further correction for coordinated omission is due. In a closed
// loop it counts from the sending, and says less: who waits sends nothing.
type Latency struct {
	Count uint64  `json:"count"`
	P50   float64 `json:"p50_us"`
	P90   float64 `json:"p90_us"`
	P99   float64 `json:"p99_us"`
	P999  float64 `json:"p99_9_us"`
	Max   float64 `json:"max_us"`
	// Distribution is the whole of it for plots, rising, from the least to the largest.
	Distribution []Point `json:"distribution,omitempty"`
}

// Point says that a share of Quantile (0..1) of the values took Us microseconds or less.
type Point struct {
	Quantile float64 `json:"q"`
	Us       float64 `json:"us"`
}

// percentiles are the points of a Distribution.
var percentiles = []float64{
	0, 1, 2, 5, 10, 20, 25, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96, 97, 98, 98.5,
	99, 99.25, 99.5, 99.75, 99.9, 99.925, 99.95, 99.975, 99.99, 100,
}

const (
	leastNs   = 64                  // latencies are not told apart below
	highestNs = 100 * 1_000_000_000 // 100 s; longer ones count as this
	digits    = 3                   // a value is kept to a thousandth of itself
)

// histogram counts durations in nanoseconds; recording allocates nothing. It belongs to one goroutine.
type histogram struct{ h *hdrhistogram.Histogram }

func newHistogram() histogram { return histogram{hdrhistogram.New(leastNs, highestNs, digits)} }

// record counts one duration; what is out of range counts as the nearest that is within.
func (h histogram) record(ns int64) { _ = h.h.RecordValue(min(max(ns, 0), highestNs)) }

// us are the durations that the given shares of all, in percent and rising, did not exceed, in microseconds.
func (h histogram) us(percent ...float64) []float64 {
	var all []float64
	for _, ns := range h.h.ValueAtPercentilesSlice(percent) {
		all = append(all, float64(ns)/1e3)
	}
	return all
}

// summary is nil if nothing was recorded.
func (h histogram) summary() *Latency {
	if h.h.TotalCount() == 0 {
		return nil
	}
	q := h.us(50, 90, 99, 99.9, 100)
	l := &Latency{Count: uint64(h.h.TotalCount()), P50: q[0], P90: q[1], P99: q[2], P999: q[3], Max: q[4]}
	for i, us := range h.us(percentiles...) {
		l.Distribution = append(l.Distribution, Point{math.Round(percentiles[i]*100) / 1e4, us})
	}
	return l
}

// schedule reads the histogram as lateness; nil if nothing was recorded.
func (h histogram) schedule(rate float64) *Schedule {
	if h.h.TotalCount() == 0 {
		return nil
	}
	q := h.us(50, 99, 100)
	return &Schedule{Rate: rate, P50: q[0], P99: q[1], Max: q[2]}
}
