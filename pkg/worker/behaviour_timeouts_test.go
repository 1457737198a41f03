package worker

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

func TestIdleSessionIsResetOnBothSides(t *testing.T) {
	testkit.LeakCheck(t)
	s := timed(t, func(o *backend.Timeouts) { o.Idle = 50 })
	c, b := s.pair()
	wantReset(t, c, b)
	s.wantEnds(t, stats.IdleTimeout, 1)
}

// Traffic in either direction keeps a session; only when both rest does the time count.
func TestTrafficKeepsSessionFromIdling(t *testing.T) {
	testkit.LeakCheck(t)
	s := timed(t, func(o *backend.Timeouts) { o.Idle = 1500 })
	c, b := s.pair()
	for range 8 {
		play(t, b, testkit.Send(10), testkit.Pause(250*time.Millisecond))
		play(t, c, testkit.Read(10))
	}
	if n := s.ended(stats.IdleTimeout); n != 0 {
		t.Error("a session with traffic was ended as idle")
	}
	wantStream(t, "client", play(t, c, testkit.ReadToEnd()), 80, testkit.EndReset)
	s.wantEnds(t, stats.IdleTimeout, 1)
}

func TestHalfClosedSessionIsResetWhenTheOtherHalfRests(t *testing.T) {
	for _, who := range []string{"client", "backend"} {
		t.Run(who, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := timed(t, func(o *backend.Timeouts) { o.HalfClose = 100 })
			c, b := s.pair()
			ends, rests := c, b
			if who == "backend" {
				ends, rests = b, c
			}
			play(t, ends, testkit.Send(100), testkit.HalfClose())
			wantStream(t, "who rests", play(t, rests, testkit.ReadToEnd()), 100, testkit.EndFIN)
			wantStream(t, "who ended", play(t, ends, testkit.ReadToEnd()), 0, testkit.EndReset)
			play(t, rests, testkit.Pause(20*time.Millisecond))
			if err := socketError(rests.FD()); err != unix.ECONNRESET && err != unix.EPIPE {
				t.Errorf("who rests: pending error %v, want that of a RST", err)
			}
			s.wantEnds(t, stats.HalfCloseTimeout, 1)
		})
	}
}

func socketError(fd int) unix.Errno {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return unix.EBADF
	}
	return unix.Errno(n)
}

// Bytes wait, the receiver takes none: the sessions ends by RST on both sides.
func TestStalledSessionIsReset(t *testing.T) {
	testkit.LeakCheck(t)
	s := timed(t, func(o *backend.Timeouts) { o.Stall = 1000 })
	s.smallSendBuffer(t)
	c, b := s.pair()
	smallWindow(t, c.FD())
	tr := play(t, b, testkit.Send(64<<20)) // ends by the RST
	if tr.SendErrno != unix.ECONNRESET && tr.SendErrno != unix.EPIPE {
		t.Errorf("backend: send ended with %v, want a RST", tr.SendErrno)
	}
	got := play(t, c, testkit.ReadToEnd())
	if got.End != testkit.EndReset || got.FirstWrong >= 0 {
		t.Errorf("client: %v, want a right prefix and a RST", got)
	}
	s.wantEnds(t, stats.StallTimeout, 1)
}

// A reader that takes a little now and then is slow, not stalled.
func TestSlowReaderIsNotStalled(t *testing.T) {
	testkit.LeakCheck(t)
	s := timed(t, func(o *backend.Timeouts) { o.Stall = 1200 })
	s.smallSendBuffer(t)
	c, b := s.pair()
	smallWindow(t, c.FD())
	const total = 256 << 10
	behind(t, b, testkit.Send(total), testkit.HalfClose())
	for range 12 {
		play(t, c, testkit.Read(8<<10), testkit.Pause(300*time.Millisecond))
	}
	widen(c.FD())
	tr := play(t, c, testkit.HalfClose(), testkit.ReadToEnd())
	wantStream(t, "client", tr, total, testkit.EndFIN)
	if n := s.ended(stats.StallTimeout); n != 0 {
		t.Error("a slow reader was counted as stalled")
	}
}

// first_byte ends sessions in which no byte ever passed, and no others.
func TestFirstByteEndsSilentSessionsOnly(t *testing.T) {
	testkit.LeakCheck(t)
	s := timed(t, func(o *backend.Timeouts) { o.FirstByte = 1200 })
	silent, sb := s.pair()
	speaks, pb := s.pair()
	play(t, speaks, testkit.Send(1))
	play(t, pb, testkit.Read(1))
	wantReset(t, silent, sb)
	play(t, pb, testkit.Pause(500*time.Millisecond), testkit.Send(7))
	play(t, speaks, testkit.Read(7))
	if n, all := s.ended(stats.IdleTimeout), s.counter(stats.Accepted); n != 1 || all != 2 {
		t.Errorf("%d of %d sessions ended, want 1 of 2", n, all)
	}
}

// blackHole is an address whose listener's queue is full: the kernel drops every SYN.
func blackHole(t testing.TB) netip.AddrPort {
	t.Helper()
	fd, err := sys.ListenTCP(loopback, sys.ListenOptions{Backlog: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Real{}.Close(fd) })
	a, _ := sys.Real{}.LocalAddr(fd)
	to := sys.SockaddrInet(a.AddrPort())
	for range 4 { // the backlog is exceeded by one; the rest is dropped already
		fill, _ := sys.Real{}.Socket(sys.AF_INET)
		sys.Real{}.Connect(fill, &to)
		t.Cleanup(func() { sys.Real{}.Close(fill) })
	}
	return a.AddrPort()
}

func TestConnectTimeout(t *testing.T) {
	testkit.LeakCheck(t)
	times := testTimeouts
	times.Connect = 100
	snap := newSnapshot(t, backend.PoolOptions{}, times, identity("hole", blackHole(t)))
	r := newRig(t, snap, nil)
	c, err := testkit.Dial(r.front)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wantStream(t, "client", play(t, c, testkit.Send(100), testkit.ReadToEnd()), 0, testkit.EndReset)
	r.wantEnds(t, stats.ConnectTimeout, 1)
	var sum stats.Copy
	r.Sheet().AddTo(&sum)
	if n := sum.Value(stats.Backend, 0, stats.FailureBase+int(stats.FailTimeout)); n != 1 {
		t.Errorf("%d connect failures by timeout, want 1", n)
	}
}

// A session whose timer was set for much later is looked at in time when it becomes half-closed.
func TestHalfCloseLateInASession(t *testing.T) {
	k, w := simStage(t, 1)
	w.snap.Frontends[0].Timeouts = backend.Timeouts{Idle: 3600_000, HalfClose: 2000}
	pass := func(ms int) {
		for range ms / 100 {
			k.Advance(100e6)
			w.turn()
		}
	}
	pass(5000)
	k.Clients()[0].Send(10)
	k.Clients()[0].ShutdownWrite()
	pass(1800)
	if w.Live() != 1 {
		t.Fatal("the session ended too early")
	}
	pass(1500)
	w.publish()
	var c stats.Copy
	w.sheet.AddTo(&c)
	if n := c.Value(stats.Frontend, 0, stats.EndedBase+int(stats.HalfCloseTimeout)); n != 1 {
		t.Errorf("%d sessions ended by the half-close timeout, want 1", n)
	}
}

// A machine that stood still for an hour (a paused virtual machine) comes back with its sessions: that time does not
// count. What passes afterwards does.
func TestStandstillExpiresNobody(t *testing.T) {
	const sessions, idleMs = 50, 60_000
	k, w := simStage(t, sessions)
	w.snap.Frontends[0].Timeouts = backend.Timeouts{Idle: idleMs}
	pass := func(ms int) {
		for range ms / 500 {
			k.Advance(500e6)
			w.turn()
		}
	}
	pass(idleMs / 2)
	k.Advance(3600e9)
	for range 10 {
		w.turn()
	}
	if w.Live() != sessions {
		t.Fatalf("%d of %d sessions are left after the standstill", w.Live(), sessions)
	}
	pass(idleMs / 4)
	if w.Live() != sessions {
		t.Errorf("%d of %d sessions are left before their time", w.Live(), sessions)
	}
	pass(idleMs)
	if w.Live() != 0 {
		t.Errorf("%d sessions are left after their time", w.Live())
	}
}

// What clients' sockets inherit from their listener is set on the backend's at the session's first look, and only then:
// a short session does not pay for it.
func TestBackendSocketGetsItsOptionsLate(t *testing.T) {
	k, w := simStage(t, 1)
	w.snap.Frontends[0].Options = backend.SocketOptions{
		KeepaliveIdle: 61, KeepaliveInterval: 11, KeepaliveProbes: 7, UserTimeoutMs: 12345, NotSentLowat: 1 << 17,
	}
	backendFD, clientFD := int(w.slots.at(0).fd[server]), int(w.slots.at(0).fd[client])
	options := map[string]struct{ level, name, value int }{
		"SO_KEEPALIVE":      {sys.SOL_SOCKET, sys.SO_KEEPALIVE, 1},
		"TCP_KEEPIDLE":      {sys.IPPROTO_TCP, sys.TCP_KEEPIDLE, 61},
		"TCP_KEEPINTVL":     {sys.IPPROTO_TCP, sys.TCP_KEEPINTVL, 11},
		"TCP_KEEPCNT":       {sys.IPPROTO_TCP, sys.TCP_KEEPCNT, 7},
		"TCP_USER_TIMEOUT":  {sys.IPPROTO_TCP, sys.TCP_USER_TIMEOUT, 12345},
		"TCP_NOTSENT_LOWAT": {sys.IPPROTO_TCP, sys.TCP_NOTSENT_LOWAT, 1 << 17},
	}
	for name, o := range options {
		if _, set := k.Option(backendFD, o.level, o.name); set {
			t.Errorf("%s is set while the session is young", name)
		}
	}
	for range 3 {
		k.Advance(firstTickMs * 1e6)
		w.turn()
	}
	for name, o := range options {
		if value, set := k.Option(backendFD, o.level, o.name); !set || value != o.value {
			t.Errorf("%s is %d (set: %v), want %d", name, value, set, o.value)
		}
		if _, set := k.Option(clientFD, o.level, o.name); set {
			t.Errorf("%s is set on the client's socket, which has inherited it", name)
		}
	}
}

// Where they inherit nothing, clients' sockets are treated as backends' are; after a failed connect too.
func TestClientSocketGetsItsOptionsWhereItInheritsNone(t *testing.T) {
	k, w, _ := simWorker(t, 1)
	w.ClientOptions = true
	w.snap.Frontends[0].Options = backend.SocketOptions{KeepaliveIdle: 61, UserTimeoutMs: 12345}
	w.snap.Pools[0].ConnectRetries = 1
	refusals := 1
	k.OnConnect = func(sys.Sockaddr) (a simkernel.Answer) {
		if refusals--; refusals == 0 {
			a.Later = sys.ECONNREFUSED
		}
		return a
	}
	for range 5 {
		k.Settle()
		w.turn()
	}
	fd := int(w.slots.at(0).fd[client])
	for range 2 {
		k.Backends()[0].Send(100)
		w.turn()
	}
	if on, set := k.Option(fd, sys.IPPROTO_TCP, sys.TCP_NODELAY); !set || on != 1 {
		t.Error("Nagle's algorithm delays what the backend says")
	}
	k.Advance(firstTickMs * 1e6)
	w.turn()
	for name, o := range map[string]struct{ level, name, value int }{
		"TCP_KEEPIDLE":     {sys.IPPROTO_TCP, sys.TCP_KEEPIDLE, 61},
		"TCP_USER_TIMEOUT": {sys.IPPROTO_TCP, sys.TCP_USER_TIMEOUT, 12345},
	} {
		if value, set := k.Option(fd, o.level, o.name); !set || value != o.value {
			t.Errorf("%s is %d (set: %v), want %d", name, value, set, o.value)
		}
	}
}

// Timeouts shorter than a session's first look count from its first moment.
func TestShortTimeoutsActInTime(t *testing.T) {
	const ms = 100
	for name, c := range map[string]struct {
		times  backend.Timeouts
		reason stats.Reason
	}{
		"idle":       {backend.Timeouts{Idle: ms}, stats.IdleTimeout},
		"first_byte": {backend.Timeouts{FirstByte: ms}, stats.IdleTimeout},
		"half_close": {backend.Timeouts{HalfClose: ms}, stats.HalfCloseTimeout},
		"stall":      {backend.Timeouts{Stall: ms}, stats.StallTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			k, w, _ := simWorker(t, 1)
			k.Immediate = false
			w.snap.Frontends[0].Timeouts = c.times
			w.turn()
			k.Settle()
			w.turn()
			switch name {
			case "half_close":
				k.Clients()[0].ShutdownWrite()
				k.Immediate = true
			case "stall":
				k.Clients()[0].Send(64) // passed on, but it never arrives
			}
			k.Clients()[0].Deliver(64)
			w.turn()
			pass := func(ms int) {
				for range ms / 5 {
					k.Advance(5e6)
					w.turn()
				}
			}
			pass(ms - 10)
			if w.Live() != 1 {
				t.Fatal("the session ended too early")
			}
			pass(ms)
			if n := simCounter(w, stats.Frontend, stats.EndedBase+int(c.reason)); n != 1 {
				t.Errorf("%d sessions ended in time as %v, want 1", n, c.reason)
			}
		})
	}
}

// Nobody stalls before the time is over, counted from the connect: not even a receiver that has taken nothing yet.
func TestStallCountsFromTheConnect(t *testing.T) {
	k, w := simStage(t, 1)
	k.Immediate = false
	w.snap.Frontends[0].Timeouts = backend.Timeouts{Stall: 1600}
	k.Clients()[0].Send(100)
	k.Clients()[0].Deliver(100)
	pass := func(ms int) {
		for range ms / 50 {
			k.Advance(50e6)
			w.turn()
		}
	}
	pass(1500)
	if w.Live() != 1 {
		t.Fatal("the session ended too early")
	}
	pass(1000)
	if n := simCounter(w, stats.Frontend, stats.EndedBase+int(stats.StallTimeout)); n != 1 {
		t.Errorf("%d sessions ended by the stall timeout, want 1", n)
	}
}
