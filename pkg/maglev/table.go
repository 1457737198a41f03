// Package maglev spreads hashes over weighted backends so that few of them move when the backends change.
//
// backend builds a Table whenever a pool changes; workers look up in it for each new session. A Table never changes after
// Build, so any number of goroutines may read it. Its content follows from the size and the entries' names and
// weights alone: not from their order, the machine or the process. It is part of what boxes agree on, so changing
// a formula here moves sessions during a rolling upgrade (golden vectors hold it).
package maglev

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// MaxEntries is how many entries a Table takes; slots are 16 bits wide.
const MaxEntries = 1<<16 - 1

// MaxWeight is the largest weight.
const MaxWeight = 1 << 20

// Entry is one backend. Its share of the slots is Weight over the sum of weights; 0 takes no part.
type Entry struct {
	Name   string
	Weight int
}

// Table maps hashes to entries.
type Table struct{ slots []uint16 }

// Build makes a table of size slots, which must be prime. Each entry's number of slots is its exact share
// rounded up or down. An entry whose share is below one slot still gets one, at the others' cost, if there are as
// many slots as entries. A table in which no entry has weight has no slots.
//
// Errors: a size that is not prime, more than MaxEntries entries, two entries of one name, a weight outside 0..MaxWeight.
func Build(size int, entries []Entry) (*Table, error) {
	if !IsPrime(size) {
		return nil, fmt.Errorf("build table: size %d is not a prime", size)
	}
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("build table: %d entries, at most %d", len(entries), MaxEntries)
	}
	order, err := byName(entries)
	if err != nil {
		return nil, err
	}
	claimants := newClaimants(size, entries, order)
	if len(claimants) == 0 {
		return &Table{}, nil
	}
	share(size, claimants)
	return &Table{slots: fill(size, claimants)}, nil
}

// byName returns the entries' indexes in the order of their names, after checking names and weights.
func byName(entries []Entry) ([]int, error) {
	order := make([]int, len(entries))
	for i, e := range entries {
		order[i] = i
		if e.Weight < 0 || e.Weight > MaxWeight {
			return nil, fmt.Errorf("build table: weight %d of %q is outside 0..%d", e.Weight, e.Name, MaxWeight)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(entries[a].Name, entries[b].Name) })
	for i := 1; i < len(order); i++ {
		if name := entries[order[i]].Name; name == entries[order[i-1]].Name {
			return nil, fmt.Errorf("build table: two entries are named %q", name)
		}
	}
	return order, nil
}

// Size returns the number of slots, 0 if no entry has weight.
func (t *Table) Size() int { return len(t.slots) }

// Lookup returns the index, in the slice given to Build, of the entry that hash belongs to; -1 if the table has no
// slots. The upper bits of hash choose the slot: hash must be a good one.
func (t *Table) Lookup(hash uint64) int {
	i, _ := bits.Mul64(hash, uint64(len(t.slots)))
	if i >= uint64(len(t.slots)) {
		return -1
	}
	return int(t.slots[i])
}

// Next returns the candidate for attempt 1, 2, ... where Lookup's answer (attempt 0) cannot be used; -1 if the
// table has no slots. Each hash walks the slots by a stride of its own (double hashing), so the sessions of a
// backend that is passed over spread over all others by weight. One entry may come up repeatedly; Size attempts visit
// every slot.
func (t *Table) Next(hash uint64, attempt int) int {
	size := uint64(len(t.slots))
	if size == 0 {
		return -1
	}
	start, _ := bits.Mul64(hash, size)
	stride, _ := bits.Mul64(mix(hash), size-1)
	return int(t.slots[(start+(stride+1)*(uint64(attempt)%size))%size])
}

// IsPrime reports whether n is a prime number, by trial division.
func IsPrime(n int) bool {
	if n < 4 {
		return n > 1
	}
	for d := 2; d <= n/d; d++ {
		if n%d == 0 {
			return false
		}
	}
	return true
}
