package worker

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// counting counts the calls of the data path by name.
type counting struct {
	sys.Real
	calls map[string]int
	on    atomic.Bool
}

func (c *counting) count(call string) {
	if c.on.Load() {
		c.calls[call]++
	}
}

func (c *counting) EpollAdd(epfd, fd int, events uint32, token uint64) sys.Errno {
	c.count("epoll_ctl")
	return c.Real.EpollAdd(epfd, fd, events, token)
}

func (c *counting) EpollDel(epfd, fd int) sys.Errno {
	c.count("epoll_ctl")
	return c.Real.EpollDel(epfd, fd)
}

func (c *counting) Accept(fd int) (int, sys.Addr, sys.Errno) {
	c.count("accept4")
	return c.Real.Accept(fd)
}
func (c *counting) Socket(f int) (int, sys.Errno) { c.count("socket"); return c.Real.Socket(f) }
func (c *counting) Bind(fd int, from *sys.Sockaddr, port uint16) sys.Errno {
	c.count("bind")
	return c.Real.Bind(fd, from, port)
}

func (c *counting) Connect(fd int, to *sys.Sockaddr) sys.Errno {
	c.count("connect")
	return c.Real.Connect(fd, to)
}

func (c *counting) Recv(fd int, p []byte, f int) (int, sys.Errno) {
	c.count("recv")
	return c.Real.Recv(fd, p, f)
}

func (c *counting) Send(fd int, p []byte, f int) (int, sys.Errno) {
	c.count("send")
	return c.Real.Send(fd, p, f)
}
func (c *counting) Pipe(n int) (sys.Pipe, sys.Errno) { c.count("pipe2"); return c.Real.Pipe(n) }
func (c *counting) Splice(from, to, n int) (int, sys.Errno) {
	c.count("splice")
	return c.Real.Splice(from, to, n)
}
func (c *counting) Unread(fd int) (int, sys.Errno)  { c.count("ioctl"); return c.Real.Unread(fd) }
func (c *counting) Unsent(fd int) (int, sys.Errno)  { c.count("ioctl"); return c.Real.Unsent(fd) }
func (c *counting) AtMark(fd int) (bool, sys.Errno) { c.count("ioctl"); return c.Real.AtMark(fd) }
func (c *counting) ShutdownWrite(fd int) sys.Errno {
	c.count("shutdown")
	return c.Real.ShutdownWrite(fd)
}
func (c *counting) Close(fd int) sys.Errno { c.count("close"); return c.Real.Close(fd) }
func (c *counting) Reset(fd int) sys.Errno {
	c.count("setsockopt")
	c.count("close")
	return c.Real.Reset(fd)
}

func (c *counting) SockError(fd int) sys.Errno { c.count("getsockopt"); return c.Real.SockError(fd) }

func (c *counting) SetOption(fd, level, name, value int) sys.Errno {
	c.count("setsockopt")
	return c.Real.SetOption(fd, level, name, value)
}

func (c *counting) LocalAddr(fd int) (sys.Addr, sys.Errno) {
	c.count("getsockname")
	return c.Real.LocalAddr(fd)
}

func (c *counting) TCPInfo(fd int) (sys.TCPInfo, sys.Errno) {
	c.count("getsockopt")
	return c.Real.TCPInfo(fd)
}

// bench is a worker on the real kernel whose turns the test makes itself, between raw sockets: nothing but the worker
// allocates, and nothing waits.
type bench struct {
	*Worker
	t        testing.TB
	listener int // the worker's
	backend  int // the backend's listener
	to       sys.Sockaddr
}

func newBench(t testing.TB, k sys.Kernel) *bench {
	t.Helper()
	return newBenchFrom(t, k, sources{})
}

func newBenchFrom(t testing.TB, k sys.Kernel, from sources) *bench {
	t.Helper()
	listen := func() (int, netip.AddrPort) {
		fd, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), sys.ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a, _ := sys.Real{}.LocalAddr(fd)
		return fd, a.AddrPort()
	}
	b := &bench{t: t}
	var at netip.AddrPort
	b.backend, at = listen()
	c := testConfig(k)
	c.CheckPipes = false
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	b.Worker = w
	w.Adopt(from.snapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", at)))
	var front netip.AddrPort
	b.listener, front = listen()
	b.to = sys.SockaddrInet(front)
	w.Listen(Listener{FD: b.listener, Addr: sys.AddrFrom(front)})
	t.Cleanup(func() {
		w.closeAll()
		sys.Real{}.Close(b.listener)
		sys.Real{}.Close(b.backend)
	})
	return b
}

// turnUntil makes turns until ok.
func (b *bench) turnUntil(ok func() bool) {
	for range 10_000 {
		if ok() {
			return
		}
		b.turn()
	}
	b.t.Fatal("nothing happened in 10,000 turns")
}

// connect makes a session and returns both of its outer ends.
func (b *bench) connect() (clientFD, backendFD int) {
	var k sys.Real
	clientFD, _ = k.Socket(sys.AF_INET)
	k.Connect(clientFD, &b.to)
	b.turnUntil(func() bool {
		var errno sys.Errno
		backendFD, _, errno = k.Accept(b.backend)
		return errno == 0
	})
	return clientFD, backendFD
}

var message = make([]byte, 64)

// pass sends 64 bytes from one outer end and reads them at the other.
func (b *bench) pass(from, to int) {
	var k sys.Real
	k.Send(from, message, 0)
	b.turnUntil(func() bool {
		n, _ := k.Recv(to, message, 0)
		return n == len(message)
	})
}

// finish closes the client, then the backend, as they see the end.
func (b *bench) hangUp(clientFD, backendFD int) {
	var k sys.Real
	live := b.slots.live
	k.Close(clientFD)
	b.turnUntil(func() bool {
		n, errno := k.Recv(backendFD, message, 0)
		return n == 0 && errno == 0
	})
	k.Close(backendFD)
	b.turnUntil(func() bool { return b.slots.live == live-1 })
}

// The budget of BASELINES: 14 calls for connect, 64 bytes there and back, close.
func TestShortSessionTakesFourteenCalls(t *testing.T) { checkCalls(t, sources{}, 14) }

// A source costs an option and a bind.
func TestShortSessionFromASourceTakesSixteenCalls(t *testing.T) {
	t.Run("port of the kernel", func(t *testing.T) { checkCalls(t, kernelSources, 16) })
	t.Run("port of ours", func(t *testing.T) { checkCalls(t, ownSources, 16) })
	few := kernelSources
	few.kernel = ports.Range{First: 40000, Last: 40001}
	few.held = 2 // of each source
	t.Run("port of the kernel, most of them in use", func(t *testing.T) { checkCalls(t, few, 17) })
}

// Sources for the real kernel, which has all of 127.0.0.0/8.
var (
	kernelSources = sources{addrs: []netip.Addr{netip.MustParseAddr("127.66.0.1"), netip.MustParseAddr("127.66.0.2")}}
	ownSources    = sources{addrs: kernelSources.addrs, own: ports.Range{First: 21000, Last: 21999}}
)

func checkCalls(t *testing.T, from sources, most int) {
	testkit.LeakCheck(t)
	k := &counting{calls: map[string]int{}}
	b := newBenchFrom(t, k, from)
	k.on.Store(true)
	c, s := b.connect()
	b.pass(c, s)
	b.pass(s, c)
	b.hangUp(c, s)
	k.on.Store(false)
	total := 0
	var lines []string
	for call, n := range k.calls {
		total += n
		lines = append(lines, fmt.Sprintf("%s %d", call, n))
	}
	sort.Strings(lines)
	t.Logf("%d calls: %s", total, strings.Join(lines, ", "))
	if total > most {
		t.Errorf("%d calls, want at most %d", total, most)
	}
	if n := k.calls["setsockopt"] + k.calls["bind"]; n != most-14 {
		t.Errorf("%d calls for the source, want %d", n, most-14)
	}
}

// Nothing is allocated on the way of a session, nor for its bytes.
func TestSessionAllocatesNothing(t *testing.T) {
	for name, from := range map[string]sources{"no source": {}, "port of the kernel": kernelSources, "port of ours": ownSources} {
		t.Run(name, func(t *testing.T) { checkAllocations(t, from) })
	}
}

func checkAllocations(t *testing.T, from sources) {
	testkit.LeakCheck(t)
	b := newBenchFrom(t, sys.Real{}, from)
	session := func() {
		c, s := b.connect()
		b.pass(c, s)
		b.pass(s, c)
		b.hangUp(c, s)
	}
	for range 100 {
		session()
	}
	if n := testing.AllocsPerRun(500, session); n != 0 {
		t.Errorf("a session allocates %v times, want 0", n)
	}
	c, s := b.connect()
	if n := testing.AllocsPerRun(2000, func() { b.pass(c, s) }); n != 0 {
		t.Errorf("a message allocates %v times, want 0", n)
	}
	b.hangUp(c, s)
}

// User memory of an idle session is the slope between 1,000 and 4,000 of them, first fill, no huge pages, in a process
// of its own: memory that other tests left to the heap would hide what sessions take.
func TestIdleSessionIsSmall(t *testing.T) {
	if raceDetector() {
		t.Skip("the race detector keeps shadow memory for every byte")
	}
	const child = "LONGSPLICE_TEST_IDLE"
	if os.Getenv(child) == "" {
		var err error
		for range 3 { // what the runtime takes for itself meanwhile only adds to the slope: the least is nearest
			c := exec.Command(os.Args[0], "-test.run=^TestIdleSessionIsSmall$", "-test.v")
			c.Env = append(os.Environ(), child+"=1")
			var out []byte
			if out, err = c.CombinedOutput(); err == nil {
				t.Logf("%s", out)
				return
			}
			t.Logf("%s", out)
		}
		t.Error(err)
		return
	}
	unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0)
	if soft, _, err := sys.RaiseNoFile(20_000); err != nil || soft < 16_500 {
		testkit.Missing(t, fmt.Sprintf("RLIMIT_NOFILE of 16,500 (have %d)", soft))
	}
	b := newBench(t, sys.Real{})
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	fds := make([]int, 8192)
	for i := range fds {
		fds[i] = -1 // the test's own memory is resident from the start
	}
	fds = fds[:0]
	grow := func(n int) int64 {
		for len(fds) < 2*n {
			c, s := b.connect()
			fds = append(fds, c, s)
		}
		runtime.GC()
		return rss(t)
	}
	grow(500) // the collector's own memory, for its first two runs
	grow(600)
	first := grow(1000)
	slope := float64(grow(4000)-first) / 3000
	t.Logf("%.0f bytes of user memory per idle session", slope)
	if slope > 256 {
		t.Errorf("%.0f bytes of user memory per idle session, want at most 256", slope)
	}
	if n := b.mover.Pipes.Out() + b.mover.Blocks.Out(); n != 0 {
		t.Errorf("idle sessions hold %d pipes and blocks, want none", n)
	}
	b.endAll(stats.Shutdown)
	b.bury()
	for _, fd := range fds {
		sys.Real{}.Close(fd)
	}
}

// rss is the resident memory of this process that no file backs (RssAnon): pages of the program's text, which come in
// when they are first run, are nobody's session.
func rss(t testing.TB) int64 {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(data), "RssAnon:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); !found || err != nil {
		t.Fatalf("no RssAnon in /proc/self/status: %v", err)
	}
	return kib << 10
}

// raceDetector tells whether the test binary was built with -race.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
