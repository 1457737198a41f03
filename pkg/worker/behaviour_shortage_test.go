package worker

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Environment of the process that runs out of descriptors: where its backend is, and whether an
// odd or an even number of descriptors is left to sessions.
const (
	shortBackend = "LONGSPLICE_TEST_SHORT_BACKEND"
	shortLeft    = "LONGSPLICE_TEST_SHORT_LEFT"
	shortFDs     = 64
)

// TestShortOfDescriptorsChild is that process: it serves until its input ends and answers each line with its state.
func TestShortOfDescriptorsChild(t *testing.T) {
	to := os.Getenv(shortBackend)
	if to == "" {
		return // TestShortOfDescriptors starts it
	}
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", netip.MustParseAddrPort(to)))
	r := newRig(t, snap, nil)
	if odd := descriptorsLeft()%2 == 1; odd != (os.Getenv(shortLeft) == "odd") {
		unix.Dup(0)
	}
	fmt.Println("at", r.addr)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: shortFDs, Max: shortFDs}); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		r.ask(t, func(w *Worker) {
			var c stats.Copy
			w.publish()
			w.Sheet().AddTo(&c)
			fmt.Println("is", w.turns, w.Live(), w.paused, c.Value(stats.Frontend, 0, stats.Accepted),
				c.Value(stats.Frontend, 0, stats.EndedBase+int(stats.NoFDs)), c.Value(stats.Own, 0, stats.PausedNoFDsNs))
		})
	}
}

// descriptorsLeft is how many numbers below the limit are free.
func descriptorsLeft() (free int) {
	for fd := range uintptr(shortFDs) {
		if _, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil {
			free++
		}
	}
	return free
}

// shortState is what the child answers.
type shortState struct {
	turns, live, paused, accepted, noFDs int
	pausedNs                             int64
}

// child is the process without descriptors.
type child struct {
	t    *testing.T
	in   io.WriteCloser
	out  *bufio.Scanner
	addr netip.AddrPort
}

func startChild(t *testing.T, to netip.AddrPort, left string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestShortOfDescriptorsChild$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), shortBackend+"="+to.String(), shortLeft+"="+left)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		io.Copy(io.Discard, out)
		if err := cmd.Wait(); err != nil {
			t.Errorf("the process: %v", err)
		}
	})
	c := &child{t: t, in: in, out: bufio.NewScanner(out)}
	c.addr = netip.MustParseAddrPort(c.line("at "))
	return c
}

// line is the rest of the next line that begins so.
func (c *child) line(begin string) string {
	c.t.Helper()
	for c.out.Scan() {
		if rest, ok := strings.CutPrefix(c.out.Text(), begin); ok {
			return rest
		}
	}
	c.t.Fatal("the process said nothing")
	return ""
}

func (c *child) state() (s shortState) {
	c.t.Helper()
	fmt.Fprintln(c.in)
	if _, err := fmt.Sscan(c.line("is "), &s.turns, &s.live, &s.paused, &s.accepted, &s.noFDs, &s.pausedNs); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// Without descriptors accepting pauses, without spinning, and goes on as sessions end: all are served, none is half
// admitted. A session takes two: an even number of descriptors is left.
func TestShortOfDescriptors(t *testing.T) {
	for _, left := range []string{"even", "odd"} {
		t.Run(left, func(t *testing.T) {
			testkit.LeakCheck(t)
			l, err := testkit.Listen(loopback)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(l.Close)
			p := startChild(t, l.Addr(), left)
			const clients = 100
			var cs []*testkit.Peer
			for range clients {
				c, err := testkit.Dial(p.addr)
				if err != nil {
					t.Fatalf("client %d: %v; %+v", len(cs), err, p.state())
				}
				t.Cleanup(c.Close)
				play(t, c, testkit.Send(10))
				cs = append(cs, c)
			}
			var full shortState
			eventually(t, "accepting pauses", func() bool { full = p.state(); return full.paused == 1 })
			time.Sleep(quietTime)
			later := p.state()
			if n := later.turns - full.turns; n > quietTurns {
				t.Errorf("%d turns in %v while nobody leaves", n, quietTime)
			}
			t.Logf("full: %+v", later)
			for i, c := range cs { // first come, first served
				b, err := l.Accept()
				if err != nil {
					t.Fatalf("client %d: %v; %+v", i, err, p.state())
				}
				play(t, b, testkit.Read(10), testkit.Send(20), testkit.Close())
				if tr := play(t, c, testkit.ReadToEnd(), testkit.Close()); tr.Received != 20 || tr.End != testkit.EndFIN {
					t.Errorf("client %d: %v", i, tr)
				}
			}
			eventually(t, "all gone", func() bool { return p.state().live == 0 })
			if s := p.state(); s.accepted != clients || s.noFDs != 0 || s.pausedNs == 0 {
				t.Errorf("in the end: %+v, want %d accepted and a pause that was counted", s, clients)
			}
		})
	}
}

// Errors of accept that are one connection's do not stop the others, and those of the machine pause.
func TestAcceptErrors(t *testing.T) {
	for errno, pauses := range map[sys.Errno]bool{
		sys.ECONNABORTED: false, sys.EPROTO: false, sys.EHOSTUNREACH: false, sys.EPERM: false,
		sys.EMFILE: true, sys.ENFILE: true, sys.ENOBUFS: true, sys.ENOMEM: true,
	} {
		t.Run(sys.Name(errno), func(t *testing.T) {
			testkit.LeakCheck(t)
			k := &acceptKernel{errno: errno, times: 3}
			s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Kernel = k })
			c, b := s.pair()
			play(t, c, testkit.Send(100), testkit.Close())
			wantStream(t, "backend", play(t, b, testkit.ReadToEnd(), testkit.Close()), 100, testkit.EndFIN)
			s.wantEnds(t, stats.ClientFIN, 1)
			s.ask(t, func(w *Worker) {
				if n := w.Limits.Held.Load(); n != 0 {
					t.Errorf("%d places are still held", n)
				}
				if k.times != 0 {
					t.Errorf("%d errors were not met", k.times)
				}
			})
			if paused := s.own(stats.PausedNoFDsNs) > 0; paused != pauses {
				t.Errorf("paused: %v, want %v", paused, pauses)
			}
		})
	}
}

// acceptKernel fails so many accepts.
type acceptKernel struct {
	sys.Real
	errno sys.Errno
	times int
}

func (k *acceptKernel) Accept(fd int) (int, sys.Addr, sys.Errno) {
	if k.times > 0 {
		k.times--
		return -1, sys.Addr{}, k.errno
	}
	return k.Real.Accept(fd)
}
