package flow

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"
)

func TestBucketIsACacheLine(t *testing.T) {
	if n := unsafe.Sizeof(bucket{}); n != 64 {
		t.Errorf("bucket is %d bytes", n)
	}
}

func TestAcquireStopsAtTheLimit(t *testing.T) {
	ct := NewClientTable(100)
	h := refHasher.Counter(1)
	for i := range 3 {
		if !ct.Acquire(h, 3) {
			t.Fatalf("session %d refused", i+1)
		}
	}
	if ct.Acquire(h, 3) || ct.Count(h) != 3 {
		t.Fatalf("a fourth session of three let in, count %d", ct.Count(h))
	}
	if !ct.Acquire(refHasher.Counter(2), 3) {
		t.Error("another client refused")
	}
	ct.Release(h)
	if !ct.Acquire(h, 3) {
		t.Error("refused after a release")
	}
	if !ct.Acquire(h, 0) || ct.Count(h) != 4 {
		t.Errorf("limit 0 must let in and count; count %d", ct.Count(h))
	}
}

// A hash whose lower 44 bits are zero has the tag of a free cell.
func TestClientWithTagZero(t *testing.T) {
	ct := NewClientTable(100)
	const h = 5 << 44
	if ct.Count(h) != 0 || !ct.Acquire(h, 1) || ct.Acquire(h, 1) || ct.Count(h) != 1 {
		t.Errorf("count %d after one session", ct.Count(h))
	}
	ct.Release(h)
	checkEmpty(t, ct)
}

func TestReleaseOfUnknownClientDoesNothing(t *testing.T) {
	ct := NewClientTable(100)
	ct.Acquire(1, 0)
	ct.Release(2)
	if ct.Count(1) != 1 || ct.Count(2) != 0 {
		t.Errorf("counts %d and %d", ct.Count(1), ct.Count(2))
	}
}

func TestFullCellSpillsIntoASecond(t *testing.T) {
	ct := NewClientTable(1)
	const h, more = 42, 3
	for range maxCount + more {
		ct.Acquire(h, 0)
	}
	if got := ct.Count(h); got != maxCount+more {
		t.Errorf("count %d, want %d", got, maxCount+more)
	}
	if ct.Acquire(h, maxCount+more) {
		t.Error("limit above one cell's count ignored")
	}
	for range maxCount + more {
		ct.Release(h)
	}
	checkEmpty(t, ct)
}

func TestFullTableFailsOpen(t *testing.T) {
	ct := NewClientTable(0)
	room := len(ct.buckets) * cells
	for i := range room + 10 {
		if !ct.Acquire(refHasher.Counter(uint64(i)), 1) {
			t.Fatalf("client %d refused", i)
		}
	}
	if got := ct.Untracked.Load(); got != 10 {
		t.Errorf("untracked %d, want 10", got)
	}
	for i := range room + 10 {
		ct.Release(refHasher.Counter(uint64(i)))
	}
	checkEmpty(t, ct)
}

// The size is chosen so that as many different clients as sessions find a place.
func TestTableHoldsItsSessions(t *testing.T) {
	for _, n := range []int{10, 1000, 100_000} {
		ct := NewClientTable(n)
		for i := range n {
			ct.Acquire(refHasher.Counter(uint64(i)), 1)
		}
		if got := ct.Untracked.Load(); got != 0 {
			t.Errorf("%d of %d clients found no place", got, n)
		}
	}
}

// Few clients and a tiny table make every CAS contended and every bucket nearly full.
func TestCountsReturnToZeroUnderContention(t *testing.T) {
	const seed, workers, rounds, clients = 7, 8, 20_000, 12
	ct := NewClientTable(clients)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			var mine [clients]uint32
			for range rounds {
				c := rng.IntN(clients)
				h := refHasher.Counter(uint64(c))
				if mine[c] > 0 && rng.IntN(2) == 0 {
					mine[c]--
					ct.Release(h)
				} else if ct.Acquire(h, 0) {
					mine[c]++
				}
			}
			for c, n := range mine {
				for range n {
					ct.Release(refHasher.Counter(uint64(c)))
				}
			}
		})
	}
	wg.Wait()
	if ct.Untracked.Load() != 0 {
		t.Fatalf("seed %d: %d untracked, the test needs none", seed, ct.Untracked.Load())
	}
	checkEmpty(t, ct)
}

// One client, opened and closed by all at once: the limit is exceeded by fewer sessions than there are workers.
func TestLimitUnderContention(t *testing.T) {
	const workers, rounds, limit = 8, 20_000, 3
	ct := NewClientTable(10)
	var live, worst atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				if !ct.Acquire(99, limit) {
					continue
				}
				n := live.Add(1)
				for w := worst.Load(); n > w && !worst.CompareAndSwap(w, n); w = worst.Load() {
				}
				live.Add(-1)
				ct.Release(99)
			}
		})
	}
	wg.Wait()
	if w := worst.Load(); w >= limit+workers {
		t.Errorf("%d sessions at once, limit %d", w, limit)
	}
	checkEmpty(t, ct)
}

// checkEmpty fails if a cell still holds something.
func checkEmpty(t *testing.T, ct *ClientTable) {
	t.Helper()
	for i := range ct.buckets {
		for j := range ct.buckets[i] {
			if v := ct.buckets[i][j].Load(); v != 0 {
				t.Errorf("bucket %d cell %d left with tag %x count %d", i, j, v>>countBits, v&maxCount)
			}
		}
	}
}

func BenchmarkAcquireRelease(b *testing.B) {
	ct := NewClientTable(1_000_000)
	for i := uint64(0); b.Loop(); i++ {
		h := refHasher.Counter(i & 0xffff)
		ct.Acquire(h, 10)
		ct.Release(h)
	}
}
