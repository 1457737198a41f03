// Package timer keeps one deadline per numbered thing (a session's slot) in a hierarchical timer wheel.
//
// A worker owns one Wheel, arms it from its stages and empties it once per loop turn. A Wheel belongs to one
// goroutine. The clock is passed in, in milliseconds of any monotonic clock. Nothing allocates except the first Arm in each
// chunk of 1,024 ids.
//
// The wheel is scheme 7 of Varghese and Lauck, "Hashed and Hierarchical Timing Wheels" (SOSP 1987): level 0 has a
// slot for each of the next 64 ticks, a slot of level n+1 spans 64 slots of level n, and a slot's timers move
// down when its time begins. A timer's level is that of the highest base-64 digit in which its tick differs from the
// wheel's, so a timer moves at most once per level, and every occupied slot lies ahead of the wheel's own digit:
// the next thing to happen is the lowest bit of the lowest occupied level.
package timer

import "math/bits"

const (
	tickShift = 2 // a tick is 4 ms: exact enough for polls every 10 ms, and idle timers share a wake-up
	slotBits  = 6
	slots     = 1 << slotBits
	levels    = 8 // 64^8 ticks are 35,000 years: no deadline lies beyond the wheel
	maxTick   = 1<<(slotBits*levels) - 1
)

// TickMs is the wheel's resolution: a timer fires at most so many milliseconds late.
const TickMs = 1 << tickShift

// Wheel holds the timers of ids 0 to capacity-1. The zero value is not usable; New makes one.
type Wheel struct {
	chunks   []*chunk
	heads    [levels*slots + 1]uint32 // first node of each list, as a link; the last list holds what is due
	occupied [levels]uint64           // bit s of word l: list l*slots+s is not empty
	baseMs   int64                    // the clock at tick 0
	now      int64                    // ticks the wheel has been turned to; no list but the due one reaches back to it
	armed    int
}

// New returns a wheel for ids below capacity (at most 2^31 - 1) that stands at nowMs.
func New(capacity int, nowMs int64) *Wheel {
	return &Wheel{chunks: make([]*chunk, (capacity+chunkSize-1)/chunkSize), baseMs: nowMs}
}

// Len returns how many timers are armed.
func (w *Wheel) Len() int { return w.armed }

// Armed reports whether id has a timer that has not fired.
func (w *Wheel) Armed(id uint32) bool {
	c := w.chunks[id/chunkSize]
	return c != nil && c[id%chunkSize].prev != 0
}

// Arm sets id's one timer to deadlineMs, replacing the one it may have. A deadline that has passed fires at the
// next Expire, so a loop over Expire must not re-arm for the present. It panics if id is not below capacity.
func (w *Wheel) Arm(id uint32, deadlineMs int64) {
	c := w.chunks[id/chunkSize]
	if c == nil {
		c = new(chunk)
		w.chunks[id/chunkSize] = c
	}
	n := &c[id%chunkSize]
	if n.prev != 0 {
		w.unlink(n)
	} else {
		w.armed++
	}
	n.tick = min((deadlineMs-w.baseMs+TickMs-1)>>tickShift, maxTick)
	w.place(n, id)
}

// Disarm removes id's timer; without one it does nothing.
func (w *Wheel) Disarm(id uint32) {
	if w.Armed(id) {
		w.unlink(w.node(id))
		w.armed--
	}
}

// Expire disarms and returns one timer whose deadline has been reached at nowMs; call it until ok is false. Timers
// come in the order of their slots, those of one slot in any order. Between calls any id may be armed and disarmed.
// A clock that went back turns nothing back and only yields what was due already.
func (w *Wheel) Expire(nowMs int64) (id uint32, ok bool) {
	if w.heads[due] == 0 {
		w.turn((nowMs - w.baseMs) >> tickShift)
	}
	if w.heads[due] == 0 {
		return 0, false
	}
	id = w.heads[due] - 1
	w.unlink(w.node(id))
	w.armed--
	return id, true
}

// WaitMs returns how many milliseconds a loop may sleep at nowMs: 0 if something is due, never beyond the nearest
// deadline's tick, at most maxMs; maxMs if nothing is armed. A negative maxMs (epoll's "for ever") is no bound.
// The sleep may be shorter than the nearest deadline asks when a higher level's slot has to be moved down first,
// once per level and slot.
func (w *Wheel) WaitMs(nowMs int64, maxMs int) int {
	if w.heads[due] != 0 {
		return 0
	}
	tick, _ := w.next()
	if tick < 0 {
		return maxMs
	}
	wait := max(w.baseMs+tick<<tickShift-nowMs, 0)
	if maxMs < 0 {
		return int(wait)
	}
	return int(min(wait, int64(maxMs)))
}

// turn moves the wheel towards tick `to` and stops as soon as something is due, which is then the earliest.
func (w *Wheel) turn(to int64) {
	for w.heads[due] == 0 && w.now < to {
		tick, list := w.next()
		if tick < 0 || tick > to {
			w.now = to // in front of every occupied slot, so each keeps its level
			return
		}
		w.now = tick
		w.open(list)
	}
}

// next returns the nearest occupied list and the tick at which it is to be opened; tick -1 if all are empty.
func (w *Wheel) next() (tick int64, list uint32) {
	for l, word := range w.occupied {
		if word != 0 {
			s := bits.TrailingZeros64(word)
			shift := uint(l * slotBits)
			return w.now>>(shift+slotBits)<<(shift+slotBits) | int64(s)<<shift, uint32(l*slots + s)
		}
	}
	return -1, 0
}

// open spreads a list whose time has begun over the lower levels; what is due now goes to the due list. Its cost
// is per timer in the slot, about what arming it was.
func (w *Wheel) open(list uint32) {
	link := w.heads[list]
	w.heads[list] = 0
	w.occupied[list/slots] &^= 1 << (list % slots)
	for link != 0 {
		id := link - 1
		n := w.node(id)
		link = n.next
		w.place(n, id)
	}
}

// place puts an unlinked node into the list of its tick.
func (w *Wheel) place(n *node, id uint32) {
	if n.tick <= w.now {
		w.link(n, id, due)
		return
	}
	l := uint32(bits.Len64(uint64(n.tick^w.now))-1) / slotBits
	s := uint32(n.tick>>(l*slotBits)) % slots
	w.occupied[l] |= 1 << s
	w.link(n, id, l*slots+s)
}
