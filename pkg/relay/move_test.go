package relay

import (
	"fmt"
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/sys"
)

func TestRunnable(t *testing.T) {
	for name, c := range map[string]struct {
		flags Flags
		held  uint32
		want  bool
	}{
		"fresh":                        {0, 0, false},
		"input and room":               {Readable | Writable, 0, true},
		"input, no room":               {Readable, 0, false},
		"room, no input":               {Writable, 0, false},
		"held and room":                {Writable, 1, true},
		"held, no room":                {Readable, 1, false},
		"urgent byte due and room":     {urgentHeld | Writable, 0, true},
		"urgent byte of a later place": {urgentHeld | early | Writable, 0, false},
		"over":                         {Done | Readable | Writable, 1, false},
	} {
		h := Half{flags: c.flags, held: c.held}
		want(t, name, h.Runnable(), c.want)
	}
}

func TestHeldCountsTheUrgentByte(t *testing.T) {
	want(t, "bytes", (&Half{held: 7}).Held(), 7)
	want(t, "bytes and an urgent one", (&Half{held: 7, flags: urgentHeld}).Held(), 8)
	want(t, "an urgent one whose place is not reached", (&Half{held: 7, flags: urgentHeld | early}).Held(), 7)
}

// A turn ends after 16 reads, however small, or behind the first read that makes it a MiB.
func TestBudgetOfATurn(t *testing.T) {
	t.Run("reads", func(t *testing.T) {
		r := newRig(t, 1, Copy, simkernel.Options{})
		r.send(3 << 20)
		out, n := r.move()
		want(t, "outcome", out, More)
		want(t, "bytes", n, maxMoves*blockBytes)
		want(t, "reads", r.k.recvs, maxMoves)
	})
	t.Run("bytes", func(t *testing.T) {
		r := newRig(t, 1, Splice, simkernel.Options{})
		r.send(3 << 20)
		out, n := r.move()
		want(t, "outcome", out, More)
		if n < maxBytes || n >= maxBytes+64<<15 { // 64 slots, of at most 32 KiB each
			t.Errorf("%d bytes in a turn", n)
		}
		want(t, "nothing is held", r.h.Held(), 0)
	})
	t.Run("is not needed", func(t *testing.T) {
		r := newRig(t, 1, Auto, simkernel.Options{})
		r.send(3000)
		out, n := r.move()
		want(t, "outcome", out, Waiting)
		want(t, "bytes", n, 3000)
		want(t, "reads", r.k.recvs, 1) // no second one that would say EAGAIN
	})
}

// A recv that fills its block makes the direction bulk; two quiet wake-ups in a row end that.
func TestBulkComesAndGoes(t *testing.T) {
	r := newRig(t, 1, Auto, simkernel.Options{})
	quiet := func() { r.send(100); r.moveAll() }
	busy := func() { r.send(20 * blockBytes); r.moveAll() }
	r.send(blockBytes - 1)
	r.moveAll()
	want(t, "after a read that leaves room: splicing", r.h.Splicing(), false)
	want(t, "splices", r.k.fills, 0)
	busy()
	want(t, "after a full read: splicing", r.h.Splicing(), true)
	quiet()
	want(t, "after one quiet wake-up", r.h.Splicing(), true)
	busy()
	quiet()
	want(t, "a busy one in between begins anew", r.h.Splicing(), true)
	quiet()
	want(t, "after two", r.h.Splicing(), false)
	before := r.k.fills
	quiet()
	want(t, "splices of a quiet direction", r.k.fills, before)
	want(t, "copied and spliced", int(r.Copied+r.Spliced), int(r.h.Bytes))
}

// Configured modes are kept, whatever the traffic.
func TestModes(t *testing.T) {
	for mode, fills := range map[Mode]bool{Copy: false, Splice: true} {
		r := newRig(t, 1, mode, simkernel.Options{})
		for range 3 {
			r.send(100)
			r.moveAll()
		}
		r.send(10 * blockBytes)
		r.moveAll()
		r.to.Read(1 << 20)
		want(t, fmt.Sprint("mode ", mode, " splices"), r.k.fills > 0, fills)
		want(t, fmt.Sprint("mode ", mode, " bytes"), r.to.Received, r.from.Sent)
	}
}

// Whatever the schedule: the source is read only when nothing is held, the pipe or block is out exactly while it is,
// never both, and every byte crosses in order.
func TestReadsOnlyWithEmptyHands(t *testing.T) {
	for seed := uint64(1); seed <= 3000; seed++ {
		r := newRig(t, seed, Mode(seed%3), simkernel.Options{
			MinBuffer: 16, MaxBuffer: 64 << 10, Faults: simkernel.Faults{ShortSend: 50, PipeEMFILE: 100},
		})
		r.Blocks = NewBlocks(16<<(seed%8), 1+int(seed%2))
		r.k.onRead = func() {
			if r.h.Held() != 0 {
				t.Fatalf("seed %d: the source is read while %d bytes are held", seed, r.h.Held())
			}
		}
		rnd := r.k.Rand()
		for range 200 {
			switch rnd.IntN(4) {
			case 0:
				r.from.Send(1 + rnd.IntN(5000))
			case 1:
				r.to.Read(1 + rnd.IntN(8000))
			case 2:
				r.k.Settle()
			}
			r.h.Set(Readable | Writable) // an event more than is due does no harm
			if out, _ := r.move(); out == SourceFailed || out == SinkFailed {
				t.Fatalf("seed %d: %v", seed, out)
			}
			if out := r.Pipes.Out() + r.Blocks.Out(); out > 1 || out == 1 != (r.h.Held() > 0) {
				t.Fatalf("seed %d: %d bytes held, %d pipes and %d blocks out", seed, r.h.Held(), r.Pipes.Out(), r.Blocks.Out())
			}
		}
		for range 10_000 {
			if r.to.Received == r.from.Sent {
				break
			}
			r.to.Read(1 << 20)
			r.k.Settle()
			r.h.Set(Readable | Writable)
			r.move()
		}
		if v := r.k.Violations(); len(v) > 0 || r.to.Received != r.from.Sent {
			t.Fatalf("seed %d: %d of %d bytes, %v", seed, r.to.Received, r.from.Sent, v)
		}
	}
}

// The end comes behind the last byte, not before a stalled sink has taken it.
func TestEndWaitsForTheLastByte(t *testing.T) {
	for _, mode := range []Mode{Auto, Copy, Splice} {
		r := newRig(t, 1, mode, simkernel.Options{MinBuffer: 100, MaxBuffer: 100})
		sent := 0
		for out := Waiting; out != SourceEnded; {
			if n := r.from.Send(1000); n > 0 {
				sent += n
			}
			if sent > 2000 && !r.from.HalfClosed() {
				r.from.ShutdownWrite()
			}
			r.k.Settle()
			r.h.Set(Readable)
			out, _ = r.move()
			if out == SourceEnded && (r.h.Held() != 0 || int(r.h.Bytes) != sent) {
				t.Fatalf("mode %d: the end after %d of %d bytes, %d held", mode, r.h.Bytes, sent, r.h.Held())
			}
			if r.to.Read(30); r.to.Room() >= 0 {
				r.h.Set(Writable)
			}
		}
		want(t, "ended", r.h.Has(Ended), true)
	}
}

// Nagle's algorithm delays what is behind an unacknowledged small segment: it is off before the second send, and
// before a first one that takes more than a segment.
func TestNagleIsOffBeforeItMatters(t *testing.T) {
	for name, c := range map[string]struct {
		mode  Mode
		sizes []int
		calls string
	}{
		"one small send":          {Copy, []int{nagleFree}, "[send]"},
		"two":                     {Copy, []int{10, 10}, "[send nodelay send]"},
		"three":                   {Copy, []int{10, 10, 10}, "[send nodelay send send]"},
		"a large one":             {Copy, []int{nagleFree + 1}, "[nodelay send]"},
		"a small one by splice":   {Splice, []int{nagleFree}, "[splice]"},
		"two by splice":           {Splice, []int{10, 10}, "[splice nodelay splice]"},
		"a large one by splice":   {Splice, []int{nagleFree + 1}, "[nodelay splice]"},
		"a small, then large one": {Auto, []int{1, 3000}, "[send nodelay send]"},
	} {
		r := newRig(t, 1, c.mode, simkernel.Options{})
		r.h.Set(Nagle)
		for _, n := range c.sizes {
			r.send(n)
			r.moveAll()
		}
		want(t, name, fmt.Sprint(r.k.calls), c.calls)
	}
}

// What a full sink leaves over is a second send.
func TestNagleIsOffBeforeTheRest(t *testing.T) {
	r := newRig(t, 1, Copy, simkernel.Options{MinBuffer: 200, MaxBuffer: 200})
	r.h.Set(Nagle)
	r.send(200)
	r.k.Faults.ShortSend = 1000
	for range 100 {
		r.move()
		r.to.Read(1000)
		r.h.Set(Writable)
	}
	nodelay := 0
	for i, call := range r.k.calls {
		if call == "nodelay" {
			nodelay++
			want(t, "sends before", i, 1)
		}
	}
	if len(r.k.calls) < 3 {
		t.Fatalf("calls %v: the sink took all at once", r.k.calls)
	}
	want(t, "nodelay", nodelay, 1)
}

// An error of a write drops what was held; one of a read comes when nothing is.
func TestErrors(t *testing.T) {
	for _, mode := range []Mode{Copy, Splice} {
		r := newRig(t, 1, mode, simkernel.Options{MinBuffer: 300, MaxBuffer: 300})
		for range 20 {
			r.from.Send(300)
			r.k.Settle()
			r.h.Set(Readable)
			r.move()
		}
		if r.h.Held() == 0 {
			t.Fatal("the sink is not full")
		}
		r.to.Reset()
		r.k.Settle()
		r.h.Set(Writable)
		out, errno := r.Move(&r.h, r.src, r.dst)
		want(t, "outcome", out, SinkFailed)
		want(t, "errno", errno, sys.ECONNRESET)
		want(t, "held", r.h.Held(), 0)
		want(t, "pipes and blocks out", r.Pipes.Out()+r.Blocks.Out(), 0)
		want(t, "dirty pipes kept", r.Pipes.Idle(), 0)
		want(t, "pipes in the budget", r.budget.Open.Load(), 0)
	}
}

// A sink that was full is not asked again before its event, however much the source has to say; and nothing is read
// meanwhile.
func TestFullSinkIsLeftAlone(t *testing.T) {
	for _, mode := range []Mode{Auto, Copy, Splice} {
		r := newRig(t, 1, mode, simkernel.Options{MinBuffer: 1000, MaxBuffer: 1000})
		for r.h.Held() == 0 { // the last read met a sink with no or too little room
			r.send(1000)
			r.move()
		}
		for r.h.Has(Writable) {
			r.move()
		}
		want(t, "runnable", r.h.Runnable(), false)
		calls := r.k.recvs + r.k.sends + r.k.fills + r.k.flushes
		for range 5 {
			r.h.Set(Readable)
			out, _ := r.move()
			want(t, "outcome", out, Waiting)
		}
		want(t, "calls", r.k.recvs+r.k.sends+r.k.fills+r.k.flushes, calls)
	}
}

// The same for a sink that was full already when the first byte came: the latch is cleared by the send that says so.
func TestSinkThatWasFullClearsTheLatch(t *testing.T) {
	for _, mode := range []Mode{Copy, Splice} {
		r := newRig(t, 1, mode, simkernel.Options{})
		k := &fullKernel{counted: r.k}
		r.K = k
		r.send(100)
		k.full = true
		for _, what := range []string{"at the first write", "at a later one"} {
			r.h.Set(Writable)
			out, _ := r.move()
			want(t, what+": outcome", out, Waiting)
			want(t, what+": held", r.h.Held(), 100)
			want(t, what+": writable", r.h.Has(Writable), false)
			want(t, what+": tries", k.tries, 1)
			k.tries = 0
		}
		k.full = false
		r.h.Set(Writable)
		r.moveAll()
		want(t, "bytes", int(r.h.Bytes), 100)
	}
}

// fullKernel has a sink that takes nothing.
type fullKernel struct {
	*counted
	full  bool
	tries int
}

func (k *fullKernel) Send(fd int, p []byte, flags int) (int, sys.Errno) {
	if k.full {
		k.tries++
		return 0, sys.EAGAIN
	}
	return k.counted.Send(fd, p, flags)
}

func (k *fullKernel) Splice(from, to, n int) (int, sys.Errno) {
	if k.full && from != k.src {
		k.tries++
		return 0, sys.EAGAIN
	}
	return k.counted.Splice(from, to, n)
}
