package maglev

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// FuzzBuild builds tables of any size, names and weights: every slot has an owner with weight, shares are exact to one
// slot where each is at least one, and the order of the lines does not matter.
func FuzzBuild(f *testing.F) {
	f.Add(uint16(7), []byte{1, 1, 1}, uint64(1))
	f.Add(uint16(1009), []byte{0, 1, 2, 3, 4, 255, 0, 17}, uint64(2))
	f.Add(uint16(2), []byte{255, 1, 1, 1}, uint64(3))
	f.Add(uint16(65521), []byte{1, 0, 100}, uint64(4))
	f.Add(uint16(0), []byte{}, uint64(0))
	f.Fuzz(func(t *testing.T, size uint16, weights []byte, seed uint64) {
		if len(weights) > 300 || len(weights) > 20 && size > 5000 {
			return
		}
		es := make([]Entry, len(weights))
		for i, w := range weights {
			es[i] = Entry{fmt.Sprint("b", i*i), int(w) * int(w)}
		}
		table, err := Build(int(size), es)
		if (err == nil) != IsPrime(int(size)) {
			t.Fatalf("size %d: %v", size, err)
		}
		if err != nil || table.Size() == 0 {
			return
		}
		checkShares(t, table, es)
		shuffled := append([]Entry(nil), es...)
		rand.New(rand.NewPCG(seed, 0)).Shuffle(len(es), func(a, b int) { shuffled[a], shuffled[b] = shuffled[b], shuffled[a] })
		if n := moved(names(table, es), names(must(t, int(size), shuffled), shuffled)); n != 0 {
			t.Fatalf("%d slots differ after shuffling", n)
		}
		if i := table.Next(seed, int(seed%1000)); i < 0 || es[i].Weight == 0 {
			t.Fatalf("entry %d comes next", i)
		}
	})
}

func checkShares(t *testing.T, table *Table, es []Entry) {
	t.Helper()
	total, least, held := 0, math.MaxInt, make([]int, len(es))
	for _, e := range es {
		if total += e.Weight; e.Weight > 0 {
			least = min(least, e.Weight)
		}
	}
	for _, e := range table.slots {
		held[e]++
	}
	allHave := least*table.Size() >= total
	for i, e := range es {
		exact := float64(table.Size()) * float64(e.Weight) / float64(total)
		if e.Weight == 0 && held[i] != 0 || allHave && math.Abs(float64(held[i])-exact) >= 1 {
			t.Fatalf("weight %d of %d holds %d of %d slots, want %.2f", e.Weight, total, held[i], table.Size(), exact)
		}
	}
}
