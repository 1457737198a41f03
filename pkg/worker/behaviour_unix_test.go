package worker

import (
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// unixStage is a worker whose frontend and backend are unix sockets.
func unixStage(t *testing.T, backlog int) (*rig, string, *net.UnixListener) {
	t.Helper()
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "b"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	to, err := sys.SockaddrUnix(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, backend.Identity{Name: "b1", Address: "unix:b", To: to})
	r := newRig(t, snap, nil)
	front := filepath.Join(dir, "f")
	fd, err := sys.ListenUnix(front, backlog)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stop()
		sys.Real{}.Close(fd)
	})
	r.ask(t, func(w *Worker) { w.Listen(Listener{FD: fd, Name: "unix:f"}) })
	return r, front, l
}

func dialUnix(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(testkit.Bound))
	t.Cleanup(func() { c.Close() })
	return c
}

// Unix sockets on both sides: a request with its end, an answer with its end, and no more than that.
func TestUnixSocketsBothWays(t *testing.T) {
	testkit.LeakCheck(t)
	r, front, l := unixStage(t, 0)
	go func() {
		for {
			b, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go func() {
				io.Copy(b, b)
				b.Close()
			}()
		}
	}()
	const sessions, total = 5, 3 << 20
	for range sessions {
		c := dialUnix(t, front)
		go func() {
			c.Write(make([]byte, total))
			c.CloseWrite()
		}()
		if n, err := io.Copy(io.Discard, c); n != total || err != nil {
			t.Fatalf("%d bytes came back, %v; want %d", n, err, total)
		}
		c.Close()
	}
	r.wantEnds(t, stats.ClientFIN, sessions)
}

// A backend that nobody serves is refused; a unix socket tells at once.
func TestUnixBackendThatIsGone(t *testing.T) {
	testkit.LeakCheck(t)
	r, front, l := unixStage(t, 0)
	l.SetUnlinkOnClose(false)
	l.Close()
	c := dialUnix(t, front)
	if n, err := io.Copy(io.Discard, c); n != 0 {
		t.Errorf("%d bytes, %v", n, err)
	}
	r.wantEnds(t, stats.ConnectRefused, 1)
}

// A backend whose backlog is full says EAGAIN, and no event ever follows: that is a refusal, not a wait.
func TestUnixBackendThatIsFull(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "full")
	fd, err := sys.ListenUnix(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Real{}.Close(fd) })
	to, err := sys.SockaddrUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	for errno := sys.Errno(0); errno == 0; {
		fill, _ := sys.Real{}.Socket(sys.AF_UNIX)
		t.Cleanup(func() { sys.Real{}.Close(fill) })
		errno = sys.Real{}.Connect(fill, &to)
	}
	snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, backend.Identity{Name: "full", Address: "unix:full", To: to})
	r := newRig(t, snap, nil)
	wantRefused(t, r.front)
	r.wantEnds(t, stats.ConnectRefused, 1)
	if n := r.failures(0, stats.FailRefused); n != 1 {
		t.Errorf("%d refusals counted, want 1", n)
	}
}

// A unix client that has said its word and closed, while its session was still dialling, has done nothing wrong: for a
// unix socket a hang-up is the usual close. The backend gets every byte and the end.
func TestUnixClientThatClosesWhileDialling(t *testing.T) {
	testkit.LeakCheck(t)
	r, l := behindAHole(t)
	path := filepath.Join(t.TempDir(), "f")
	fd, err := sys.ListenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.stop()
		sys.Real{}.Close(fd)
	})
	r.ask(t, func(w *Worker) { w.Listen(Listener{FD: fd, Name: "unix:f"}) })
	c := dialUnix(t, path)
	if _, err := c.Write(make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	c.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	tr := play(t, b, testkit.ReadToEnd(), testkit.Close())
	if tr.Received != 500 || tr.End != testkit.EndFIN {
		t.Errorf("backend: %v; want 500 bytes, then FIN", tr)
	}
	r.wantEnds(t, stats.ClientFIN, 1)
	if n := r.failures(0, stats.FailTimeout); n != 1 {
		t.Errorf("%d attempts timed out, want 1: the test did not see what it is about", n)
	}
}
