package histogram

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestEveryValueLiesInItsBucket(t *testing.T) {
	const seed = 1
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	values := []uint64{0, 1, 63, 64, 65, 127, 128, 129, 1 << 20, 1<<20 - 1, 1<<63 - 1}
	for range 10000 {
		values = append(values, rng.Uint64()>>(1+rng.IntN(62)))
	}
	for _, v := range values {
		i := bucketOf(v)
		if i < 0 || i >= buckets {
			t.Fatalf("value %d: bucket %d is outside 0..%d", v, i, buckets)
		}
		if int64(v) > upperEdge(i) || i > 0 && int64(v) <= upperEdge(i-1) {
			t.Fatalf("value %d is not in bucket %d: (%d, %d]", v, i, upperEdge(i-1), upperEdge(i))
		}
	}
}

func TestQuantilesAreWithinABucketOfTheTruth(t *testing.T) {
	const seed = 2
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	var h Histogram
	var truth []int64
	for range 50000 {
		v := int64(rng.ExpFloat64() * 50_000)
		truth = append(truth, v)
		h.Record(v)
	}
	slices.Sort(truth)
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999, 1} {
		want := truth[max(int(q*float64(len(truth))+0.999999)-1, 0)]
		got := h.Quantile(q)
		if got < want || float64(got) > float64(want)*(1+1.0/sub)+1 {
			t.Errorf("quantile %v = %d, sorted values say %d", q, got, want)
		}
	}
	if h.Count() != 50000 || h.Max() != truth[len(truth)-1] {
		t.Errorf("count %d, max %d; want 50000, %d", h.Count(), h.Max(), truth[len(truth)-1])
	}
}

func TestEmptyAndNegative(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Max() != 0 {
		t.Error("an empty histogram must answer 0")
	}
	h.Record(-5)
	if h.Count() != 1 || h.Quantile(1) != 0 {
		t.Error("a negative value must count as 0")
	}
}
