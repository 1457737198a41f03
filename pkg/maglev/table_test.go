package maglev

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const slots = 65537

// backends returns n entries, weights drawn by weigh.
func backends(n int, weigh func(i int) int) []Entry {
	es := make([]Entry, n)
	for i := range es {
		es[i] = Entry{fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250), weigh(i)}
	}
	return es
}

func one(int) int { return 1 }

// must builds a table that has no reason to fail.
func must(t testing.TB, size int, es []Entry) *Table {
	t.Helper()
	table, err := Build(size, es)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// names returns the owner of each slot.
func names(table *Table, es []Entry) []string {
	out := make([]string, table.Size())
	for i, e := range table.slots {
		out[i] = es[e].Name
	}
	return out
}

// moved counts the slots whose owner differs.
func moved(a, b []string) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestBuildRefuses(t *testing.T) {
	for _, c := range []struct {
		name, want string
		size       int
		es         []Entry
	}{
		{"size not prime", "65536 is not a prime", 65536, backends(2, one)},
		{"size zero", "0 is not a prime", 0, nil},
		{"negative size", "-7 is not a prime", -7, nil},
		{"duplicate name", `named "a"`, 7, []Entry{{"a", 1}, {"b", 1}, {"a", 2}}},
		{"duplicate without weight", `named "a"`, 7, []Entry{{"a", 1}, {"a", 0}}},
		{"negative weight", `weight -1 of "a"`, 7, []Entry{{"a", -1}}},
		{"weight too large", `weight 1048577 of "a"`, 7, []Entry{{"a", MaxWeight + 1}}},
		{"too many entries", "65536 entries", slots, backends(MaxEntries+1, one)},
	} {
		_, err := Build(c.size, c.es)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
}

func TestTableWithoutSlotsAnswersMinusOne(t *testing.T) {
	for _, es := range [][]Entry{nil, {{"a", 0}, {"b", 0}}} {
		table := must(t, slots, es)
		if table.Lookup(1<<63) != -1 || table.Lookup(0) != -1 || table.Next(1<<63, 1) != -1 {
			t.Errorf("%v: an answer from an empty table", es)
		}
	}
}

func TestEntryWithoutWeightGetsNothing(t *testing.T) {
	es := []Entry{{"a", 1}, {"b", 0}, {"c", 2}}
	all := must(t, 1009, es)
	without := must(t, 1009, []Entry{es[0], es[2]})
	if diff := cmp.Diff(names(without, []Entry{es[0], es[2]}), names(all, es)); diff != "" {
		t.Errorf("weight 0 is not the same as absence: %s", diff)
	}
}

func TestSmallTables(t *testing.T) {
	for _, size := range []int{2, 3, 5, 7, 11} {
		for n := 1; n <= 2*size; n++ {
			table := must(t, size, backends(n, one))
			seen := map[uint16]bool{}
			for _, e := range table.slots {
				seen[e] = true
			}
			if len(seen) != min(n, size) {
				t.Errorf("size %d, %d entries: %d of them used", size, n, len(seen))
			}
		}
	}
}

// Whatever the order of the lines, the same names own the same slots; indexes are those of the caller's order.
func TestOrderOfEntriesDoesNotMatter(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 0))
		es := backends(1+rng.IntN(200), func(int) int { return rng.IntN(5) })
		es[0].Weight = 1
		want := names(must(t, 5003, es), es)
		shuffled := append([]Entry(nil), es...)
		rng.Shuffle(len(es), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		if n := moved(want, names(must(t, 5003, shuffled), shuffled)); n != 0 {
			t.Fatalf("seed %d: %d slots differ after shuffling %d entries", seed, n, len(es))
		}
	}
}

// Claims are settled in some order; the outcome may not depend on it, only on names and weights.
func TestOrderOfClaimsDoesNotMatter(t *testing.T) {
	for seed := range uint64(30) {
		rng := rand.New(rand.NewPCG(seed, 0))
		es := backends(2+rng.IntN(100), func(int) int { return 1 + rng.IntN(9) })
		order, _ := byName(es)
		forward := newClaimants(1009, es, order)
		share(1009, forward)
		backward := append([]claimant(nil), forward...)
		for i, c := range forward {
			backward[len(backward)-1-i] = c
		}
		if diff := cmp.Diff(fill(1009, forward), fill(1009, backward)); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

// With every share above one slot, each entry has its exact share rounded up or down, which is within 1 % from 100
// slots an entry on.
func TestSharesFollowWeights(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		top := 1 << rng.IntN(5)
		es := backends(1+rng.IntN(655), func(int) int { return 1 + rng.IntN(top) })
		table := must(t, slots, es)
		total, got := 0, make([]int, len(es))
		for _, e := range es {
			total += e.Weight
		}
		for _, e := range table.slots {
			got[e]++
		}
		for i, e := range es {
			if exact := slots * float64(e.Weight) / float64(total); math.Abs(float64(got[i])-exact) >= 1 {
				t.Fatalf("seed %d: weight %d of %d has %d slots, want %.2f", seed, e.Weight, total, got[i], exact)
			}
		}
	}
}

func TestSmallWeightStillGetsASlot(t *testing.T) {
	es := backends(10, func(i int) int { return 1 + (MaxWeight-1)*min(i%5, 1) })
	got := make([]int, len(es))
	for _, e := range must(t, 1009, es).slots {
		got[e]++
	}
	if diff := cmp.Diff([]int{1, 126, 126, 126, 126, 1, 126, 126, 126, 125}, got); diff != "" {
		t.Error(diff)
	}
}

// One backend of N leaves or comes: at most its share + 1 % of the slots change their owner.
func TestFewSlotsMove(t *testing.T) {
	mixed := func(i int) int { return 1 + i*7%10 }
	for _, c := range []struct {
		name  string
		n     int
		weigh func(int) int
	}{
		{"equal", 3, one},
		{"equal", 10, one},
		{"equal", 100, one},
		{"equal", 400, one},
		{"equal", 655, one},
		{"equal", 1000, one},
		{"mixed", 3, mixed},
		{"mixed", 30, mixed},
		{"mixed", 500, mixed},
		{"mixed", 1000, mixed},
	} {
		es := backends(c.n, c.weigh)
		total := 0
		for _, e := range es {
			total += e.Weight
		}
		all := names(must(t, slots, es), es)
		worst := 0.0
		for i := 0; i < c.n; i += max(1, c.n/8) {
			rest := append(append([]Entry(nil), es[:i]...), es[i+1:]...)
			n := moved(all, names(must(t, slots, rest), rest))
			worst = max(worst, float64(n)/slots-float64(es[i].Weight)/float64(total))
		}
		t.Logf("%s weights, N = %d: moved at most share + %.2f %%", c.name, c.n, 100*worst)
		if worst > 0.01 {
			t.Errorf("%s weights, N = %d: share + %.2f %% of the slots moved", c.name, c.n, 100*worst)
		}
	}
}

func TestNextVisitsEverySlotFromLookup(t *testing.T) {
	es := backends(300, one)
	table := must(t, 1009, es)
	for seed := range uint64(20) {
		h := rand.New(rand.NewPCG(seed, 0)).Uint64()
		if table.Next(h, 0) != table.Lookup(h) {
			t.Fatalf("seed %d: attempt 0 is not Lookup", seed)
		}
		seen := map[int]int{}
		for a := range table.Size() {
			seen[table.Next(h, a)]++
		}
		for i := range es {
			if n := seen[i]; n != 3 && n != 4 {
				t.Fatalf("seed %d: entry %d seen %d times in a whole walk", seed, i, n)
			}
		}
	}
}

// The sessions of a backend that is passed over spread over all others.
func TestNextSpreads(t *testing.T) {
	const n, hashes, seed = 10, 200_000, 3
	table := must(t, slots, backends(n, one))
	rng := rand.New(rand.NewPCG(seed, 0))
	var got [n]int
	walked := 0
	for range hashes {
		h := rng.Uint64()
		if table.Lookup(h) != 4 {
			continue
		}
		a := 1
		for table.Next(h, a) == 4 {
			a++
		}
		got[table.Next(h, a)]++
		walked++
	}
	for i, g := range got {
		if share := float64(g) * (n - 1) / float64(walked); i != 4 && math.Abs(share-1) > 0.1 {
			t.Errorf("seed %d: entry %d takes %.2f of its fair part", seed, i, share)
		}
	}
}

func TestIsPrime(t *testing.T) {
	for n, want := range map[int]bool{
		-3: false, 0: false, 1: false, 2: true, 3: true, 4: false, 9: false, 25: false, 65537: true, 65536: false,
		655373: true, 65521 * 65521: false, 1<<31 - 1: true,
	} {
		if IsPrime(n) != want {
			t.Errorf("IsPrime(%d) = %v", n, !want)
		}
	}
}

// Boxes and versions must agree for ever: these values never change.
func TestGoldenTables(t *testing.T) {
	three := []Entry{{"b1", 1}, {"b2", 1}, {"b3", 1}}
	if got := strings.Join(names(must(t, 23, three), three), " "); got != "b3 b3 b1 b1 b2 b1 b1 b1 b3 b3 b2 b1 b1 b2 b2 b2 b2 b3 b3 b2 b2 b1 b3" {
		t.Errorf("three backends, 23 slots:\n%s", got)
	}
	for _, c := range []struct {
		name string
		size int
		es   []Entry
		want uint64
	}{
		{"3 equal", slots, three, 0x5f807984db2852a7},
		{"100 mixed", slots, backends(100, func(i int) int { return i % 7 }), 0x64eae32d8a6c6222},
		{"1000 equal", slots, backends(1000, one), 0x9ca1fc1454ffe73b},
		{"1000 equal, larger table", 655373, backends(1000, one), 0xd2e3f9aa7eff0654},
	} {
		f := fnv.New64a()
		_ = binary.Write(f, binary.LittleEndian, must(t, c.size, c.es).slots)
		if got := f.Sum64(); got != c.want {
			t.Errorf("%s: slots hash to %#016x, want %#016x", c.name, got, c.want)
		}
	}
	table := must(t, slots, backends(1000, one))
	const h = 1 << 63
	got := []int{table.Lookup(0), table.Lookup(h), table.Lookup(math.MaxUint64), table.Next(h, 1), table.Next(h, 2)}
	if diff := cmp.Diff([]int{698, 357, 269, 70, 84}, got); diff != "" {
		t.Errorf("lookups: %s", diff)
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	table := must(t, 1009, backends(10, one))
	if n := testing.AllocsPerRun(100, func() { sink += table.Lookup(1<<63) + table.Next(1<<63, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var sink int

func BenchmarkBuild1000(b *testing.B) {
	es := backends(1000, one)
	for b.Loop() {
		must(b, slots, es)
	}
}

func BenchmarkBuild1000Weighted(b *testing.B) {
	es := backends(1000, func(i int) int { return 1 + i*7%10 })
	for b.Loop() {
		must(b, slots, es)
	}
}

func BenchmarkLookup(b *testing.B) {
	table := must(b, slots, backends(1000, one))
	for h := uint64(1); b.Loop(); h *= 0x9e3779b97f4a7c15 {
		sink += table.Lookup(h)
	}
}

func BenchmarkNext(b *testing.B) {
	table := must(b, slots, backends(1000, one))
	for h := uint64(1); b.Loop(); h *= 0x9e3779b97f4a7c15 {
		sink += table.Next(h, 2)
	}
}
