package ports

import (
	"fmt"
	"math/bits"
	"net/netip"
	"sync/atomic"

	"github.com/longsplice/longsplice/pkg/sys"
)

// RestMs is how long a refused port is left alone at least; twice as long at most. TIME_WAIT lasts 60 s on Linux
// (TCP_TIMEWAIT_LEN in include/net/tcp.h).
const RestMs = 60_000

// latchMs is how long an exhausted pair is not asked again, unless a port comes back.
const latchMs = 100

// Range is the ports from First to Last, both included. The zero value is none: the kernel chooses.
type Range struct{ First, Last uint16 }

// Len is the number of ports.
func (r Range) Len() int {
	if r == (Range{}) {
		return 0
	}
	return int(r.Last) - int(r.First) + 1
}

// Contains tells whether the port is one of them.
func (r Range) Contains(port uint16) bool { return r != (Range{}) && r.First <= port && port <= r.Last }

// Overlaps tells whether the two have a port in common.
func (r Range) Overlaps(o Range) bool {
	return r != (Range{}) && o != (Range{}) && r.First <= o.Last && o.First <= r.Last
}

func (r Range) String() string {
	if r == (Range{}) {
		return "chosen by the kernel"
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Number names a pair for as long as a session or a snapshot refers to it. 0 is none.
type Number uint32

// Pair is one source address towards one backend address.
type Pair struct {
	Number Number
	Source netip.Addr   // unspecified: the kernel chooses the address
	From   sys.Sockaddr // the same, for bind

	own Range

	// By port, from own.First on. A port is free if its bit is 0 in all three.
	taken   []atomic.Uint64
	resting [2][]atomic.Uint64 // by the parity of the minute in which they were refused

	// Where the kernel chooses: what it chooses from, First << 16 | Last; 0: not known.
	kernel atomic.Uint32

	_       [64]byte     // what follows is written by all workers
	used    atomic.Int64 // ports held by sessions
	cursor  atomic.Uint32
	minute  atomic.Int64 // the last one that Take has seen, in units of RestMs
	latched atomic.Int64 // exhausted until then, CLOCK_MONOTONIC ms
	rest    atomic.Int64 // no port rests after this, CLOCK_MONOTONIC ms
	_       [24]byte
}

// Own tells whether the ports are ours to choose.
func (p *Pair) Own() bool { return p.own != (Range{}) }

// Crowded tells whether the kernel chooses the ports, and more than half of those it chooses from are in use; r is these.
// Until then it finds one at once: half of the ports, the even or the odd ones, are there for connect, and searched first.
func (p *Pair) Crowded() (r Range, crowded bool) {
	k := p.kernel.Load()
	if k == 0 {
		return Range{}, false
	}
	r = Range{First: uint16(k >> 16), Last: uint16(k)}
	return r, 2*p.used.Load() > int64(r.Len())
}

// Range is the ports that are ours to choose.
func (p *Pair) Range() Range { return p.own }

// Used is how many ports sessions hold.
func (p *Pair) Used() int64 { return p.used.Load() }

// NewPair makes a pair that gives out the ports of own; with the zero Range the kernel chooses.
func NewPair(own Range) *Pair {
	words := (own.Len() + 63) / 64
	p := &Pair{own: own, taken: make([]atomic.Uint64, words)}
	p.resting = [2][]atomic.Uint64{make([]atomic.Uint64, words), make([]atomic.Uint64, words)}
	if over := own.Len() % 64; over != 0 {
		p.taken[words-1].Store(^uint64(0) << over) // bits behind the last port are never free
	}
	return p
}

// Take gives a port that no session of this pair holds: the next free one after the port given last, so that a port that
// came back is used again as late as can be. The port is 0 where the kernel chooses. ok is false, at once, while the pair is
// known to be exhausted. nowMs is CLOCK_MONOTONIC.
func (p *Pair) Take(nowMs int64) (port uint16, ok bool) {
	if p.Latched(nowMs) {
		return 0, false
	}
	if !p.Own() {
		p.used.Add(1)
		return 0, true
	}
	p.wake(nowMs)
	start := p.cursor.Load() % uint32(p.own.Len())
	for i := range len(p.taken) + 1 { // the first word twice: from the cursor on, and then up to it
		word := (int(start/64) + i) % len(p.taken)
		from := ^uint64(0)
		if i == 0 {
			from <<= start % 64
		}
		if bit, ok := p.takeFrom(word, from); ok {
			at := uint32(word*64 + bit)
			p.cursor.Store(at + 1)
			p.used.Add(1)
			return p.own.First + uint16(at), true
		}
	}
	p.Exhausted(nowMs)
	return 0, false
}

// takeFrom takes the lowest free port of a word among the bits of from. The order of the loads matters: a port starts to
// rest before it stops being taken.
func (p *Pair) takeFrom(word int, from uint64) (bit int, ok bool) {
	for {
		taken := p.taken[word].Load()
		free := from &^ (taken | p.resting[0][word].Load() | p.resting[1][word].Load())
		if free == 0 {
			return 0, false
		}
		bit = bits.TrailingZeros64(free)
		if p.taken[word].CompareAndSwap(taken, taken|1<<bit) {
			return bit, true
		}
	}
}

// Give returns what Take gave, at the end of the session or when the connect has failed for a reason of the other side.
func (p *Pair) Give(port uint16) {
	if p.own.Contains(port) {
		word, bit := p.place(port)
		p.taken[word].And(^bit)
	}
	p.used.Add(-1)
	if p.latched.Load() != 0 {
		p.latched.Store(0)
	}
}

// Refused returns a port that the kernel would not let us use (EADDRNOTAVAIL, EADDRINUSE): it rests for RestMs. Where
// the kernel chooses, it has found none: the pair is exhausted.
func (p *Pair) Refused(port uint16, nowMs int64) {
	if !p.own.Contains(port) {
		p.used.Add(-1)
		p.Exhausted(nowMs)
		return
	}
	p.wake(nowMs)
	word, bit := p.place(port)
	p.rest.Store(nowMs + 2*RestMs)
	p.resting[nowMs/RestMs&1][word].Or(bit)
	p.taken[word].And(^bit)
	p.used.Add(-1)
}

// Claim takes one particular port, of a session that another process has handed over. False: it is held already.
func (p *Pair) Claim(port uint16) bool {
	if p.own.Contains(port) {
		word, bit := p.place(port)
		if p.taken[word].Or(bit)&bit != 0 {
			return false
		}
	}
	p.used.Add(1)
	return true
}

// Exhausted keeps Take from searching until a port comes back, or for 100 ms.
func (p *Pair) Exhausted(nowMs int64) { p.latched.Store(nowMs + latchMs) }

// Latched tells whether the pair is known to be exhausted at nowMs.
func (p *Pair) Latched(nowMs int64) bool { return p.latched.Load() > nowMs }

// wake lets the ports that were refused in the minute before the last one be tried again. A worker whose clock is a turn
// behind changes nothing.
func (p *Pair) wake(nowMs int64) {
	minute := nowMs / RestMs
	seen := p.minute.Load()
	if minute <= seen || !p.minute.CompareAndSwap(seen, minute) {
		return
	}
	p.clear(int(minute & 1))
	if minute > seen+1 {
		p.clear(int(1 - minute&1))
	}
}

func (p *Pair) clear(parity int) {
	for i := range p.resting[parity] {
		if p.resting[parity][i].Load() != 0 {
			p.resting[parity][i].Store(0)
		}
	}
}

func (p *Pair) place(port uint16) (word int, bit uint64) {
	at := port - p.own.First
	return int(at / 64), 1 << (at % 64)
}

// Usage is the ports of a pair, now.
type Usage struct {
	Used    int64 // held by sessions
	Resting int64 // refused by the kernel within the last minute or two
	Limit   int64 // that there are; 0 where the kernel chooses
}

// Usage counts. While ports rest it walks the bitmap: for metrics, not for each session.
func (p *Pair) Usage(nowMs int64) Usage {
	u := Usage{Used: p.used.Load(), Limit: int64(p.own.Len())}
	if p.rest.Load() < nowMs {
		return u
	}
	p.wake(nowMs)
	for i := range p.taken {
		u.Resting += int64(bits.OnesCount64((p.resting[0][i].Load() | p.resting[1][i].Load()) &^ p.taken[i].Load()))
	}
	return u
}
