package worker

import (
	"math"
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// closing is a simulated session that has moved much, and whose backend rests with bytes still on their way to it.
type closing struct {
	*simkernel.Kernel
	w      *Worker
	c, b   *simkernel.Peer
	waited int // ms
}

func newClosing(t *testing.T) *closing {
	t.Helper()
	k, w := simStage(t, 1)
	x := &closing{Kernel: k, w: w, c: k.Clients()[0], b: k.Backends()[0]}
	simkernel.Pair(x.c, x.b)
	for x.c.Sent < 2*lingerBytes {
		x.c.Send(1000)
		x.b.Read(math.MaxInt)
		w.turn()
	}
	for x.unsent() == 0 { // nobody reads any more
		if x.c.Send(100) == 0 {
			t.Fatal("the session takes nothing")
		}
		w.turn()
	}
	for x.behind() > 0 {
		x.b.Read(1)
		w.turn()
	}
	if x.unsent() == 0 {
		t.Fatal("nothing is on its way")
	}
	return x
}

// behind is what is not yet in the worker's socket to the backend.
func (x *closing) behind() int {
	s := x.w.slots.at(0)
	unread, _ := x.Unread(int(s.fd[client]))
	return x.c.Unsent() + unread + s.half[toBackend].Held()
}

// unsent is what the worker's socket to the backend has to send.
func (x *closing) unsent() int {
	n, _ := x.Unsent(int(x.w.slots.at(0).fd[server]))
	return n
}

// pass lets time go by.
func (x *closing) pass(ms int) {
	for range ms / 50 {
		x.Advance(50e6)
		x.w.turn()
	}
	x.waited += ms
}

// ends is how many sessions ended for a reason.
func (x *closing) ends(reason stats.Reason) uint64 {
	var c stats.Copy
	x.w.publish()
	x.w.sheet.AddTo(&c)
	return c.Value(stats.Frontend, 0, stats.EndedBase+int(reason))
}

// crawl lets the backend read, an eighth of what is unsent now in each of its good moments, until it has read its end.
func (x *closing) crawl(t *testing.T, every int) {
	t.Helper()
	few := max(1, x.unsent()/8)
	for range 1000 {
		if x.b.Read(few); x.b.End != simkernel.Open {
			return
		}
		x.pass(every)
	}
	t.Fatal("the backend reads no end")
}

// A clean end keeps its descriptors until the other kernel has the last byte: the kernel may give up on orphans.
func TestCleanEndWaitsForTheLastByte(t *testing.T) {
	x := newClosing(t)
	x.b.ShutdownWrite()
	x.w.turn()
	x.c.ShutdownWrite()
	x.pass(1000)
	if x.w.Live() != 1 || x.w.count(lingering) != 1 {
		t.Fatalf("%d sessions, %d lingering; want one that waits", x.w.Live(), x.w.count(lingering))
	}
	x.crawl(t, 500)
	x.pass(1000)
	if x.b.Received != x.c.Sent || x.b.End != simkernel.FIN {
		t.Errorf("the backend has %d of %d bytes, then %v", x.b.Received, x.c.Sent, x.b.End)
	}
	if n := x.ends(stats.BackendFIN); n != 1 || x.w.Live() != 0 {
		t.Errorf("%d sessions ended by the backend's FIN, %d are left", n, x.w.Live())
	}
}

// A peer that takes nothing any more is a stall, also behind both FINs: it gets a RST, since bytes are lost.
func TestCleanEndThatStallsIsReset(t *testing.T) {
	x := newClosing(t)
	x.w.snap.Frontends[0].Timeouts.Stall = 5000
	x.b.ShutdownWrite()
	x.c.ShutdownWrite()
	x.pass(4500)
	if x.w.Live() != 1 {
		t.Fatal("the session ended too early")
	}
	x.pass(1500)
	x.b.Read(math.MaxInt)
	if n := x.ends(stats.StallTimeout); n != 1 || x.b.End != simkernel.RST {
		t.Errorf("%d stalls counted, the backend reads a %v; want 1 and RST", n, x.b.End)
	}
}

// Behind a client's RST a slow backend still gets every byte, for as long as it takes some.
func TestResetWaitsForASlowReader(t *testing.T) {
	x := newClosing(t)
	x.c.Reset()
	x.crawl(t, 4000)
	if x.waited <= 2*maxWaitReset {
		t.Fatalf("all bytes went in %d ms: the test did not see what it is about", x.waited)
	}
	if x.b.Received != x.c.Sent || x.b.End != simkernel.RST {
		t.Errorf("the backend has %d of %d bytes, then %v", x.b.Received, x.c.Sent, x.b.End)
	}
	if n := x.ends(stats.ClientReset); n != 1 {
		t.Errorf("%d sessions ended by the client's RST, want 1", n)
	}
}

// But not for ever: one that takes nothing gets its RST after 10 s.
func TestResetDoesNotWaitForAReaderThatRests(t *testing.T) {
	x := newClosing(t)
	x.c.Reset()
	x.pass(maxWaitReset - 1000)
	if x.w.Live() != 1 {
		t.Fatal("the session ended too early")
	}
	x.pass(2000)
	if x.w.Live() != 0 {
		t.Error("the session is still there")
	}
	if x.b.Read(math.MaxInt); x.b.End != simkernel.RST {
		t.Errorf("the backend reads a %v, want a RST", x.b.End)
	}
}

// A peer that is gone without a word (keepalive, or TCP_USER_TIMEOUT) is counted as gone, and the other one gets a RST; with
// bytes on their way to it, it is a stall.
func TestPeerThatIsGone(t *testing.T) {
	t.Run("client", func(t *testing.T) {
		k, w := simStage(t, 1)
		k.Clients()[0].Vanish(sys.ETIMEDOUT)
		w.turn()
		k.Backends()[0].Read(1)
		if n := simCounter(w, stats.Frontend, stats.EndedBase+int(stats.ClientGone)); n != 1 || k.Backends()[0].End != simkernel.RST {
			t.Errorf("%d clients gone, the backend reads a %v; want 1 and RST", n, k.Backends()[0].End)
		}
	})
	t.Run("backend", func(t *testing.T) {
		k, w := simStage(t, 1)
		k.Backends()[0].Vanish(sys.ETIMEDOUT)
		w.turn()
		k.Clients()[0].Read(1)
		if n := simCounter(w, stats.Frontend, stats.EndedBase+int(stats.BackendGone)); n != 1 || k.Clients()[0].End != simkernel.RST {
			t.Errorf("%d backends gone, the client reads a %v; want 1 and RST", n, k.Clients()[0].End)
		}
	})
	t.Run("with bytes on their way", func(t *testing.T) {
		x := newClosing(t)
		x.b.Vanish(sys.ETIMEDOUT)
		x.pass(1000)
		if n := x.ends(stats.StallTimeout); n != 1 {
			t.Errorf("%d stalls counted, want 1", n)
		}
	})
}

// A connection without a byte has a counter of its own and is nobody's failure.
func TestSessionWithoutAByte(t *testing.T) {
	k, w := simStage(t, 3)
	clients := k.Clients()
	clients[0].Reset()
	clients[1].Send(1)
	w.turn()
	clients[1].Reset()
	clients[2].ShutdownWrite()
	for range 3 {
		w.turn()
	}
	for _, b := range k.Backends() {
		if b.Read(10); b.End == simkernel.FIN {
			b.ShutdownWrite()
		}
	}
	w.turn()
	if n := simCounter(w, stats.Frontend, stats.ZeroByte); n != 2 || w.Live() != 0 {
		t.Errorf("%d sessions without a byte, %d left; want 2 and none", n, w.Live())
	}
	if w.snap.Backends[0].EjectedUntil() != 0 {
		t.Error("the backend was ejected")
	}
}
