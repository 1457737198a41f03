package flow

import (
	"math/bits"
	"sync/atomic"
)

// A cell holds one client: the low 44 bits of its hash above a count of live sessions. A free cell is all zero,
// and a count never stays at zero: whoever takes the last session out frees the cell in the same CAS.
const (
	countBits = 20
	maxCount  = 1<<countBits - 1
	cells     = 8
)

// bucket is one cache line.
type bucket [cells]atomic.Uint64

// ClientTable counts the live sessions of each client, for max_sessions_per_client. It has a fixed size, is shared
// by all workers and takes no lock. A client is known by its hash (Hasher.Client); two clients are mistaken for
// one with a chance of about 2^-40, which only makes them share a limit.
//
// Each client has two buckets (Azar et al., "Balanced Allocations", 1994), searched completely and always in the same
// order; new clients go to the emptier one. Two workers that meet a new client at the same moment may give it two
// cells: sums count both, and each drains by itself.
//
// Release always finds a cell, so no count is ever left behind: for every position p of the search, the releases
// that have passed p without a match are at most as many as the sessions counted behind p. A release passes p only
// while p does not hold the client (so what was counted from p on is counted behind p), takes its session from
// behind every position it has passed, and starts again from the front when a CAS fails.
type ClientTable struct {
	buckets []bucket
	// Untracked counts the sessions that were let in without being counted because both buckets were full.
	Untracked atomic.Uint64
}

// NewClientTable returns a table for maxSessions live sessions, all of which may be of different clients.
// It takes about 12 bytes per session.
func NewClientTable(maxSessions int) *ClientTable {
	n := max(2, (max(maxSessions, 0)*3/2+cells-1)/cells)
	return &ClientTable{buckets: make([]bucket, n)}
}

// Acquire counts one more session of the client and returns true, or returns false, counting nothing, if the client
// has limit sessions already. Limit 0 means no limit; the session is still counted. Each true must be answered
// by one Release. While several workers add the first sessions of one client at once, the limit may be exceeded by
// fewer sessions than there are workers; once the client has one cell it is exact.
//
// A table that is full at the client's place fails open: true, not counted, and Untracked grows. The Release of
// such a session may take one of the same client that was counted since; counts then err on the low side.
func (t *ClientTable) Acquire(h uint64, limit uint32) bool {
	for {
		s := t.search(h)
		if limit != 0 && s.sum >= uint64(limit) {
			return false
		}
		if s.cell == nil {
			t.Untracked.Add(1)
			return true
		}
		if s.cell.CompareAndSwap(s.old, h<<countBits|(s.old&maxCount+1)) {
			return true
		}
	}
}

// Release takes back one Acquire that returned true. It does nothing if the client has no sessions counted.
func (t *ClientTable) Release(h uint64) {
	first, second := t.places(h)
	for {
		r := first.release(h)
		if r == absent {
			r = second.release(h)
		}
		if r != disturbed {
			return
		}
	}
}

// Count returns the client's sessions, a snapshot that may be old when it is read.
func (t *ClientTable) Count(h uint64) uint32 {
	return uint32(min(t.search(h).sum, 1<<32-1))
}

// places returns the client's two buckets, which differ. They come from the upper bits of h and of a multiple of it;
// the tag comes from the lower ones.
func (t *ClientTable) places(h uint64) (first, second *bucket) {
	n := uint64(len(t.buckets))
	i, _ := bits.Mul64(h, n)
	j, _ := bits.Mul64(h*0x9e3779b97f4a7c15, n)
	if i == j {
		j = (i + 1) % n
	}
	return &t.buckets[i], &t.buckets[j]
}

// found is what a search saw: the client's sessions, and the cell to count the next one in with its content (a
// cell of the client, else a free cell; nil if there is neither).
type found struct {
	cell     *atomic.Uint64
	old, sum uint64
}

// search looks at both buckets. A cell whose count is at its maximum is counted but not offered: the client
// then gets a second one.
func (t *ClientTable) search(h uint64) found {
	first, second := t.places(h)
	var s found
	free1, n1 := s.look(first, h)
	free2, n2 := s.look(second, h)
	if s.cell == nil {
		s.cell, s.old = free1, 0
		if n2 > n1 {
			s.cell = free2
		}
	}
	return s
}

// look adds what one bucket holds of the client to s; it returns the bucket's first free cell and how many are free.
func (s *found) look(b *bucket, h uint64) (free *atomic.Uint64, n int) {
	for i := range b {
		v := b[i].Load()
		switch {
		case v == 0:
			if free == nil {
				free = &b[i]
			}
			n++
		case v>>countBits == h<<countBits>>countBits:
			s.sum += v & maxCount
			if v&maxCount < maxCount {
				s.cell, s.old = &b[i], v
			}
		}
	}
	return free, n
}

// What release did: took a session out, found none of this client, or lost a CAS and must search again.
type outcome uint8

const (
	released outcome = iota
	absent
	disturbed
)

// release takes a session out of the first cell of the client in b. The last one leaves the cell free.
func (b *bucket) release(h uint64) outcome {
	for i := range b {
		v := b[i].Load()
		if v == 0 || v>>countBits != h<<countBits>>countBits {
			continue
		}
		less := v - 1
		if less&maxCount == 0 {
			less = 0
		}
		if b[i].CompareAndSwap(v, less) {
			return released
		}
		return disturbed
	}
	return absent
}
