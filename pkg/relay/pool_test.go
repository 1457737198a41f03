package relay

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
)

// A pipe is out only while bytes are in it.
func TestPipeIsReturnedAsSoonAsItIsEmpty(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{MinBuffer: 5000, MaxBuffer: 5000})
	r.send(5000)
	want(t, "before: out", r.Pipes.Out(), 0)
	r.move()
	want(t, "all flushed: out", r.Pipes.Out(), 0)
	want(t, "all flushed: idle", r.Pipes.Idle(), 1)
	for r.h.Held() == 0 { // until the sink is full
		r.send(5000)
		r.move()
	}
	want(t, "stalled: out", r.Pipes.Out(), 1)
	want(t, "stalled: idle", r.Pipes.Idle(), 0)
	for r.h.Held() > 0 {
		r.to.Read(1000)
		r.k.Settle()
		r.h.Set(Writable)
		r.move()
	}
	want(t, "drained: out", r.Pipes.Out(), 0)
	want(t, "drained: idle", r.Pipes.Idle(), 1)
	want(t, "pipes made", r.k.pipes, 1)
	r.Pipes.Close()
	want(t, "closed: in the budget", r.budget.Open.Load(), 0)
}

// The worst possible mistake: bytes of one session in the pipe of the next.
func TestDirtyPipeIsNeverReused(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{MinBuffer: 1000, MaxBuffer: 1000})
	for r.h.Held() == 0 {
		r.send(1000)
		r.move()
	}
	open := r.k.OpenFDs()
	dirty := *r.Pipes.At(r.h.pipe)
	r.Drop(&r.h)
	want(t, "held", r.h.Held(), 0)
	want(t, "descriptors closed", open-r.k.OpenFDs(), 2)
	want(t, "out", r.Pipes.Out(), 0)
	want(t, "idle", r.Pipes.Idle(), 0)
	want(t, "in the budget", r.budget.Open.Load(), 0)
	if n, errno := r.k.Unread(dirty.R); errno == 0 {
		t.Errorf("the dirty pipe is open and holds %d bytes", n)
	}
	next := r.Pipes.Get()
	if n, errno := r.k.Unread(r.Pipes.At(next).R); n != 0 || errno != 0 {
		t.Errorf("the next pipe holds %d bytes, %v", n, errno)
	}
}

// With Check on, a dirty pipe does not get into the pool, nor out of it.
func TestCheckFindsDirtyPipes(t *testing.T) {
	panics := func(name string, fn func()) {
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", name)
			}
		}()
		fn()
	}
	soil := func(r *rig, number uint32) {
		r.send(10)
		if n, errno := r.k.Splice(r.src, r.Pipes.At(number).W, 10); n != 10 {
			t.Fatalf("splice: %d, %v", n, errno)
		}
	}
	r := newRig(t, 1, Splice, simkernel.Options{})
	number := r.Pipes.Get()
	soil(r, number)
	panics("put", func() { r.Pipes.Put(number) })
	r = newRig(t, 1, Splice, simkernel.Options{})
	number = r.Pipes.Get()
	r.Pipes.Put(number)
	soil(r, number)
	panics("get", func() { r.Pipes.Get() })
}

// Beyond fs.pipe-user-pages-soft the kernel gives pipes of two slots: refused, counted, and not asked for again soon.
func TestDegradedPipeIsRefused(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{PipePages: 1})
	open := r.k.OpenFDs()
	for range 1 + retryAfterGet {
		want(t, "pipe", r.Pipes.Get(), 0)
	}
	want(t, "degraded", r.budget.Degraded.Load(), 1)
	want(t, "pipes asked for", r.k.pipes, 1)
	want(t, "in the budget", r.budget.Open.Load(), 0)
	want(t, "descriptors left open", r.k.OpenFDs()-open, 0)
	r.k.PipePages = 1 << 20 // somebody gave pipes back
	if r.Pipes.Get() == 0 {
		t.Error("the kernel is never asked again")
	}
	r.send(10)
	r.moveAll()
	want(t, "bytes", int(r.h.Bytes), 10)
}

// Without pipes the half copies.
func TestNoPipeMeansCopying(t *testing.T) {
	for name, o := range map[string]simkernel.Options{
		"degraded": {PipePages: 1},
		"EMFILE":   {Faults: simkernel.Faults{PipeEMFILE: 1000}},
		"budget":   {},
	} {
		r := newRig(t, 1, Splice, o)
		if name == "budget" {
			r.budget.Limit = 0
		}
		r.send(10 * blockBytes)
		r.moveAll()
		want(t, name+": copied", int(r.Copied), 10*blockBytes)
		want(t, name+": spliced", int(r.Spliced), 0)
		want(t, name+": in the budget", r.budget.Open.Load(), 0)
	}
}

// However much waits, a pipe is filled with no more bytes than it was made for: one of 256 slots could hold sixteen times
// that, all of it pages of the network card's for as long as the reader rests.
func TestFillIsCappedInBytes(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{})
	r.send(2 << 20)
	r.moveAll()
	want(t, "most bytes asked for at once", r.k.mostAsked, pipeBytes)
	want(t, "spliced", int(r.Spliced), 2<<20)
}

// The budget is that of all workers: what one gives up another may take.
func TestBudgetIsShared(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{})
	r.budget.Limit = 3
	one, two := NewPipes(r.k, pipeBytes, &r.budget), NewPipes(r.k, pipeBytes, &r.budget)
	a, b := one.Get(), one.Get()
	c := two.Get()
	want(t, "beyond the budget", two.Get(), 0)
	one.Put(a)
	want(t, "an idle pipe counts", two.Get(), 0)
	one.Discard(b)
	if two.Get() == 0 {
		t.Error("what was discarded is not to be had")
	}
	want(t, "refused by the budget is not degraded", r.budget.Degraded.Load(), 0)
	two.Discard(c)
	want(t, "open", r.budget.Open.Load(), 2)
}

// A burst leaves at most 64 idle pipes and 64 idle blocks behind; numbers are used again.
func TestBurstIsGivenBack(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{})
	r.budget.Limit = 1000
	for range 2 {
		var out []uint32
		for range 100 {
			out = append(out, r.Pipes.Get())
		}
		want(t, "pipes out", r.Pipes.Out(), 100)
		for _, n := range out {
			r.Pipes.Put(n)
		}
		want(t, "pipes idle", r.Pipes.Idle(), maxIdlePipes)
		want(t, "pipes in the budget", r.budget.Open.Load(), maxIdlePipes)
		want(t, "pipe numbers", len(r.Pipes.pipes), 100)
	}
}

func TestBlocksAboveSixtyFourAreReleased(t *testing.T) {
	b := NewBlocks(1024, 100)
	for range 2 {
		var out []uint32
		seen := map[uint32]bool{}
		for b.Available() {
			want(t, "size", len(b.Spare()), 1024)
			n := b.TakeSpare()
			if n == 0 || seen[n] {
				t.Fatalf("block %d is given twice", n)
			}
			seen[n] = true
			out = append(out, n)
		}
		want(t, "blocks out", b.Out(), 100)
		want(t, "beyond the limit", b.Spare() == nil, true)
		for _, n := range out {
			b.Put(n)
		}
		want(t, "blocks out at last", b.Out(), 0)
		memory := 0
		for _, p := range b.blocks {
			if p != nil {
				memory++
			}
		}
		want(t, "blocks that keep their memory", memory, maxIdleBlocks)
	}
}

// The spare is nobody's until it is taken.
func TestSpareIsNotOut(t *testing.T) {
	b := NewBlocks(16, 1)
	b.Spare()
	want(t, "out", b.Out(), 0)
	want(t, "available", b.Available(), true)
	n := b.TakeSpare()
	want(t, "out", b.Out(), 1)
	want(t, "available", b.Available(), false)
	b.Put(n)
	want(t, "available", b.Available(), true)
}
