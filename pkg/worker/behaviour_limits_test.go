package worker

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// wantRefusals fails unless n connections were refused, all for this reason.
func (r *rig) wantRefusals(t testing.TB, why stats.Refusal, n uint64) {
	t.Helper()
	eventually(t, "refused: "+why.String(), func() bool { return r.counter(stats.RefusedBase+int(why)) >= n })
	for other := range stats.NumRefusals {
		want := uint64(0)
		if other == why {
			want = n
		}
		if got := r.counter(stats.RefusedBase + int(other)); got != want {
			t.Errorf("%d refused as %v, want %d", got, other, want)
		}
	}
}

// wantWaiting fails unless the worker rests with n sessions and accepts nobody.
func (s *stage) wantWaiting(t testing.TB, n int) {
	t.Helper()
	s.wantQuiet(t)
	s.ask(t, func(w *Worker) {
		if w.Live() != n || w.paused != 1 {
			t.Errorf("%d sessions, %d listeners paused; want %d and 1", w.Live(), w.paused, n)
		}
	})
}

// A full house leaves connections in the kernel's queue; the first place that is free goes to the next of them.
func TestFullHouseWaits(t *testing.T) {
	for name, change := range map[string]func(*Config, *backend.Frontend){
		"process":  func(c *Config, _ *backend.Frontend) { c.Limits.Max = 3 },
		"frontend": func(_ *Config, f *backend.Frontend) { f.MaxSessions, f.RefuseWhenFull = 3, false },
	} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := newStage(t, change)
			var inside [3][2]*testkit.Peer
			for i := range inside {
				c, b := s.pair()
				inside[i] = [2]*testkit.Peer{c, b}
			}
			var outside [4]*testkit.Peer
			for i := range outside {
				outside[i] = s.dial()
				play(t, outside[i], testkit.Send(100))
			}
			s.wantWaiting(t, 3)
			for i := range outside {
				leaves := inside[i%3]
				play(t, leaves[0], testkit.Close())
				play(t, leaves[1], testkit.ReadToEnd(), testkit.Close())
				b := s.accept()
				play(t, b, testkit.Read(100), testkit.Send(50))
				play(t, outside[i], testkit.Read(50))
				inside[i%3] = [2]*testkit.Peer{outside[i], b}
			}
			eventually(t, "7 sessions accepted", func() bool { return s.counter(stats.Accepted) == 7 })
			eventually(t, "the place is free", func() bool { return s.Limits.Held.Load() == 3 })
			if peak := s.Limits.Peak.Load(); peak != 3 {
				t.Errorf("a peak of %d sessions, want 3", peak)
			}
		})
	}
}

func TestFullFrontendRefuses(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, func(_ *Config, f *backend.Frontend) { f.MaxSessions, f.RefuseWhenFull = 2, true })
	c, b := s.pair()
	s.pair()
	for range 3 {
		wantRefused(t, s.front)
	}
	s.wantRefusals(t, stats.Full, 3)
	play(t, c, testkit.Close())
	play(t, b, testkit.ReadToEnd(), testkit.Close())
	eventually(t, "a place is free", func() bool { return s.Limits.Held.Load() == 1 })
	s.pair()
	s.ask(t, (*Worker).publish)
	if n := s.counter(stats.Accepted); n != 3 {
		t.Errorf("%d sessions accepted, want 3: a refused one is none", n)
	}
}

func TestClientHasItsOwnLimit(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, func(_ *Config, f *backend.Frontend) {
		f.MaxSessionsPerClient, f.Live.Clients = 2, flow.NewClientTable(100)
	})
	c, b := s.pair()
	s.pair()
	wantRefused(t, s.front)
	s.wantRefusals(t, stats.ClientFull, 1)
	play(t, c, testkit.Close())
	play(t, b, testkit.ReadToEnd(), testkit.Close())
	eventually(t, "a place is free", func() bool { return s.Limits.Held.Load() == 1 })
	s.pair()
	wantRefused(t, s.front)
	s.wantRefusals(t, stats.ClientFull, 2)
}

func TestAcceptRate(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, func(_ *Config, f *backend.Frontend) {
		f.Live.Rate = flow.NewRate(1, 3)
		f.Live.Rate.Allow(1 << 62) // from here on the burst is used up for good
	})
	for range 4 {
		wantRefused(t, s.front)
	}
	s.wantRefusals(t, stats.OverRate, 4)
	s.ask(t, func(w *Worker) { w.snap.Frontends[0].Live.Rate = flow.NewRate(1, 1_000_000) })
	s.pair()
	s.ask(t, (*Worker).publish)
	if n := s.counter(stats.Accepted); n != 1 {
		t.Errorf("%d sessions accepted, want 1", n)
	}
}

func TestAllowAndDeny(t *testing.T) {
	networks := func(cidrs ...string) flow.Networks {
		var p []netip.Prefix
		for _, c := range cidrs {
			p = append(p, netip.MustParsePrefix(c))
		}
		return flow.NewNetworks(p)
	}
	for name, c := range map[string]struct {
		allow, deny flow.Networks
		in          bool
	}{
		"denied":                {networks(), networks("127.0.0.0/8"), false},
		"another one is denied": {networks(), networks("10.0.0.0/8"), true},
		"allowed":               {networks("127.0.0.1/32"), networks(), true},
		"another one is":        {networks("10.0.0.0/8"), networks(), false},
		"deny wins":             {networks("127.0.0.0/8"), networks("127.0.0.1/32"), false},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := newStage(t, func(_ *Config, f *backend.Frontend) { f.Allow, f.Deny = c.allow, c.deny })
			if c.in {
				s.pair()
				return
			}
			wantRefused(t, s.front)
			s.wantRefusals(t, stats.Denied, 1)
		})
	}
}

// At the limit, the oldest session in which no byte ever passed makes room; one that has spoken stays, however idle.
func TestOldestSilentSessionIsEvicted(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, func(c *Config, f *backend.Frontend) { c.Limits.Max, f.Timeouts.FirstByte = 3, 3600_000 })
	spoke, sb := s.pair()
	play(t, spoke, testkit.Send(5))
	play(t, sb, testkit.Read(5))
	oldest, ob := s.pair()
	younger, yb := s.pair()
	s.pair()
	wantReset(t, oldest, ob)
	s.pair()
	wantReset(t, younger, yb)
	play(t, sb, testkit.Send(6))
	play(t, spoke, testkit.Read(6))
	eventually(t, "two evicted", func() bool { return s.ended(stats.Evicted) == 2 })
	if n := s.Limits.Held.Load(); n != 3 {
		t.Errorf("%d places are held, want 3", n)
	}
}

// Nobody is evicted for nobody: only for a client who has come, and is let in.
func TestEvictionIsForSomebody(t *testing.T) {
	const room, newcomers = 10, 5
	k, w, l := simWorker(t, room) // they come at once: batches grow, and ask once more than there are
	w.Limits.Max = room
	f := w.snap.Frontends[0]
	f.Timeouts.FirstByte = 3600_000
	turns := func() {
		for range 20 {
			k.Settle()
			w.turn()
		}
	}
	want := func(evicted uint64) {
		t.Helper()
		turns()
		if n := simCounter(w, stats.Frontend, stats.EndedBase+int(stats.Evicted)); n != evicted || w.Live() != room {
			t.Errorf("%d evicted, %d sessions; want %d and %d", n, w.Live(), evicted, room)
		}
	}
	want(0)
	for range newcomers {
		k.Dial(l, sys.Addr{Port: 5000})
	}
	want(newcomers)
	f.Deny = flow.NewNetworks([]netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")})
	k.Dial(l, sys.Addr{IP: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Port: 5000})
	want(newcomers)
	if n := simCounter(w, stats.Frontend, stats.RefusedBase+int(stats.Denied)); n != 1 {
		t.Errorf("%d denied, want 1", n)
	}
}

// Without first_byte silent sessions are customers, and nobody makes room.
func TestNobodyIsEvictedWithoutFirstByte(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Limits.Max = 1 })
	s.pair()
	s.dial()
	s.wantWaiting(t, 1)
	if n := s.ended(stats.Evicted); n != 0 {
		t.Errorf("%d evicted, want none", n)
	}
}

// between is a kernel where something else happens once, while an accept is under way.
type between struct {
	*simkernel.Kernel
	then func()
}

func (k *between) Accept(fd int) (int, sys.Addr, sys.Errno) {
	if then := k.then; then != nil {
		k.then = nil
		then()
	}
	return k.Kernel.Accept(fd)
}

// Two workers see the last place of a frontend that waits when it is full. One gets it, and nobody is sent away.
func TestLastPlaceIsTakenBeforeTheAccept(t *testing.T) {
	k := &between{Kernel: simkernel.New(1, simkernel.Options{Immediate: true})}
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", loopback))
	snap.Frontends[0].MaxSessions, snap.Frontends[0].RefuseWhenFull = 1, false
	limits := &Limits{Max: 100}
	var workers [2]*Worker
	for i := range workers {
		c := testConfig(k)
		c.Limits = limits
		w, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		l := k.Listen(sys.Addr{Port: 80})
		w.Adopt(snap)
		w.Listen(Listener{FD: l})
		k.Dial(l, sys.Addr{Port: uint16(5000 + i)})
		workers[i] = w
	}
	k.then = workers[1].turn
	workers[0].turn()
	for range 5 {
		for i, w := range workers {
			w.turn()
			if n := simCounter(w, stats.Frontend, stats.RefusedBase+int(stats.Full)); n != 0 {
				t.Fatalf("worker %d has sent a client away", i)
			}
		}
	}
	in, waits := workers[0], workers[1]
	if in.Live() != 1 || waits.Live() != 0 || waits.paused != 1 {
		t.Fatalf("%d and %d sessions, %d paused; want one, and one that waits", in.Live(), waits.Live(), waits.paused)
	}
	k.Clients()[0].Reset()
	for range 5 {
		in.turn()
		k.Advance(pausedWaitMs * 1e6)
		waits.turn()
	}
	if in.Live() != 0 || waits.Live() != 1 {
		t.Errorf("%d and %d sessions, want the second client's", in.Live(), waits.Live())
	}
	if n, all := snap.Frontends[0].Live.Active.Load(), limits.Held.Load(); n != 1 || all != 1 {
		t.Errorf("%d places of the frontend are taken, %d of the process; want 1", n, all)
	}
}

// A client that is turned away at the door leaves no place taken, whichever way the frontend is full.
func TestRefusalGivesThePlacesBack(t *testing.T) {
	for name, refuses := range map[string]bool{"refuses when full": true, "waits when full": false} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := newStage(t, func(_ *Config, f *backend.Frontend) {
				f.RefuseWhenFull, f.MaxSessions = refuses, 10
				f.MaxSessionsPerClient, f.Live.Clients = 1, flow.NewClientTable(100)
			})
			s.pair()
			for range 3 {
				wantRefused(t, s.front)
			}
			s.wantRefusals(t, stats.ClientFull, 3)
			s.ask(t, func(w *Worker) {
				w.snap.Frontends[0].Deny = flow.NewNetworks([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")})
			})
			for range 3 {
				wantRefused(t, s.front)
			}
			s.ask(t, func(w *Worker) {
				if n, all := w.snap.Frontends[0].Live.Active.Load(), w.Limits.Held.Load(); n != 1 || all != 1 {
					t.Errorf("%d places of the frontend are taken, %d of the process; want 1", n, all)
				}
			})
		})
	}
}
