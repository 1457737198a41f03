package worker

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// A listing that keeps a few has those that sorting all of them would put first, and counts all.
func TestListingKeepsTheFirst(t *testing.T) {
	const sessions = 3000
	_, w := simStage(t, sessions)
	list := func(l Listing) Listing {
		o := NewOrder(l.Step)
		w.Give(o)
		for {
			w.turn()
			select {
			case <-o.Done():
				return l
			default:
			}
		}
	}
	all := list(Listing{}).Entries
	seed := rand.Uint64()
	key := func(e *Entry) int64 { return int64((e.ID*0x9e3779b97f4a7c15 ^ seed) >> 55) } // 512 values: many are equal
	ids := func(entries []Entry) (ids []uint64) {
		for i := range entries {
			ids = append(ids, entries[i].ID)
		}
		return ids
	}
	for _, sorted := range []bool{false, true} {
		for _, most := range []int{0, 1, 2, 7, 256, 257, 2999, 3000, 4000} {
			for _, after := range []int{-1, 0, 1500, 2999} {
				t.Run(fmt.Sprintf("key=%v,max=%d,after=%d,seed=%d", sorted, most, after, seed), func(t *testing.T) {
					l := Listing{Max: most}
					want := slices.Clone(all)
					slices.SortFunc(want, func(a, b Entry) int { return cmp.Compare(a.ID, b.ID) })
					if after >= 0 {
						l.After = want[after].ID
						want = want[after+1:]
					}
					if sorted {
						l.Key = key
						slices.SortStableFunc(want, func(a, b Entry) int { return cmp.Compare(key(&b), key(&a)) })
					}
					if most > 0 {
						want = want[:min(most, len(want))]
					}
					l = list(l)
					got := ids(l.Entries)
					slices.Sort(got)
					wanted := ids(want)
					slices.Sort(wanted)
					if !slices.Equal(got, wanted) || l.Seen != sessions {
						t.Errorf("%d sessions kept, %d seen; want %d others of %d", len(got), l.Seen, len(wanted), sessions)
					}
					if l.asked != len(l.Entries) {
						t.Errorf("the kernel was asked about %d of %d", l.asked, len(l.Entries))
					}
				})
			}
		}
	}
}
