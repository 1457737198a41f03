package worker

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// connectKernel is the real kernel with a say in each connect.
type connectKernel struct {
	sys.Real
	mu     sync.Mutex
	before func(attempt, fd int, to *sys.Sockaddr) *sys.Sockaddr
	calls  int
	source []sys.Addr // of each attempt
}

func (k *connectKernel) Connect(fd int, to *sys.Sockaddr) sys.Errno {
	k.mu.Lock()
	defer k.mu.Unlock()
	errno := k.Real.Connect(fd, k.before(k.calls, fd, to))
	a, _ := k.LocalAddr(fd)
	k.calls++
	k.source = append(k.source, a)
	return errno
}

// closedPort is a port at which nobody listens, and which nobody takes before the test ends: a socket has it that does not
// listen.
func closedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: loopback.Addr().As4()}); err != nil {
		t.Fatal(err)
	}
	a, _ := sys.Real{}.LocalAddr(fd)
	return a.AddrPort()
}

// unusedPort is a port that nobody has at the moment.
func unusedPort(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := sys.ListenTCP(loopback, sys.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := sys.Real{}.LocalAddr(fd)
	sys.Real{}.Close(fd)
	return a.AddrPort()
}

// failures is how often connecting to a backend failed in a way.
func (r *rig) failures(b int, f stats.ConnectFailure) uint64 {
	var c stats.Copy
	r.Sheet().AddTo(&c)
	return c.Value(stats.Backend, b, stats.FailureBase+int(f))
}

func mustDial(t testing.TB, to netip.AddrPort) *testkit.Peer {
	t.Helper()
	c, err := testkit.Dial(to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// wantRefused connects and fails the test unless a RST without a byte is all that comes; it may come while connecting.
func wantRefused(t testing.TB, to netip.AddrPort) {
	t.Helper()
	c, err := testkit.Dial(to)
	if errors.Is(err, unix.ECONNRESET) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantStream(t, "client", play(t, c, testkit.ReadToEnd()), 0, testkit.EndReset)
}

func TestClientThatLeavesWhileDiallingCancelsTheConnect(t *testing.T) {
	testkit.LeakCheck(t)
	r := newRig(t, newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("hole", blackHole(t))), nil)
	c := mustDial(t, r.front)
	eventually(t, "dialling", func() (on bool) {
		r.ask(t, func(w *Worker) { on = w.count(dialling) == 1 })
		return on
	})
	play(t, c, testkit.Send(100), testkit.Reset())
	r.wantEnds(t, stats.ClientLeft, 1)
	r.ask(t, func(w *Worker) {
		if n := w.snap.Backends[0].Sessions(); n != 0 || w.slots.live != 0 {
			t.Errorf("%d sessions at the backend, %d live, want none", n, w.slots.live)
		}
		if n := w.snap.Backends[0].EjectedUntil(); n != 0 {
			t.Error("the backend was ejected for a client that left")
		}
	})
}

// behindAHole is a worker whose first backend never answers, so that sessions dial for a while, and whose second is l.
func behindAHole(t *testing.T) (*rig, *testkit.Listener) {
	t.Helper()
	l, err := testkit.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	times := testTimeouts
	times.Connect = 300
	o := backend.PoolOptions{ConnectRetries: 1, Algorithm: backend.RoundRobin}
	r := newRig(t, newSnapshot(t, o, times, identity("a-hole", blackHole(t)), identity("b-works", l.Addr())), nil)
	return r, l
}

// A client that only ended its stream still waits for its answer.
func TestHalfCloseWhileDiallingIsKept(t *testing.T) {
	testkit.LeakCheck(t)
	r, l := behindAHole(t)
	c := mustDial(t, r.front)
	play(t, c, testkit.Send(5000), testkit.HalfClose())
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	wantStream(t, "backend", play(t, b, testkit.ReadToEnd(), testkit.Send(700), testkit.Close()), 5000, testkit.EndFIN)
	wantStream(t, "client", play(t, c, testkit.ReadToEnd()), 700, testkit.EndFIN)
	r.wantEnds(t, stats.ClientFIN, 1)
	if n := r.failures(0, stats.FailTimeout); n != 1 {
		t.Errorf("%d attempts timed out, want 1: the test did not see what it is about", n)
	}
}

// A backend that refuses costs nobody a byte: the next one gets the whole stream.
func TestRetryGoesToAnotherBackend(t *testing.T) {
	testkit.LeakCheck(t)
	l, err := testkit.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	o := backend.PoolOptions{ConnectRetries: 1, Algorithm: backend.RoundRobin}
	snap := newSnapshot(t, o, testTimeouts, identity("a-closed", closedPort(t)), identity("b-works", l.Addr()))
	r := newRig(t, snap, nil)
	const sessions = 10
	for range sessions {
		c := mustDial(t, r.front)
		play(t, c, testkit.Send(50_000), testkit.HalfClose())
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		wantStream(t, "backend", play(t, b, testkit.ReadToEnd(), testkit.Close()), 50_000, testkit.EndFIN)
	}
	r.wantEnds(t, stats.ClientFIN, sessions)
	if n := r.failures(0, stats.FailRefused); n == 0 {
		t.Error("no attempt was refused: the test did not see what it is about")
	}
}

// The only backend of a pool is tried again from a new port.
func TestSingleBackendIsTriedAgainFromANewPort(t *testing.T) {
	testkit.LeakCheck(t)
	l, err := testkit.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	nobody := sys.SockaddrInet(closedPort(t))
	k := &connectKernel{before: func(attempt, _ int, to *sys.Sockaddr) *sys.Sockaddr {
		if attempt == 0 {
			return &nobody
		}
		return to
	}}
	snap := newSnapshot(t, backend.PoolOptions{ConnectRetries: 1}, testTimeouts, identity("b1", l.Addr()))
	r := newRig(t, snap, func(c *Config) { c.Kernel = k })
	c := mustDial(t, r.front)
	play(t, c, testkit.Send(9000), testkit.HalfClose())
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	wantStream(t, "backend", play(t, b, testkit.ReadToEnd(), testkit.Close()), 9000, testkit.EndFIN)
	r.wantEnds(t, stats.ClientFIN, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.calls != 2 || k.source[0].Port == k.source[1].Port {
		t.Errorf("%d attempts from %v, want 2 from two ports", k.calls, k.source)
	}
}

// No more attempts than connect_retries allows, and then a RST.
func TestRetriesAreBounded(t *testing.T) {
	testkit.LeakCheck(t)
	o := backend.PoolOptions{ConnectRetries: 3, Algorithm: backend.RoundRobin}
	r := newRig(t, newSnapshot(t, o, testTimeouts, identity("a", closedPort(t)), identity("b", closedPort(t))), nil)
	wantRefused(t, r.front)
	r.wantEnds(t, stats.ConnectRefused, 1)
	if n := r.failures(0, stats.FailRefused) + r.failures(1, stats.FailRefused); n != 4 {
		t.Errorf("%d attempts, want 4", n)
	}
}

// A socket that meets itself is no backend. Binding it to the address it connects to makes sure that it does.
func TestSelfConnectIsAFailure(t *testing.T) {
	testkit.LeakCheck(t)
	down := unusedPort(t)
	k := &connectKernel{before: func(_, fd int, to *sys.Sockaddr) *sys.Sockaddr {
		if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: down.Addr().As4(), Port: int(down.Port())}); err != nil {
			t.Error(err)
		}
		return to
	}}
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("down", down))
	snap.Backends[0].MaySelfConnect = true
	r := newRig(t, snap, func(c *Config) { c.Kernel = k })
	wantRefused(t, r.front)
	r.wantEnds(t, stats.ConnectRefused, 1)
	if n := r.failures(0, stats.FailSelf); n != 1 {
		t.Errorf("%d self-connects counted, want 1", n)
	}
}

// After consecutive_failures a backend is left alone, but never more of a pool than max_ejected.
func TestFailingBackendsAreEjectedUpToTheCap(t *testing.T) {
	testkit.LeakCheck(t)
	o := backend.PoolOptions{
		ConnectRetries: 0, Algorithm: backend.RoundRobin, EjectAfter: 3, EjectForMs: 3600_000, MaxEjected: 0.5,
	}
	var ids []backend.Identity
	for i := range 4 {
		ids = append(ids, identity(fmt.Sprint("b", i), closedPort(t)))
	}
	snap := newSnapshot(t, o, testTimeouts, ids...)
	r := newRig(t, snap, nil)
	const sessions = 40
	for range sessions {
		wantRefused(t, r.front)
	}
	r.wantEnds(t, stats.ConnectRefused, sessions)
	ejected := 0
	for i, b := range snap.Backends {
		n := r.failures(i, stats.FailRefused)
		switch {
		case b.EjectedUntil() == 0:
		case n != 3:
			t.Errorf("backend %d was ejected after %d failures, want 3", i, n)
		default:
			ejected++
		}
	}
	if ejected != 2 {
		t.Errorf("%d of 4 backends are ejected, want 2", ejected)
	}
}

// A success in between begins the count of failures anew.
func TestSuccessClearsFailures(t *testing.T) {
	testkit.LeakCheck(t)
	l, err := testkit.Listen(loopback)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	nobody := sys.SockaddrInet(closedPort(t))
	k := &connectKernel{before: func(attempt, _ int, to *sys.Sockaddr) *sys.Sockaddr {
		if attempt%3 != 2 {
			return &nobody
		}
		return to
	}}
	o := backend.PoolOptions{EjectAfter: 3, EjectForMs: 3600_000, MaxEjected: 1}
	snap := newSnapshot(t, o, testTimeouts, identity("b1", l.Addr()))
	r := newRig(t, snap, func(c *Config) { c.Kernel = k })
	for i := range 9 {
		if i%3 != 2 {
			wantRefused(t, r.front)
			continue
		}
		c := mustDial(t, r.front)
		b, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		play(t, b, testkit.Close())
		play(t, c, testkit.ReadToEnd(), testkit.Close())
	}
	eventually(t, "all ended", func() bool { return r.ended(stats.ConnectRefused) == 6 && r.ended(stats.BackendFIN) == 3 })
	if snap.Backends[0].EjectedUntil() != 0 {
		t.Error("two failures, a success and two failures are not three in a row")
	}
}
