package accesslog

import "sync/atomic"

// Ring carries records from one worker to the writer. It is a queue of fixed size for one producer and one consumer
// (Lamport, "Proving the Correctness of Multiprocess Programs", 1977), each of which keeps its last look at the other's
// position, so that the line they share moves between CPUs only when the ring seems full or empty.
type Ring struct {
	slots []Record
	mask  uint64

	_        [64]byte
	tail     atomic.Uint64 // written by the producer: the next slot to fill
	headSeen uint64        // the producer's last look at head
	dropped  atomic.Uint64
	_        [40]byte
	head     atomic.Uint64 // written by the consumer: the next slot to take
	tailSeen uint64        // the consumer's last look at tail
	_        [48]byte
}

// NewRing makes a ring for at least n records: n is rounded up to a power of two.
func NewRing(n int) *Ring {
	size := 1
	for size < n {
		size *= 2
	}
	return &Ring{slots: make([]Record, size), mask: uint64(size - 1)}
}

// Put copies rec into the ring. False means that the ring was full: the record is dropped, and counted.
// Only the ring's worker may call it.
func (r *Ring) Put(rec *Record) bool {
	tail := r.tail.Load()
	if tail-r.headSeen > r.mask {
		r.headSeen = r.head.Load()
		if tail-r.headSeen > r.mask {
			r.dropped.Add(1)
			return false
		}
	}
	r.slots[tail&r.mask] = *rec
	r.tail.Store(tail + 1)
	return true
}

// Dropped is how many records did not fit.
func (r *Ring) Dropped() uint64 { return r.dropped.Load() }

// take moves the oldest record into rec; false means that the ring is empty. Only the writer calls it.
func (r *Ring) take(rec *Record) bool {
	head := r.head.Load()
	if head == r.tailSeen {
		r.tailSeen = r.tail.Load()
		if head == r.tailSeen {
			return false
		}
	}
	*rec = r.slots[head&r.mask]
	r.head.Store(head + 1)
	return true
}
