package worker

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// stage is a rig whose one backend is a listener of scripted peers.
type stage struct {
	*rig
	t testing.TB
	l *testkit.Listener
}

// newStage makes a stage; change may alter the worker and what it is configured with before it runs. Call LeakCheck first.
func newStage(t testing.TB, change func(*Config, *backend.Frontend)) *stage {
	t.Helper()
	l, err := testkit.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", l.Addr()))
	r := newRig(t, snap, func(c *Config) {
		if change != nil {
			change(c, snap.Frontends[0])
		}
	})
	return &stage{rig: r, t: t, l: l}
}

// timed is a stage with timeouts of its own.
func timed(t testing.TB, change func(*backend.Timeouts)) *stage {
	return newStage(t, func(_ *Config, f *backend.Frontend) { change(&f.Timeouts) })
}

// dial connects a client.
func (s *stage) dial() *testkit.Peer {
	s.t.Helper()
	c, err := testkit.Dial(s.front)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(c.Close)
	return c
}

// accept takes the next connection at the backend.
func (s *stage) accept() *testkit.Peer {
	s.t.Helper()
	p, err := s.l.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(p.Close)
	return p
}

// pair makes a session that stands and returns its outer ends.
func (s *stage) pair() (c, b *testkit.Peer) {
	s.t.Helper()
	c, b = s.dial(), s.accept()
	s.awaitStanding(s.t)
	return c, b
}

// awaitStanding waits until no session is dialling: a backend has accepted before the worker knows.
func (r *rig) awaitStanding(t testing.TB) {
	t.Helper()
	eventually(t, "connected", func() (all bool) {
		r.ask(t, func(w *Worker) { all = w.count(dialling) == 0 })
		return all
	})
}

// count is how many sessions are in a state.
func (w *Worker) count(in state) (n int) {
	for slot := range w.slots.used {
		if w.slots.at(slot).state == in {
			n++
		}
	}
	return n
}

// ask runs fn on the worker's thread and waits for it.
func (r *rig) ask(t testing.TB, fn func(*Worker)) {
	t.Helper()
	o := Once(fn)
	r.Give(o)
	if o.Wait(t.Context()) != nil {
		t.Fatal("the worker does not answer")
	}
}

// play plays steps and fails the test if a step waits for too long.
func play(t testing.TB, p *testkit.Peer, steps ...testkit.Step) testkit.Transcript {
	t.Helper()
	tr, err := p.Play(steps...)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// behind plays steps in a goroutine; wait for them before the peer plays others. The test's end waits too.
func behind(t testing.TB, p *testkit.Peer, steps ...testkit.Step) (wait func()) {
	ended := make(chan struct{})
	wait = func() { <-ended }
	t.Cleanup(wait)
	go func() {
		defer close(ended)
		_, _ = p.Play(steps...)
	}()
	return wait
}

// wantStream fails unless a peer has read n bytes of the right pattern and then the end.
func wantStream(t testing.TB, who string, tr testkit.Transcript, n int64, end testkit.End) {
	t.Helper()
	if tr.Received != n || tr.FirstWrong >= 0 || tr.End != end {
		t.Errorf("%s: %v; want %d bytes, then %v", who, tr, n, end)
	}
	if end == testkit.EndReset && tr.Errno != unix.ECONNRESET {
		t.Errorf("%s: the end is %v, want ECONNRESET", who, tr.Errno)
	}
}

// wantReset fails unless both outer ends read n bytes and a RST.
func wantReset(t testing.TB, c, b *testkit.Peer) {
	t.Helper()
	wantStream(t, "client", play(t, c, testkit.ReadToEnd()), 0, testkit.EndReset)
	wantStream(t, "backend", play(t, b, testkit.ReadToEnd()), 0, testkit.EndReset)
}

// wantEnds fails unless, in the end, exactly n sessions were accepted and each ended for this reason.
func (r *rig) wantEnds(t testing.TB, reason stats.Reason, n uint64) {
	t.Helper()
	eventually(t, "sessions counted as "+reason.String(), func() bool { return r.ended(reason) >= n })
	for other := stats.Reason(1); other < stats.NumReasons; other++ {
		want := uint64(0)
		if other == reason {
			want = n
		}
		if got := r.ended(other); got != want {
			t.Errorf("%d sessions ended as %v, want %d", got, other, want)
		}
	}
	if got := r.counter(stats.Accepted); got != n {
		t.Errorf("%d sessions accepted, want %d", got, n)
	}
}

// own is a counter of the worker's row.
func (r *rig) own(n int) uint64 {
	var c stats.Copy
	r.Sheet().AddTo(&c)
	return c.Value(stats.Own, 0, n)
}

// quietTurns are far more than an idle worker makes in quietTime, and far fewer than one that spins.
const (
	quietTime  = 300 * time.Millisecond
	quietTurns = 1000
)

// wantQuiet fails if the worker goes round while nothing happens.
func (r *rig) wantQuiet(t testing.TB) {
	t.Helper()
	var before, after uint32
	r.ask(t, func(w *Worker) { before = w.turns })
	time.Sleep(quietTime)
	r.ask(t, func(w *Worker) { after = w.turns })
	if n := after - before; n > quietTurns {
		t.Errorf("%d turns in %v without an event, want at most %d", n, quietTime, quietTurns)
	}
}

// smallWindow keeps what the kernels between two peers hold small, so that a reader who rests soon stalls the sender.
func smallWindow(t testing.TB, fd int) {
	t.Helper()
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096); err != nil {
		t.Fatal(err)
	}
}

// smallSendBuffer does the same for what the worker sends to clients: accepted sockets inherit it.
func (r *rig) smallSendBuffer(t testing.TB) {
	t.Helper()
	r.ask(t, func(w *Worker) {
		if err := unix.SetsockoptInt(w.listeners[0].FD, unix.SOL_SOCKET, unix.SO_SNDBUF, 16<<10); err != nil {
			t.Error(err)
		}
	})
}

// widen undoes smallWindow.
func widen(fd int) { _ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20) }
