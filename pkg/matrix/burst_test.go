package matrix

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// TestAcceptBurst is T17: 2,000 clients connect as fast as one thread can make calls. The kernel drops none of them, and all
// are served: while the program runs, and while it does not get a processor until the last one has come.
func TestAcceptBurst(t *testing.T) {
	t.Run("while it runs", func(t *testing.T) { acceptBurst(t, false) })
	t.Run("while it gets no processor", func(t *testing.T) { acceptBurst(t, true) })
}

func acceptBurst(t *testing.T, stopped bool) {
	h := testkit.NewHost(t, "burst") // where nobody else overflows a queue
	h.Sysctl("net.core.somaxconn", "4096")
	const front, back = "127.0.0.1:8001", "127.0.0.1:7001"
	spawn(t, h, "echo", back)
	p := run(t, setup{host: h, config: frontend("front", front, "pool") + pool("pool", []string{back})})
	overflows := listenOverflows(t, h)
	if stopped {
		p.signal(syscall.SIGSTOP)
	}
	n := scaled(2000)
	began := time.Now()
	fds := connectAll(t, h, netip.MustParseAddrPort(front), n)
	took := time.Since(began)
	if stopped {
		p.signal(syscall.SIGCONT)
	}
	all := connected(t, fds)
	wantNone(t, "clients not served", all.say(100))
	t.Logf("%d connects in %v, all served after %v", n, took, time.Since(began))
	if drops, more := p.frontends()[0].ListenDrops, listenOverflows(t, h)-overflows; drops+more > 0 {
		t.Errorf("%d connections dropped by the listeners, %d overflows counted by the kernel, want none", drops, more)
	}
	if got := p.accepted(); got != uint64(n) || len(p.refused()) > 0 {
		t.Errorf("accepted %d, refused %v, want %d and none", got, p.refused(), n)
	}
	all.leave()
	p.await("every session to end well", func() bool { return p.endReasons()["client_fin"] == uint64(n) })
}

// connectAll begins n connections on the host, one call after the other, and waits for none.
func connectAll(t *testing.T, h *testkit.Host, to netip.AddrPort, n int) (fds []int) {
	t.Helper()
	err := h.Do(func() error {
		for range n {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			fds = append(fds, fd)
		}
		for _, fd := range fds {
			to := &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
			if err := unix.Connect(fd, to); err != nil && !errors.Is(err, unix.EINPROGRESS) {
				return fmt.Errorf("connect: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fds
}

// connected waits until all the connections stand and makes visitors of them.
func connected(t *testing.T, fds []int) (all crowd) {
	t.Helper()
	t.Cleanup(func() { all.leave() })
	for _, fd := range fds {
		ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		eventually(t, "a connection to stand", func() bool { n, _ := unix.Poll(ready, 100); return n > 0 })
		file := os.NewFile(uintptr(fd), "connection")
		c, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, &visitor{conn: c.(*net.TCPConn), seed: visitors.Add(1) << 20})
	}
	return all
}

// listenOverflows is how many connections the host's kernel has dropped for want of room in an accept queue.
func listenOverflows(t *testing.T, h *testkit.Host) (n uint64) {
	t.Helper()
	err := h.Do(func() error {
		f, err := os.Open("/proc/thread-self/net/netstat")
		if err != nil {
			return err
		}
		defer f.Close()
		var names []string // pairs of lines: the names, then the values
		for lines := bufio.NewScanner(f); lines.Scan(); {
			words := strings.Fields(lines.Text())
			i := slices.Index(names, "ListenOverflows")
			if i >= 0 && words[0] == names[0] {
				n, err = strconv.ParseUint(words[i], 10, 64)
				return err
			}
			names = words
		}
		return errors.New("the kernel does not count ListenOverflows")
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
