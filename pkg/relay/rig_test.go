package relay

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/sys"
)

// counted is the simulated kernel with a note of the calls that the tests ask about.
type counted struct {
	*simkernel.Kernel
	recvs, sends, fills, flushes, pipes int
	mostAsked                           int      // bytes, of one fill
	calls                               []string // of the sink: "send", "splice", "nodelay", in order
	src                                 int
	onRead                              func() // before every read of the source
}

func (k *counted) Recv(fd int, p []byte, flags int) (int, sys.Errno) {
	k.recvs++
	if k.onRead != nil {
		k.onRead()
	}
	return k.Kernel.Recv(fd, p, flags)
}

func (k *counted) Send(fd int, p []byte, flags int) (int, sys.Errno) {
	k.sends++
	k.calls = append(k.calls, "send")
	return k.Kernel.Send(fd, p, flags)
}

func (k *counted) Pipe(n int) (sys.Pipe, sys.Errno) {
	k.pipes++
	return k.Kernel.Pipe(n)
}

func (k *counted) Splice(from, to, n int) (int, sys.Errno) {
	if from == k.src {
		k.fills++
		k.mostAsked = max(k.mostAsked, n)
		if k.onRead != nil {
			k.onRead()
		}
	} else {
		k.flushes++
		k.calls = append(k.calls, "splice")
	}
	return k.Kernel.Splice(from, to, n)
}

func (k *counted) SetOption(fd, level, name, value int) sys.Errno {
	if level == sys.IPPROTO_TCP && name == sys.TCP_NODELAY && value == 1 {
		k.calls = append(k.calls, "nodelay")
	}
	return k.Kernel.SetOption(fd, level, name, value)
}

// rig is one half between two simulated connections: what from sends, to reads.
type rig struct {
	*Mover
	t        testing.TB
	k        *counted
	h        Half
	src, dst int
	from, to *simkernel.Peer
	budget   PipeBudget
}

// Sizes of the rig.
const (
	pipeBytes  = 256 << 10
	blockBytes = 16 << 10
)

// newRig makes a rig; every socket buffer has the size of o.MaxBuffer, 4 MiB if that is 0.
func newRig(t testing.TB, seed uint64, mode Mode, o simkernel.Options) *rig {
	t.Helper()
	if o.MaxBuffer == 0 {
		o.MaxBuffer = 4 << 20
	}
	if o.MinBuffer == 0 {
		o.MinBuffer = o.MaxBuffer
	}
	r := &rig{t: t, k: &counted{Kernel: simkernel.New(seed, o)}}
	r.budget.Limit = 8
	l := r.k.Listen(sys.Addr{Port: 80})
	r.from = r.k.Dial(l, sys.Addr{Port: 1})
	r.src, _, _ = r.k.Accept(l)
	r.dst, _ = r.k.Socket(sys.AF_INET)
	to := sys.SockaddrInet(netip.MustParseAddrPort("10.0.0.1:80"))
	r.k.Connect(r.dst, &to)
	r.k.Settle()
	r.to = r.k.Backends()[0]
	simkernel.Pair(r.from, r.to)
	r.k.src = r.src
	r.Mover = &Mover{K: r.k, Mode: mode, Pipes: NewPipes(r.k, pipeBytes, &r.budget), Blocks: NewBlocks(blockBytes, 100)}
	r.Pipes.Check = true
	r.h.Set(Writable)
	return r
}

// send makes n bytes readable at the source, and says so.
func (r *rig) send(n int) {
	r.t.Helper()
	if sent := r.from.Send(n); sent != n {
		r.t.Fatalf("the source takes %d of %d bytes", sent, n)
	}
	r.k.Settle()
	r.h.Set(Readable)
}

// move is one Move; it returns how many bytes it moved.
func (r *rig) move() (Outcome, int) {
	r.t.Helper()
	before := r.h.Bytes
	out, _ := r.Move(&r.h, r.src, r.dst)
	r.k.Settle()
	return out, int(r.h.Bytes - before)
}

// moveAll moves until the half waits, reading at the sink's end.
func (r *rig) moveAll() {
	r.t.Helper()
	for range 1000 {
		if out, _ := r.move(); out != More {
			return
		}
		r.to.Read(8 << 20)
		r.h.Set(Writable)
	}
	r.t.Fatal("no end of moving")
}

// want fails unless a value is what it should be.
func want[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
