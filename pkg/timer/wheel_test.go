package timer

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

const hourMs = 3600 * 1000

func TestNodeIs16Bytes(t *testing.T) {
	if n := unsafe.Sizeof(node{}); n != 16 {
		t.Errorf("node is %d bytes", n)
	}
}

func TestTimerFiresInItsTick(t *testing.T) {
	const start = 1_000_003
	for _, inMs := range []int64{-5, 0, 1, 3, 4, 5, 10, 255, 256, 257, 16383, 16384, 16385, hourMs, 24 * hourMs, 400 * 24 * hourMs} {
		w := New(10, start)
		w.Arm(7, start+inMs)
		fired := int64(-1)
		for now := int64(start); fired < 0; now += max(int64(w.WaitMs(now, -1)), 1) {
			if id, ok := w.Expire(now); ok {
				fired = now
				if id != 7 || w.Len() != 0 || w.Armed(7) {
					t.Errorf("in %d ms: id %d, len %d, armed %v", inMs, id, w.Len(), w.Armed(7))
				}
			}
		}
		if late := fired - (start + inMs); inMs > 0 && (late < 0 || late >= TickMs) {
			t.Errorf("in %d ms: fired %d ms late", inMs, late)
		}
		if inMs <= 0 && fired != start {
			t.Errorf("deadline in the past (%d ms): fired after %d ms", inMs, fired-start)
		}
	}
}

func TestArmReplaces(t *testing.T) {
	w := New(10, 0)
	w.Arm(1, 100)
	w.Arm(1, 5000)
	if _, ok := w.Expire(4000); ok || w.Len() != 1 {
		t.Fatalf("the replaced timer fired; len %d", w.Len())
	}
	w.Arm(1, 4100)
	if id, ok := w.Expire(4104); !ok || id != 1 {
		t.Error("a timer moved to an earlier time did not fire")
	}
	if _, ok := w.Expire(hourMs); ok {
		t.Error("one timer fired twice")
	}
}

func TestDisarm(t *testing.T) {
	w := New(5000, 0)
	w.Disarm(4999) // its chunk does not exist
	if w.Armed(4999) {
		t.Error("armed without Arm")
	}
	for id := range uint32(3) {
		w.Arm(id, 1000)
	}
	w.Disarm(1)
	w.Disarm(1)
	if w.Len() != 2 || w.Armed(1) {
		t.Errorf("len %d, armed %v", w.Len(), w.Armed(1))
	}
	w.Disarm(0)
	w.Disarm(2)
	if got := w.WaitMs(0, 77); got != 77 {
		t.Errorf("empty wheel wants to wait %d", got)
	}
}

// What is due may still be taken back by the handling of a timer that fired before it.
func TestDisarmBetweenExpires(t *testing.T) {
	w := New(10, 0)
	for id := range uint32(4) {
		w.Arm(id, 100)
	}
	first, _ := w.Expire(200)
	kept := (first + 1) % 4
	for id := range uint32(4) {
		if id != kept {
			w.Disarm(id)
		}
	}
	if id, ok := w.Expire(200); !ok || id != kept {
		t.Errorf("got %d %v, want %d", id, ok, kept)
	}
	if _, ok := w.Expire(200); ok || w.Len() != 0 {
		t.Errorf("a disarmed timer fired; len %d", w.Len())
	}
}

func TestClockGoingBackMakesNoProgress(t *testing.T) {
	w := New(10, 1000)
	w.Arm(1, 2000)
	w.Expire(1900)
	if _, ok := w.Expire(10); ok {
		t.Error("fired at an earlier clock")
	}
	w.Arm(2, 500)
	if id, ok := w.Expire(10); !ok || id != 2 {
		t.Error("a passed deadline must fire at the next Expire")
	}
	if id, ok := w.Expire(2004); !ok || id != 1 {
		t.Error("the timer was lost")
	}
}

func TestWaitIsBounded(t *testing.T) {
	w := New(10, 0)
	if got := w.WaitMs(0, -1); got != -1 {
		t.Errorf("empty wheel without bound: %d", got)
	}
	w.Arm(1, 40)
	for _, c := range []struct {
		now         int64
		bound, want int
	}{{0, 1000, 40}, {0, -1, 40}, {0, 7, 7}, {30, 1000, 10}, {40, 1000, 0}, {99, 1000, 0}} {
		if got := w.WaitMs(c.now, c.bound); got != c.want {
			t.Errorf("WaitMs(%d, %d) = %d, want %d", c.now, c.bound, got, c.want)
		}
	}
}

// model is the wheel's specification: a map.
type model map[uint32]int64

// nearest returns the earliest deadline; the model is not empty.
func (m model) nearest() int64 {
	first := int64(1 << 62)
	for _, d := range m {
		first = min(first, d)
	}
	return first
}

// delay draws a deadline's distance, equally often from every magnitude.
func delay(rng *rand.Rand) int64 { return rng.Int64N(int64(1)<<rng.IntN(36)+1) - 2 }

func TestWheelAgreesWithModel(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 0))
		ids := 1 << rng.IntN(13)
		now := rng.Int64N(1 << 40)
		w, m := New(ids, now), model{}
		for range 2000 {
			id := uint32(rng.IntN(ids))
			switch rng.IntN(10) {
			case 0, 1, 2, 3, 4:
				d := now + delay(rng)
				w.Arm(id, d)
				m[id] = d
			case 5, 6:
				w.Disarm(id)
				delete(m, id)
			case 7:
				now += delay(rng) / 64
				fire(t, seed, w, m, now, rng)
			default:
				now += int64(w.WaitMs(now, 1<<20))
				fire(t, seed, w, m, now, rng)
			}
			check(t, seed, w, m, now)
			if t.Failed() {
				return
			}
		}
	}
}

// fire empties the wheel, now and then arming or disarming another id in between as a handler would.
func fire(t *testing.T, seed uint64, w *Wheel, m model, now int64, rng *rand.Rand) {
	for {
		id, ok := w.Expire(now)
		if !ok {
			break
		}
		d, armed := m[id]
		if !armed || d > now {
			t.Fatalf("seed %d: id %d fired at %d: armed %v, deadline %d", seed, id, now, armed, d)
		}
		delete(m, id)
		switch other := uint32(rng.IntN(len(w.chunks) * chunkSize)); rng.IntN(6) {
		case 0:
			d := now + 1 + rng.Int64N(5000)
			w.Arm(other, d)
			m[other] = d
		case 1:
			w.Disarm(other)
			delete(m, other)
		}
	}
	for id, d := range m {
		if now-d >= TickMs {
			t.Fatalf("seed %d: id %d has not fired at %d, %d ms after its deadline", seed, id, now, now-d)
		}
	}
}

// check compares what can be asked without changing anything.
func check(t *testing.T, seed uint64, w *Wheel, m model, now int64) {
	if w.Len() != len(m) {
		t.Fatalf("seed %d: len %d, want %d", seed, w.Len(), len(m))
	}
	wait := w.WaitMs(now, 1<<30)
	if len(m) == 0 {
		if wait != 1<<30 {
			t.Fatalf("seed %d: empty wheel waits %d", seed, wait)
		}
		return
	}
	// A deadline inside a tick fires at the tick's end.
	if first := m.nearest(); now+int64(wait) >= max(first, now)+TickMs {
		t.Fatalf("seed %d: at %d sleeps %d ms past the deadline %d", seed, now, wait, first)
	}
}

// However far away the deadline is, a loop that sleeps as it is told wakes up a few times, not once per slot.
func TestWakeUpsAreFew(t *testing.T) {
	w := New(1, 0)
	w.Arm(0, 24*hourMs+12345)
	wakes := 0
	for now := int64(0); w.Len() > 0; now += int64(w.WaitMs(now, -1)) {
		w.Expire(now)
		wakes++
	}
	if wakes > levels {
		t.Errorf("%d wake-ups for one timer", wakes)
	}
}

func TestWheelDoesNotAllocate(t *testing.T) {
	w := New(chunkSize, 0)
	w.Arm(0, 1)
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() {
		now += 300
		w.Arm(uint32(now)%chunkSize, now+5000)
		w.WaitMs(now, 100)
		for _, ok := w.Expire(now); ok; _, ok = w.Expire(now) {
		}
		w.Disarm(uint32(now) % 7)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
