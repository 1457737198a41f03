package relay

import (
	"fmt"
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/sys"
)

// event is what epoll would say of the source.
func (r *rig) event() {
	r.k.Settle()
	r.h.Set(Readable)
	if r.k.HasUrgent(r.src) {
		r.h.Set(Urgent)
	}
}

// One urgent byte at and around every multiple of what a read takes, with and without bytes behind it: it crosses as
// an urgent byte, at its place.
func TestUrgentByteKeepsItsPlace(t *testing.T) {
	for _, mode := range []Mode{Auto, Copy, Splice} {
		for before := range 4 {
			for delta := -1; delta <= 1; delta++ {
				for _, after := range []int{0, 1, 3 * blockBytes} {
					at := max(before*blockBytes+delta, 0)
					t.Run(fmt.Sprint(mode, " ", at, " ", after), func(t *testing.T) { oneUrgent(t, mode, at, after) })
				}
			}
		}
	}
}

func oneUrgent(t *testing.T, mode Mode, at, after int) {
	r := newRig(t, 1, mode, simkernel.Options{})
	r.from.Send(at)
	r.event()
	r.moveAll()
	if !r.from.SendUrgent() {
		t.Fatal("the urgent byte is not sent")
	}
	r.from.Send(after)
	r.event()
	for range 20 {
		r.move()
		r.to.Read(1 << 20)
	}
	r.from.ShutdownWrite()
	r.k.Settle()
	r.h.Set(Readable | Hangup)
	out := Waiting
	for range 20 {
		if out, _ = r.move(); out == SourceEnded {
			break
		}
	}
	r.to.Read(1 << 20)
	want(t, "outcome", out, SourceEnded)
	want(t, "bytes", int(r.to.Received), at+1+after)
	want(t, "urgent bytes at", fmt.Sprint(r.to.Urgent), fmt.Sprint([]int{at}))
	if v := r.k.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// The byte waits for room like any other, and nothing is read meanwhile.
func TestUrgentByteWaitsForRoom(t *testing.T) {
	r := newRig(t, 1, Copy, simkernel.Options{MinBuffer: 100, MaxBuffer: 100})
	for r.h.Held() == 0 {
		r.send(100)
		r.move()
	}
	for range 10 {
		if r.from.Unsent() == 0 && r.from.SendUrgent() {
			break
		}
		r.to.Read(10)
		r.h.Set(Writable)
		r.event()
		r.move()
	}
	sent := r.from.Sent
	for range 1000 {
		r.to.Read(7)
		r.h.Set(Writable)
		r.event()
		r.move()
	}
	want(t, "bytes", r.to.Received, sent)
	want(t, "urgent bytes", fmt.Sprint(r.to.Urgent), fmt.Sprint(r.from.SentUrgent))
}

// A direction that has seen an urgent byte copies for life: splice would stop at the next one.
func TestUrgentEndsSplicing(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{})
	r.from.SendUrgent()
	r.event()
	r.moveAll()
	fills := r.k.fills
	for range 3 {
		r.send(5 * blockBytes)
		r.moveAll()
	}
	r.to.Read(1 << 20)
	want(t, "splices after it", r.k.fills, fills)
	want(t, "bytes", int(r.to.Received), 15*blockBytes+1)
}

// splice()==0 is no end: at a mark, with a FIN behind it, bytes are still to come. Only recv()==0 ends the stream.
func TestSpliceZeroIsNoEnd(t *testing.T) {
	r := newRig(t, 1, Splice, simkernel.Options{})
	r.from.Send(5)
	r.from.SendUrgent()
	r.from.Send(100)
	r.from.ShutdownWrite()
	r.k.Settle()
	r.h.Set(Readable | Hangup) // the event that told of the urgent byte is older, or still to come
	out := Waiting
	for range 10 {
		if out, _ = r.move(); out == SourceEnded {
			break
		}
	}
	r.to.Read(1000)
	want(t, "outcome", out, SourceEnded)
	want(t, "bytes", int(r.to.Received), 106)
	want(t, "urgent bytes at", fmt.Sprint(r.to.Urgent), "[5]")
}

// A source that cannot splice (kTLS, a sandbox) is copied, without an error and without a loss.
func TestSourceThatCannotSpliceIsCopied(t *testing.T) {
	for _, errno := range []sys.Errno{sys.EINVAL, sys.ENOSYS, sys.EOPNOTSUPP, sys.EPERM} {
		r := newRig(t, 1, Splice, simkernel.Options{})
		k := &noSpliceKernel{counted: r.k, errno: errno}
		r.K = k
		for range 3 {
			r.send(1000)
			r.moveAll()
		}
		want(t, sys.Name(errno)+": bytes copied", int(r.Copied), 3000)
		want(t, sys.Name(errno)+": splices tried", k.tried, 1)
		want(t, sys.Name(errno)+": pipes out", r.Pipes.Out(), 0)
	}
}

type noSpliceKernel struct {
	*counted
	errno sys.Errno
	tried int
}

func (k *noSpliceKernel) Splice(from, to, n int) (int, sys.Errno) {
	k.tried++
	return 0, k.errno
}

// An urgent byte was taken, its mark still stands, and another one arrives right behind it, between the question for
// the mark and the answer of recv(MSG_OOB): the second byte goes behind the bytes that lie between the two.
func TestSecondUrgentByteArrivesWhileTheFirstMarkIsAskedFor(t *testing.T) {
	for _, between := range []int{0, 1, 500} {
		r := newRig(t, 1, Copy, simkernel.Options{})
		k := &lateKernel{counted: r.k}
		r.K = k
		k.arrive = func() { // the first byte is at its reader's already
			r.k.Settle()
			r.to.Read(100)
			want(t, "first urgent byte at", fmt.Sprint(r.to.Urgent), "[5]")
			r.from.Send(between)
			r.from.SendUrgent()
			r.k.Settle()
		}
		r.from.Send(5)
		r.from.SendUrgent()
		r.event()
		for range 10 {
			r.move()
			r.to.Read(1000)
			r.event()
		}
		want(t, "second urgent byte was met", k.urgent >= 2, true)
		want(t, "bytes", int(r.to.Received), 5+1+between+1)
		want(t, "urgent bytes at", fmt.Sprint(r.to.Urgent), fmt.Sprint(r.from.SentUrgent))
	}
}

// lateKernel lets something arrive just before the second recv(MSG_OOB): the one that finds the byte taken.
type lateKernel struct {
	*counted
	urgent int
	arrive func()
}

func (k *lateKernel) Recv(fd int, p []byte, flags int) (int, sys.Errno) {
	if flags&sys.MSG_OOB != 0 {
		if k.urgent++; k.urgent == 2 {
			k.arrive()
		}
	}
	return k.counted.Recv(fd, p, flags)
}
