package sys

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll_event is packed on amd64 alone; the kernel would scatter events over a struct of the wrong size.
func TestEventHasTheKernelsSize(t *testing.T) {
	want := map[string]uintptr{"amd64": 12, "arm64": 16}[runtime.GOARCH]
	if got := unsafe.Sizeof(Event{}); got != want || got != unsafe.Sizeof(unix.EpollEvent{}) {
		t.Errorf("an event takes %d bytes, want %d", got, want)
	}
	var e Event
	e.SetToken(0x1122334455667788)
	if e.Token() != 0x1122334455667788 {
		t.Errorf("token %x comes back changed", e.Token())
	}
}

func TestAddressesSurviveTheKernel(t *testing.T) {
	for _, text := range []string{"127.0.0.1:0", "[::1]:0"} {
		fd, err := ListenTCP(netip.MustParseAddrPort(text), ListenOptions{})
		if err != nil {
			t.Fatalf("listen on %s: %v", text, err)
		}
		defer Real{}.Close(fd)
		a, errno := Real{}.LocalAddr(fd)
		if errno != 0 {
			t.Fatal(errno)
		}
		c, err := net.Dial("tcp", a.String())
		if err != nil {
			t.Fatalf("dial %s: %v", a, err)
		}
		defer c.Close()
		conn, peer, errno := Real{}.Accept(fd)
		if errno != 0 {
			t.Fatal(errno)
		}
		defer Real{}.Close(conn)
		if peer.String() != c.LocalAddr().String() {
			t.Errorf("the peer is %s, accept says %s", c.LocalAddr(), peer)
		}
		if AddrFrom(peer.AddrPort()) != peer {
			t.Errorf("%s is not the same after a round trip", peer)
		}
	}
}

func TestUnixPaths(t *testing.T) {
	for _, c := range []struct {
		path string
		ok   bool
	}{{"/run/x.sock", true}, {"@abstract", true}, {"", false}, {strings.Repeat("x", 107), true}, {strings.Repeat("x", 108), false}} {
		if _, err := SockaddrUnix(c.path); (err == nil) != c.ok {
			t.Errorf("a path of %d bytes: %v", len(c.path), err)
		}
	}
}

func TestListenUnixReplacesAStaleSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := ListenUnix(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path, 0); !errors.Is(err, EADDRINUSE) {
		t.Errorf("a socket that is served: %v, want EADDRINUSE", err)
	}
	Real{}.Close(fd)
	if fd, err = ListenUnix(path, 0); err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	Real{}.Close(fd)
	plain := filepath.Join(t.TempDir(), "file")
	os.WriteFile(plain, []byte("keep me"), 0o600)
	if _, err := ListenUnix(plain, 0); err == nil {
		t.Error("a plain file was taken for a socket")
	}
	if data, _ := os.ReadFile(plain); string(data) != "keep me" {
		t.Error("a plain file was removed")
	}
}

func TestProbeBindSeesThroughReusePort(t *testing.T) {
	fd, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), ListenOptions{ReusePort: true})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := Real{}.LocalAddr(fd)
	if err := ProbeBind(a.AddrPort(), ListenOptions{}); !errors.Is(err, EADDRINUSE) {
		t.Errorf("an address that is served: %v, want EADDRINUSE", err)
	}
	Real{}.Close(fd)
	if err := ProbeBind(a.AddrPort(), ListenOptions{}); err != nil {
		t.Errorf("a free address: %v", err)
	}
}

// Options of a listener are inherited by what it accepts: that saves five calls a session.
func TestAcceptedSocketsInheritOptions(t *testing.T) {
	fd, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), ListenOptions{
		KeepaliveIdle: 61, KeepaliveInterval: 11, KeepaliveProbes: 7, UserTimeoutMs: 123_000, NotSentLowat: 128 << 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer Real{}.Close(fd)
	a, _ := Real{}.LocalAddr(fd)
	c, err := net.Dial("tcp", a.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, _, _ := Real{}.Accept(fd)
	defer Real{}.Close(conn)
	for _, o := range []struct {
		name              string
		level, opt, value int
	}{
		{"TCP_NODELAY", IPPROTO_TCP, TCP_NODELAY, 1},
		{"SO_KEEPALIVE", SOL_SOCKET, SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", IPPROTO_TCP, TCP_KEEPIDLE, 61},
		{"TCP_KEEPINTVL", IPPROTO_TCP, TCP_KEEPINTVL, 11},
		{"TCP_KEEPCNT", IPPROTO_TCP, TCP_KEEPCNT, 7},
		{"TCP_USER_TIMEOUT", IPPROTO_TCP, TCP_USER_TIMEOUT, 123_000},
		{"TCP_NOTSENT_LOWAT", IPPROTO_TCP, TCP_NOTSENT_LOWAT, 128 << 10},
	} {
		if got, err := unix.GetsockoptInt(conn, o.level, o.opt); err != nil || got != o.value {
			t.Errorf("%s is %d (%v), want %d", o.name, got, err, o.value)
		}
	}
	if flags, _ := unix.FcntlInt(uintptr(conn), unix.F_GETFL, 0); flags&unix.O_NONBLOCK == 0 {
		t.Error("an accepted socket blocks: splice into it would stop the thread")
	}
	if flags, _ := unix.FcntlInt(uintptr(conn), unix.F_GETFD, 0); flags&unix.FD_CLOEXEC == 0 {
		t.Error("an accepted socket would be inherited by children")
	}
}

func TestListenErrorsAreErrnos(t *testing.T) {
	if _, err := ListenTCP(netip.MustParseAddrPort("192.0.2.1:80"), ListenOptions{}); !errors.Is(err, EADDRNOTAVAIL) {
		t.Errorf("an address of somebody else: %v", err)
	}
	if _, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), ListenOptions{Interface: "nosuch0"}); !errors.Is(err, ENODEV) {
		t.Errorf("an interface that is not there: %v", err)
	}
}

func TestLockFileNamesItsOwner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	fd, _, err := LockFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer Real{}.Close(fd)
	if _, owner, err := LockFile(path); !errors.Is(err, syscall.EWOULDBLOCK) || owner != os.Getpid() {
		t.Errorf("a second lock: owner %d, %v; want EWOULDBLOCK and us", owner, err)
	}
}

func TestTheDescriptorTableGrowsAndNothingStaysOpen(t *testing.T) {
	before := OpenFDs()
	if err := GrowFDTable(1000); err != nil {
		t.Fatal(err)
	}
	if after := OpenFDs(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func TestTheClockIsTheKernels(t *testing.T) {
	before := readMonotonic()
	ns := Real{}.NowNs()
	if after := readMonotonic(); ns < before-1e6 || ns > after+1e6 {
		t.Errorf("%d is not between %d and %d", ns, before, after)
	}
}

// The kernel's answers of any content are decoded without a panic, and what we encode comes back.
func FuzzSockaddr(f *testing.F) {
	f.Add([]byte{2, 0, 0, 80, 127, 0, 0, 1})
	f.Add([]byte{10, 0, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{1, 0, '/', 'x', 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		var raw [sockaddrMax]byte
		copy(raw[:], data)
		a := decode(&raw)
		family := binary.NativeEndian.Uint16(raw[:])
		if family != unix.AF_INET && family != unix.AF_INET6 {
			if a != (Addr{}) {
				t.Fatalf("family %d gives %v", family, a)
			}
			return
		}
		s := SockaddrInet(a.AddrPort())
		if again := decode(&s.raw); again != a {
			t.Fatalf("%v comes back as %v", a, again)
		}
	})
}
