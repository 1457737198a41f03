package maglev

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// The table is Maglev's (Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016,
// section 3.4): each entry has a permutation of the slots, made from its name, and claims them in that order. It
// differs in who wins a slot. In Maglev it is whoever comes first while entries take turns, so a change early in the
// permutations shifts everything later: measured at 65,537 slots and 400 to 500 entries, removing one moves 1/N + 1.0 %,
// with mixed weights 1/N + 1.8 %. Here it is deferred acceptance (Gale and Shapley, "College Admissions and the Stability of
// Marriage", 1962): an entry claims slots until it holds its share, and a slot goes over to the claimant in whose
// permutation it stands earlier. That stays below its share + 0.65 %, except that removing one with a hundred times the others'
// weight moves its share + up to 2.3 %. The outcome of deferred acceptance does not depend on who claims first.

// claimant is an entry with weight. While the table is filled, next is the slot it will claim and turn how many
// it has claimed; need is how many it still lacks.
type claimant struct {
	entry      uint16
	weight     uint64
	hash       uint64
	next, skip uint64
	turn       uint32
	need       int
}

// claim is a slot's present holder and the turn in which it claimed the slot; turn 0 is a free slot.
type claim struct {
	holder uint16
	turn   uint32
}

// newClaimants returns the entries that have weight, in the given order, each before its first turn.
func newClaimants(size int, entries []Entry, order []int) []claimant {
	cs := make([]claimant, 0, len(entries))
	for _, i := range order {
		e := entries[i]
		if e.Weight == 0 {
			continue
		}
		f := fnv.New64a()
		f.Write([]byte(e.Name))
		h := mix(f.Sum64())
		cs = append(cs, claimant{
			entry: uint16(i), weight: uint64(e.Weight), hash: h,
			next: h % uint64(size), skip: 1 + mix(h)%uint64(size-1),
		})
	}
	return cs
}

// share sets how many slots each claimant needs: one where the exact share is less, else the share rounded by the
// method of largest remainders, ties by weight, then name. cs is in the order of names.
func share(size int, cs []claimant) {
	total, free := uint64(0), uint64(size)
	rest := make([]*claimant, len(cs))
	for i := range cs {
		rest[i] = &cs[i]
		total += cs[i].weight
	}
	slices.SortStableFunc(rest, func(a, b *claimant) int { return cmp.Compare(a.weight, b.weight) })
	for len(cs) <= size && free*rest[0].weight < total {
		rest[0].need = 1
		free, total, rest = free-1, total-rest[0].weight, rest[1:]
	}
	left := free
	for _, c := range rest {
		c.need = int(free * c.weight / total)
		left -= uint64(c.need)
	}
	slices.SortStableFunc(rest, func(a, b *claimant) int {
		return cmp.Compare(free*b.weight%total, free*a.weight%total)
	})
	for _, c := range rest[:left] {
		c.need++
	}
}

// fill lets every claimant claim slots until it holds what it needs. The needs add up to size. It ends because a
// claimant claims each slot once: one that all slots have turned away leaves no slot free, and then none is needed.
func fill(size int, cs []claimant) []uint16 {
	slots := make([]claim, size)
	prices := newPrices(size)
	waiting := make([]uint16, len(cs))
	for i := range cs {
		waiting[i] = uint16(i)
	}
	for len(waiting) > 0 {
		i := waiting[len(waiting)-1]
		c := &cs[i]
		if c.need == 0 {
			waiting = waiting[:len(waiting)-1]
			continue
		}
		at := c.claimNext(uint64(size))
		s := &slots[at]
		if s.turn != 0 {
			holder := &cs[s.holder]
			if !prices.prefers(c, c.turn, holder, s.turn, at) {
				continue
			}
			if holder.need == 0 {
				waiting = append(waiting, s.holder)
			}
			holder.need++
		}
		*s = claim{i, c.turn}
		c.need--
	}
	return entriesOf(slots, cs)
}

// claimNext returns the slot of c's next turn: a step through all slots, since skip and the prime size share no factor.
func (c *claimant) claimNext(size uint64) uint64 {
	at := c.next
	c.turn++
	c.next += c.skip
	if c.next >= size {
		c.next -= size
	}
	return at
}

// prices[t] is what the slot of turn t costs an entry of weight 1: -ln(1 - t/size) in fixed point, summed from integers
// because floating point logarithms differ between architectures. Divided by the weight it is the key of weighted
// rendezvous hashing, under which an entry wins slots in proportion to its weight even before its share stops it.
type prices []uint64

// priceOne is 1.0; a price stays below 2^41, so a price times MaxWeight fits 64 bits.
const priceOne = 1 << 36

func newPrices(size int) prices {
	p := make(prices, size+1)
	for t := range size {
		p[t+1] = p[t] + priceOne/uint64(size-t)
	}
	return p
}

// prefers reports whether slot at goes to a, in a's turn ta, rather than to b in turn tb. Equal prices are decided by
// a hash of name and slot. Should two names have one hash, the holder keeps the slot: still the same everywhere,
// since claimants claim in the order of their names.
func (p prices) prefers(a *claimant, ta uint32, b *claimant, tb uint32, at uint64) bool {
	x, y := p[ta]*b.weight, p[tb]*a.weight
	if x != y {
		return x < y
	}
	return mix(a.hash^at) < mix(b.hash^at)
}

// entriesOf translates the holders into the caller's indexes.
func entriesOf(slots []claim, cs []claimant) []uint16 {
	out := make([]uint16, len(slots))
	for i, s := range slots {
		out[i] = cs[s.holder].entry
	}
	return out
}

// mix is the finalizer of SplitMix64 (Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
