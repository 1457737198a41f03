package maglev

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
	"testing"
)

// sampleOfN is numbers of backends from 3 to 1,000: all up to 8, then each a fifth larger than the last, and those at
// which there are 100 slots for each. LONGSPLICE_EVERY_N=1 takes every one.
func sampleOfN() []int {
	if os.Getenv("LONGSPLICE_EVERY_N") != "" {
		var every []int
		for n := 3; n <= 1000; n++ {
			every = append(every, n)
		}
		return every
	}
	ns := []int{slots / 100, slots/100 + 1, 1000}
	for n := 3; n < 1000; n = max(n+1, n*6/5) {
		ns = append(ns, n)
	}
	slices.Sort(ns)
	return ns
}

// pool is n backends of weight 1, named as people name them.
func pool(n int) []Entry {
	es := make([]Entry, n)
	for i := range es {
		es[i] = Entry{[]string{
			fmt.Sprintf("b%d", i+1), fmt.Sprintf("10.0.%d.%d:8080", i/250, i%250), fmt.Sprintf("chat@fd00::%x", i), fmt.Sprintf("rack-%c-%03d", 'a'+i%8, i),
		}[n%4], 1}
	}
	return es
}

// One of N backends goes, and comes again: at most 1/N + 1 % of the slots change their owner, whichever it is. The new
// one takes slots from others, and none of those that stay takes more than that 1 % from each other.
func TestOneOfNComesOrGoes(t *testing.T) {
	worst, worstN, between := 0.0, 0, 0.0
	for _, n := range sampleOfN() {
		es := pool(n)
		all := names(must(t, slots, es), es)
		for _, gone := range []int{0, n / 2, n - 1} {
			rest := slices.Delete(slices.Clone(es), gone, gone+1)
			without := names(must(t, slots, rest), rest)
			beyond := float64(moved(all, without))/slots - 1/float64(n)
			if beyond > 0.01 {
				t.Errorf("N = %d: 1/N + %.2f %% of the slots move with %s", n, 100*beyond, es[gone].Name)
			}
			if beyond > worst {
				worst, worstN = beyond, n
			}
			between = max(between, float64(amongOthers(all, without, es[gone].Name))/slots)
		}
	}
	t.Logf("moved at most 1/N + %.2f %% (N = %d); of it at most %.2f %% between backends that stay", 100*worst, worstN, 100*between)
	if between > 0.01 {
		t.Errorf("%.2f %% of the slots move between backends that stay", 100*between)
	}
}

// amongOthers counts the slots that change hands though their owner stays.
func amongOthers(with, without []string, gone string) (n int) {
	for i := range with {
		if with[i] != without[i] && with[i] != gone {
			n++
		}
	}
	return n
}

// With 100 slots or more for each, the busiest backend has at most 1 % more than its fair part, and the idlest 1 % less.
func TestSharesAreEven(t *testing.T) {
	worst := 0.0
	for _, n := range sampleOfN() {
		held := make([]int, n)
		for _, e := range must(t, slots, pool(n)).slots {
			held[e]++
		}
		fair := float64(slots) / float64(n)
		imbalance := max(float64(slices.Max(held))/fair-1, 1-float64(slices.Min(held))/fair)
		if n <= slots/100 {
			if worst = max(worst, imbalance); imbalance > 0.01 {
				t.Errorf("N = %d: %.2f %% from fair", n, 100*imbalance)
			}
		}
		if slices.Max(held)-slices.Min(held) > 1 {
			t.Errorf("N = %d: from %d to %d slots", n, slices.Min(held), slices.Max(held))
		}
	}
	t.Logf("at most %.2f %% from fair", 100*worst)
}

// Nodes of any version agree about every table: these never change.
func TestGoldenTableOfEveryN(t *testing.T) {
	for n, want := range map[int]uint64{
		3: 0xd19e2917f9e2674b, 10: 0x3bc522a77a6db2cf, 100: 0x4cc74e4a2502bfd5, 655: 0x173fe124cbec6b6f, 1000: 0x20c7aca825af7e86,
	} {
		f := fnv.New64a()
		es := pool(n)
		for _, name := range names(must(t, slots, es), es) {
			f.Write([]byte(name + "\x00"))
		}
		if got := f.Sum64(); got != want {
			t.Errorf("%d backends: %#016x, want %#016x", n, got, want)
		}
	}
	f := fnv.New64a()
	for n := 3; n <= 60; n++ {
		_ = binary.Write(f, binary.LittleEndian, must(t, 1009, pool(n)).slots)
	}
	if got := f.Sum64(); got != 0x286d61b5ce67b88c {
		t.Errorf("3 to 60 backends in small tables: %#016x", got)
	}
}
