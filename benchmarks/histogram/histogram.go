// Package histogram counts durations in logarithmic buckets.
//
// It belongs to one goroutine: the load generator's loop records, and reads when the run is over. Recording allocates
// nothing. The bucket layout is that of HdrHistogram (Gil Tene): an exponent and subBits bits of mantissa, so that
// every value is kept to within 1/64 of itself.
package histogram

import "math/bits"

const (
	subBits = 6
	sub     = 1 << subBits
	buckets = (64 - subBits + 1) * sub
)

// Histogram holds counts of non-negative values; the zero value is empty and ready. Values are nanoseconds by
// convention, though any unit does.
type Histogram struct {
	counts [buckets]uint64
	total  uint64
	max    int64
}

// Record counts v once; a negative v counts as 0.
func (h *Histogram) Record(v int64) {
	v = max(v, 0)
	h.counts[bucketOf(uint64(v))]++
	h.total++
	h.max = max(h.max, v)
}

// Count is the number of recorded values.
func (h *Histogram) Count() uint64 { return h.total }

// Max is the largest recorded value, exactly; 0 if there is none.
func (h *Histogram) Max() int64 { return h.max }

// Quantile returns a value v such that at least a share q (0..1) of the recorded values are <= v: the upper edge of
// the bucket that holds the quantile, never above Max. It is 0 for an empty histogram.
func (h *Histogram) Quantile(q float64) int64 {
	if h.total == 0 {
		return 0
	}
	rank := max(uint64(q*float64(h.total)+0.999999), 1)
	seen := uint64(0)
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			return min(upperEdge(i), h.max)
		}
	}
	return h.max
}

// bucketOf maps values below 2*sub to themselves, and larger ones to (exponent, leading subBits+1 bits).
func bucketOf(v uint64) int {
	if v < sub {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBits
	return shift*sub + int(v>>shift)
}

// upperEdge is the largest value that bucketOf maps to i.
func upperEdge(i int) int64 {
	if i < 2*sub {
		return int64(i)
	}
	shift := i/sub - 1
	return int64((uint64(i-shift*sub)+1)<<shift - 1)
}
