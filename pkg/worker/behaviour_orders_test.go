package worker

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

func TestKillEndsOneSessionOnly(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, nil)
	c1, b1 := s.pair()
	c2, b2 := s.pair()
	var l Listing
	o := NewOrder(l.Step)
	s.Give(o)
	if o.Wait(t.Context()) != nil || len(l.Entries) != 2 {
		t.Fatalf("%d sessions listed, want 2", len(l.Entries))
	}
	var victim uint64
	for _, e := range l.Entries {
		if e.Client.AddrPort() == c1.LocalAddr() {
			victim = e.ID
		}
	}
	s.ask(t, func(w *Worker) {
		if !w.Kill(victim, stats.Killed) || w.Kill(victim, stats.Killed) || w.Kill(1<<60, stats.Killed) {
			t.Error("Kill did not tell whether there is such a session")
		}
	})
	wantReset(t, c1, b1)
	play(t, c2, testkit.Send(100), testkit.HalfClose())
	wantStream(t, "backend of the other", play(t, b2, testkit.ReadToEnd(), testkit.Close()), 100, testkit.EndFIN)
	eventually(t, "counted", func() bool { return s.ended(stats.Killed) == 1 && s.ended(stats.ClientFIN) == 1 })
}

// Whoever has connected before StopAccepting is served, however long the queue; nobody after it is.
func TestStopAcceptingServesTheQueueFirst(t *testing.T) {
	testkit.LeakCheck(t)
	const queued = 100
	s := newStage(t, nil)
	var clients []*testkit.Peer
	s.ask(t, func(w *Worker) { // while the worker is here it accepts nobody
		for range queued {
			c, err := testkit.Dial(s.front)
			if err != nil {
				t.Error(err)
				return
			}
			t.Cleanup(c.Close)
			clients = append(clients, c)
		}
		w.StopAccepting()
	})
	late := s.dial() // the socket stays open: the kernel still completes connections
	for range queued {
		b := s.accept()
		play(t, b, testkit.Send(10), testkit.Close())
	}
	for _, c := range clients {
		wantStream(t, "client", play(t, c, testkit.ReadToEnd(), testkit.Close()), 10, testkit.EndFIN)
	}
	s.wantEnds(t, stats.BackendFIN, queued)
	play(t, late, testkit.Send(10))
	s.wantQuiet(t)
	if n := s.counter(stats.Accepted); n != queued {
		t.Errorf("%d sessions accepted, want the %d that were queued", n, queued)
	}
}

// simWorker is a worker on the simulated kernel, whose clock the test moves, with n connections in its queue.
func simWorker(t *testing.T, n int) (k *simkernel.Kernel, w *Worker, listener int) {
	t.Helper()
	k = simkernel.New(1, simkernel.Options{FDLimit: 4*n + 100, Immediate: true})
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", loopback))
	w, err := New(testConfig(k))
	if err != nil {
		t.Fatal(err)
	}
	listener = k.Listen(sys.Addr{Port: 80})
	w.Adopt(snap)
	w.Listen(Listener{FD: listener, Addr: sys.Addr{Port: 80}})
	for range n {
		k.Dial(listener, sys.Addr{Port: 5000})
	}
	return k, w, listener
}

// simStage is such a worker with n sessions that stand.
func simStage(t *testing.T, n int) (*simkernel.Kernel, *Worker) {
	t.Helper()
	k, w, _ := simWorker(t, n)
	for range 1000 {
		if w.count(relaying) == n {
			return k, w
		}
		k.Settle()
		w.turn()
	}
	t.Fatalf("%d of %d sessions stand", w.count(relaying), n)
	return nil, nil
}

// Shedding closes about as many sessions in each tenth of its time.
func TestSheddingIsEven(t *testing.T) {
	const sessions, overMs = 1000, 1000
	k, w := simStage(t, sessions)
	o := Once(func(w *Worker) { w.Shed(Shedding{Reason: stats.Shed, Backend: backend.NoBackend, OverMs: overMs}) })
	w.Give(o)
	w.turn()
	for tenth := range 10 {
		before := w.Live()
		for range 10 {
			k.Advance(overMs / 100 * 1e6)
			w.turn()
		}
		if n := before - w.Live(); n < sessions/10*9/10 || n > sessions/10*11/10 {
			t.Errorf("tenth %d: %d sessions closed, want %d", tenth, n, sessions/10)
		}
	}
	for range 5 {
		k.Advance(10e6)
		w.turn()
	}
	if w.Live() != 0 || len(w.sheds) != 0 {
		t.Errorf("%d sessions are left, %d sheddings", w.Live(), len(w.sheds))
	}
}

// A part of one backend's sessions is shed, and no other backend's.
func TestSheddingTakesItsPart(t *testing.T) {
	k, w := simStage(t, 100)
	w.Give(Once(func(w *Worker) { w.Shed(Shedding{Reason: stats.Shed, Backend: 7}) }))
	w.turn()
	w.turn()
	if w.Live() != 100 {
		t.Errorf("%d sessions are left of 100 of another backend", w.Live())
	}
	w.Give(Once(func(w *Worker) { w.Shed(Shedding{Reason: stats.Shed, Backend: 0, Part: 4}) }))
	for range 3 {
		k.Advance(10e6)
		w.turn()
	}
	if w.Live() != 75 {
		t.Errorf("%d sessions are left of 100, want 75", w.Live())
	}
}

// A listing of many sessions leaves room for others between its steps, and misses none.
func TestListingTakesSeveralTurns(t *testing.T) {
	const sessions = 3000
	_, w := simStage(t, sessions)
	var l Listing
	o := NewOrder(l.Step)
	w.Give(o)
	turns := 0
	for done := false; !done; turns++ {
		before := len(l.Entries)
		w.turn()
		if n := len(l.Entries) - before; n > maxListed {
			t.Fatalf("%d sessions copied in one turn, want at most %d", n, maxListed)
		}
		select {
		case <-o.Done():
			done = true
		default:
		}
	}
	seen := map[uint64]bool{}
	for _, e := range l.Entries {
		seen[e.ID] = true
	}
	if len(seen) != sessions || l.Seen != sessions || turns < sessions/maxListed {
		t.Errorf("%d sessions, %d seen, in %d turns; want %d in at least %d", len(seen), l.Seen, turns, sessions, sessions/maxListed)
	}
}

// Whatever moment a copy of the counters is of: no more have ended than were accepted, and no counter falls.
func TestCountersAgreeAtEveryMoment(t *testing.T) {
	testkit.LeakCheck(t)
	l, ap := listenOn(t)
	go echo(l)
	r := newRig(t, newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", ap)), nil)
	var stop atomic.Bool
	var readers, clients sync.WaitGroup
	copies := 0
	readers.Go(func() {
		var last uint64
		for ; !stop.Load(); copies++ {
			var c stats.Copy
			r.Sheet().AddTo(&c)
			accepted, ended := c.Value(stats.Frontend, 0, stats.Accepted), uint64(0)
			for reason := range stats.NumReasons {
				ended += c.Value(stats.Frontend, 0, stats.EndedBase+int(reason))
			}
			if accepted < ended || accepted < last {
				t.Errorf("accepted %d (before %d), ended %d", accepted, last, ended)
				return
			}
			last = accepted
		}
	})
	for seed := range uint64(4) {
		clients.Go(func() { churn(t, r, rand.New(rand.NewPCG(seed, 1))) })
	}
	clients.Wait()
	stop.Store(true)
	readers.Wait()
	eventually(t, "accepted = ended", func() bool {
		var live int
		r.ask(t, func(w *Worker) { live = w.Live() })
		return live == 0
	})
	var c stats.Copy
	r.Sheet().AddTo(&c)
	for reason := range stats.NumReasons {
		c[stats.Frontend][0][stats.Accepted] -= c.Value(stats.Frontend, 0, stats.EndedBase+int(reason))
	}
	if n := int64(c.Value(stats.Frontend, 0, stats.Accepted)); n != 0 {
		t.Errorf("%d more sessions accepted than ended, and none is left", n)
	}
	t.Logf("%d copies", copies)
}

// churn makes sessions that end in every way.
func churn(t *testing.T, r *rig, rnd *rand.Rand) {
	for range 150 {
		c, err := net.Dial("tcp", r.addr)
		if errors.Is(err, sys.ECONNRESET) {
			continue // killed already
		}
		if err != nil {
			t.Error(err)
			return
		}
		c.SetDeadline(time.Now().Add(testkit.Bound))
		c.Write(make([]byte, 1+rnd.IntN(3000)))
		switch rnd.IntN(4) {
		case 0:
			c.(*net.TCPConn).SetLinger(0)
		case 1:
			c.Read(make([]byte, 1))
		case 2:
			r.Give(Once(func(w *Worker) { w.Kill(w.nextID, stats.Killed) }))
		}
		c.Close()
	}
}
