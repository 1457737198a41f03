package worker

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// berth is a rig whose sessions come from sources of ours, towards some backends that accept.
type berth struct {
	*stage
	snap     *backend.Snapshot
	backends []*testkit.Listener
	clients  []*testkit.Peer
}

func newBerth(t *testing.T, from sources, backends int) *berth {
	t.Helper()
	return newBerthOn(t, sys.Real{}, loopback, from, backends)
}

func newBerthOn(t *testing.T, k sys.Kernel, at netip.AddrPort, from sources, backends int) *berth {
	t.Helper()
	b := &berth{}
	var to []backend.Identity
	for i := range backends {
		l, err := testkit.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		b.backends = append(b.backends, l)
		to = append(to, identity(string(rune('a'+i)), l.Addr()))
	}
	o := backend.PoolOptions{EjectAfter: 1, EjectForMs: 60_000, MaxEjected: 1} // and no retries: a want of ports needs none
	b.snap = from.snapshot(t, o, testTimeouts, to...)
	b.stage = &stage{rig: newRig(t, b.snap, func(c *Config) { c.Kernel = k }), t: t}
	return b
}

// open makes a session, unless there is no port for it: then the client is reset, perhaps before its connect has returned.
func (b *berth) open() {
	b.t.Helper()
	before, want := b.ended(stats.NoPorts), len(b.clients)+1
	c, err := testkit.Dial(b.front)
	if err == nil {
		b.t.Cleanup(c.Close)
	}
	eventually(b.t, "the client stands or is refused", func() (done bool) {
		b.ask(b.t, func(w *Worker) { done = w.count(relaying) == want || b.ended(stats.NoPorts) > before })
		return done
	})
	switch {
	case b.ended(stats.NoPorts) == before:
		b.clients = append(b.clients, c)
	case err == nil:
		wantStream(b.t, "client", play(b.t, c, testkit.ReadToEnd()), 0, testkit.EndReset)
	}
}

// sourcesOf is where the sessions to a backend come from, by its own account.
func (b *berth) sourcesOf(backend int) map[netip.AddrPort]bool {
	b.t.Helper()
	seen := map[netip.AddrPort]bool{}
	for _, s := range b.peersOf(backend) {
		seen[s] = true
	}
	return seen
}

func (b *berth) peersOf(backend int) (all []netip.AddrPort) {
	b.ask(b.t, func(w *Worker) {
		for slot := range w.slots.used {
			if s := w.slots.at(slot); s.state == relaying && int(s.backend) == backend {
				a, _ := w.k.LocalAddr(int(s.fd[server]))
				all = append(all, a.AddrPort())
			}
		}
	})
	return all
}

// wantBlameless fails if a backend is blamed for what was our shortage.
func (b *berth) wantBlameless() {
	b.t.Helper()
	for i, x := range b.snap.Backends {
		if x.Ejected(1) {
			b.t.Errorf("backend %s is ejected", x.Name)
		}
		for f := range stats.NumConnectFailures {
			if n := b.failures(i, f); n > 0 && f != stats.FailLocal {
				b.t.Errorf("backend %s: %d connects failed as %v", x.Name, n, f)
			}
		}
	}
}

// ownPorts are few, and this test's alone.
func ownPorts(from, n uint16, addrs ...string) (c sources) {
	for _, a := range addrs {
		c.addrs = append(c.addrs, netip.MustParseAddr(a))
	}
	c.own = ports.Range{First: from, Last: from + n - 1}
	return c
}

// Two sources with three ports each hold six sessions to each of two backends; then there is no port, and it is nobody's
// fault. A port that comes back serves again at once.
func TestEveryPortOfEverySourceServesEachBackend(t *testing.T) {
	testkit.LeakCheck(t)
	b := newBerth(t, ownPorts(21100, 3, "127.66.1.1", "127.66.1.2"), 2)
	for range 15 {
		b.open()
	}
	if n := len(b.clients); n != 12 {
		t.Errorf("%d sessions stand, want 12", n)
	}
	for i := range b.backends {
		if seen := b.sourcesOf(i); len(seen) != 6 {
			t.Errorf("backend %d sees %v, want 6 sources", i, seen)
		}
	}
	b.wantBlameless()
	if n := b.ended(stats.NoPorts); n != 3 {
		t.Errorf("%d sessions ended for want of a port, want 3", n)
	}
	b.ask(t, func(w *Worker) { w.Kill(w.slots.at(5).id, stats.Killed) })
	b.clients = b.clients[:11] // which of them it was is of no interest
	if b.open(); len(b.clients) != 12 {
		t.Error("the port that came back is not used")
	}
}

// A port that another program listens on is passed over, and rests.
func TestAPortThatSomebodyElseHasIsPassedOver(t *testing.T) {
	testkit.LeakCheck(t)
	l, err := testkit.Listen(netip.MustParseAddrPort("127.66.2.1:21200"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b := newBerth(t, ownPorts(21200, 3, "127.66.2.1"), 1)
	for range 4 {
		b.open()
	}
	if n := len(b.clients); n != 2 {
		t.Errorf("%d sessions stand, want 2", n)
	}
	if u := b.snap.Pools[0].Members[0].Ports.Usage(sys.Real{}.NowNs() / 1e6); u.Used != 2 || u.Resting != 1 {
		t.Errorf("ports: %+v; want 2 used and 1 resting", u)
	}
	b.wantBlameless()
}

// A source that the host has lost leaves its sessions to the others, in both modes.
func TestASourceThatIsGoneLeavesItsSessionsToTheOthers(t *testing.T) {
	for name, from := range map[string]sources{
		"ports of ours":       ownPorts(21300, 8, "192.0.2.77", "127.66.3.1"),
		"ports of the kernel": {addrs: ownPorts(0, 1, "192.0.2.77", "127.66.3.2").addrs},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			b := newBerth(t, from, 1)
			for range 4 {
				b.open()
			}
			if n := len(b.clients); n != 4 {
				t.Errorf("%d sessions stand, want 4", n)
			}
			b.wantBlameless()
		})
	}
}

func TestSourcesOfIPv6(t *testing.T) {
	six := netip.MustParseAddrPort("[::1]:0")
	for name, from := range map[string]sources{
		"ports of ours":                 ownPorts(21600, 3, "::1"),
		"ports of ours, of any address": ownPorts(21610, 3, "::"),
		"ports of the kernel":           {addrs: ownPorts(0, 1, "::1").addrs},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			b := newBerthOn(t, sys.Real{}, six, from, 2)
			for range 6 {
				b.open()
			}
			if n := len(b.clients); n != 6 {
				t.Errorf("%d sessions stand, want 6", n)
			}
			for i := range b.backends {
				for _, a := range b.peersOf(i) {
					if a.Addr() != six.Addr() || from.own.Len() > 0 && !from.own.Contains(a.Port()) {
						t.Errorf("a session comes from %v", a)
					}
				}
			}
			b.wantBlameless()
		})
	}
}

// Where the kernel chooses ports, sessions come from every source in turn.
func TestSourcesTakeTurns(t *testing.T) {
	testkit.LeakCheck(t)
	b := newBerth(t, kernelSources, 1)
	for range 4 {
		b.open()
	}
	from := map[netip.Addr]int{}
	for _, a := range b.peersOf(0) {
		from[a.Addr()]++
	}
	for _, a := range kernelSources.addrs {
		if from[a] != 2 {
			t.Errorf("sessions come from %v, want two from each source", from)
		}
	}
}

// notFree is a kernel on which connecting from some ports is refused, as it is while they are in TIME_WAIT.
type notFree struct {
	sys.Real
	connects int
	errno    func(connect int) sys.Errno
}

func (k *notFree) Connect(fd int, to *sys.Sockaddr) sys.Errno {
	k.connects++
	if errno := k.errno(k.connects); errno != 0 {
		return errno
	}
	return k.Real.Connect(fd, to)
}

// What connect says of a port is believed: it rests, and the next one is tried, at most ports.MaxTries times.
func TestPortsThatConnectRefusesRest(t *testing.T) {
	for _, c := range []struct {
		name           string
		refused, stand int
		resting        int64
	}{
		{"some", 5, 1, 5},
		{"one less than is tried", ports.MaxTries - 1, 1, ports.MaxTries - 1},
		{"as many as are tried", ports.MaxTries, 0, ports.MaxTries},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			k := &notFree{errno: func(n int) sys.Errno {
				if n <= c.refused {
					return sys.EADDRNOTAVAIL
				}
				return 0
			}}
			b := newBerthOn(t, k, loopback, ownPorts(21400, 64, "127.66.4.1"), 1)
			b.open()
			if len(b.clients) != c.stand {
				t.Errorf("%d sessions stand, want %d", len(b.clients), c.stand)
			}
			if u := b.snap.Pools[0].Members[0].Ports.Usage(sys.Real{}.NowNs() / 1e6); u.Resting != c.resting || u.Used != int64(c.stand) {
				t.Errorf("ports: %+v; want %d resting", u, c.resting)
			}
			b.wantBlameless()
		})
	}
}

// A kernel that has no port left between two addresses is not asked again by the next session: its search is dear.
func TestAnExhaustedPairIsNotAskedAgainAtOnce(t *testing.T) {
	testkit.LeakCheck(t)
	k := &notFree{errno: func(int) sys.Errno { return sys.EADDRNOTAVAIL }}
	b := newBerthOn(t, k, loopback, kernelSources, 1)
	asked := 0
	b.ask(t, func(w *Worker) {
		s := &session{fd: [2]int32{-1, -1}}
		for range 10 { // one turn of the loop: the clock stands still
			m := &w.snap.Pools[0].Members[0]
			if w.takePort(s, m) {
				w.connectFrom(s, m)
			}
		}
		asked = k.connects
	})
	if asked != 2 {
		t.Errorf("the kernel was asked %d times for 10 sessions, want once for each of 2 sources", asked)
	}
	if n := b.snap.Pools[0].Members[0].Ports.Usage(0).Used; n != 0 {
		t.Errorf("%d ports are counted as used, want 0", n)
	}
}

// A session that does not come to stand gives its port back.
func TestAFailedConnectGivesThePortBack(t *testing.T) {
	testkit.LeakCheck(t)
	b := newBerth(t, ownPorts(21500, 4, "127.66.5.1"), 1)
	b.backends[0].Close()
	for range 3 {
		if c, err := testkit.Dial(b.front); err == nil {
			t.Cleanup(c.Close)
		}
	}
	eventually(t, "three ended", func() bool { return b.ended(stats.ConnectRefused)+b.ended(stats.NoBackend) == 3 })
	b.ask(t, func(*Worker) {}) // their slots are freed
	if u := b.snap.Pools[0].Members[0].Ports.Usage(sys.Real{}.NowNs() / 1e6); u.Used != 0 || u.Resting != 0 {
		t.Errorf("ports: %+v; want all back", u)
	}
	if b.failures(0, stats.FailRefused) == 0 {
		t.Error("the failure is not the backend's")
	}
}
