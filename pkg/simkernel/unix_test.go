package simkernel

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/pkg/sys"
)

// acceptedUnix is a worker's end of a unix connection whose other end has written five bytes and closed.
func acceptedUnix(t *testing.T, fake *Kernel) (k sys.Kernel, fd int) {
	t.Helper()
	if fake != nil {
		l := fake.Listen(sys.Addr{})
		p := fake.DialUnix(l)
		fd, _, _ = fake.Accept(l)
		p.Send(5)
		p.Close()
		fake.Settle()
		return fake, fd
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := sys.ListenUnix(path, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sys.Real{}.Close(l) })
	to, _ := sys.SockaddrUnix(path)
	c, _ := sys.Real{}.Socket(sys.AF_UNIX)
	if errno := (sys.Real{}).Connect(c, &to); errno != 0 {
		t.Fatal(errno)
	}
	fd, _, _ = sys.Real{}.Accept(l)
	t.Cleanup(func() { sys.Real{}.Close(fd) })
	sys.Real{}.Send(c, []byte("hello"), 0)
	sys.Real{}.Close(c)
	return sys.Real{}, fd
}

// A unix socket whose peer has closed hangs up, without an error and with its bytes still there.
func TestUnixCloseIsAHangUp(t *testing.T) {
	type answer struct {
		Events    uint32
		Bytes     int
		End, Sent sys.Errno
	}
	ask := func(k sys.Kernel, fd int) (a answer) {
		ep, _ := k.EpollCreate()
		defer k.Close(ep)
		k.EpollAdd(ep, fd, sys.EPOLLIN|sys.EPOLLOUT|sys.EPOLLRDHUP|sys.EPOLLET, 0)
		var ev [1]sys.Event
		k.EpollWait(ep, ev[:], 0)
		a.Events = ev[0].Events
		a.Bytes, _ = k.Recv(fd, make([]byte, 100), 0)
		_, a.End = k.Recv(fd, make([]byte, 100), 0)
		_, a.Sent = k.Send(fd, []byte("x"), 0)
		return a
	}
	want := answer{sys.EPOLLIN | sys.EPOLLOUT | sys.EPOLLRDHUP | sys.EPOLLHUP, 5, 0, sys.EPIPE}
	if diff := cmp.Diff(want, ask(acceptedUnix(t, nil))); diff != "" {
		t.Errorf("Linux: %s", diff)
	}
	if diff := cmp.Diff(want, ask(acceptedUnix(t, New(1, Options{})))); diff != "" {
		t.Errorf("the simulation: %s", diff)
	}
}
