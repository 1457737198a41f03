package admin

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// exhaustedEnv tells the test binary to be the process that has no descriptor left.
const exhaustedEnv = "LONGSPLICE_ADMIN_TEST_EXHAUSTED"

// The limit of descriptors is of the whole process, so the test runs in one of its own.
func TestAnswersWithoutDescriptors(t *testing.T) {
	if os.Getenv(exhaustedEnv) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAnswersWithoutDescriptors$", "-test.v")
		cmd.Env = append(os.Environ(), exhaustedEnv+"=1")
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	r := serve(t, newFake(5), nil)
	// Our own ends are opened before the descriptors are gone; the server's ends are not.
	ours := make([]int, 3*reserveFDs)
	for i := range ours {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		ours[i] = fd
	}
	limit := unix.Rlimit{Cur: 256, Max: 256}
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	hog := takeAll(t)
	for _, fd := range ours { // more often than there are descriptors in the reserve: each comes back
		askRaw(t, fd, r.socket)
		hog = append(hog, takeAll(t)...) // what the reserve gives away while nobody waits is lost
		must(t, unix.Shutdown(fd, unix.SHUT_RDWR))
		whole(t, &r.doors[0].listener.reserve)
	}
	for _, fd := range append(hog, ours...) {
		unix.Close(fd)
	}
}

// whole waits until the reserve has all its descriptors again.
func whole(t *testing.T, r *reserve) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		n := len(r.held)
		r.mu.Unlock()
		if n == reserveFDs {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the reserve has %d descriptors, want %d", n, reserveFDs)
		}
	}
}

// takeAll opens descriptors until there are no more.
func takeAll(t *testing.T) (fds []int) {
	t.Helper()
	for {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err == unix.EMFILE {
			return fds
		}
		must(t, err)
		fds = append(fds, fd)
	}
}

// askRaw asks /healthz over fd, without taking another descriptor, and leaves the connection open.
func askRaw(t *testing.T, fd int, path string) {
	t.Helper()
	must(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 5}))
	must(t, unix.Connect(fd, &unix.SockaddrUnix{Name: path}))
	_, err := unix.Write(fd, []byte("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"))
	must(t, err)
	buf := make([]byte, 4096)
	n, err := unix.Read(fd, buf)
	if err != nil || !strings.HasPrefix(string(buf[:max(n, 0)]), "HTTP/1.1 200") {
		t.Fatalf("got %q, %v", buf[:max(n, 0)], err)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	testkit.LeakCheck(t)
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l, err := newListener(raw, 2)
	must(t, err)
	defer l.Close()
	accepted := make(chan net.Conn)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	for range 3 {
		c, err := net.Dial("tcp", l.Addr().String())
		must(t, err)
		defer c.Close()
	}
	first, second := <-accepted, <-accepted
	select {
	case <-accepted:
		t.Fatal("a third connection was let in")
	case <-time.After(50 * time.Millisecond):
	}
	first.Close()
	first.Close() // gives one place back, not two
	third := <-accepted
	if n := len(l.room); n != 2 {
		t.Errorf("%d places are taken, want 2", n)
	}
	second.Close()
	third.Close()
	l.Close()
	<-ended
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFake(1)
	r := start(t, f, nil)
	var open []*http.Response
	for range maxStreams {
		open = append(open, r.open(t, doorLoopback, "GET", "/v1/live"))
	}
	a := r.ask(t, doorLoopback, "GET", "/v1/live")
	if a.status != http.StatusServiceUnavailable || a.code(t) != "too_many_streams" {
		t.Errorf("got %d %s, want 503 too_many_streams", a.status, a.body)
	}
	if a := r.ask(t, doorLoopback, "GET", "/metrics"); a.status != http.StatusOK {
		t.Errorf("/metrics answers %d while all streams are open", a.status)
	}
	for _, resp := range open {
		resp.Body.Close()
	}
}
