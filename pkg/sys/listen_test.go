package sys

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// Processes that start in the same instant and want the same address: at most one may believe that it has it. For the
// kernel sockets of one process are rivals as those of several are.
func TestAtMostOneIsTheFirst(t *testing.T) {
	const rivals = 8
	nobody := 0
	for range 50 {
		at := unservedAddress(t)
		var start, over sync.WaitGroup
		start.Add(1)
		fds := make([]int, rivals)
		for i := range rivals {
			over.Go(func() {
				start.Wait()
				fd, err := ListenTCP(at, ListenOptions{ReusePort: true, First: true})
				if fds[i] = fd; err != nil && !errors.Is(err, EADDRINUSE) {
					t.Errorf("listen: %v", err)
				}
			})
		}
		start.Done()
		over.Wait()
		first := 0
		for _, fd := range fds {
			if fd >= 0 {
				first++
				Real{}.Close(fd)
			}
		}
		if first > 1 {
			t.Fatalf("%d of %d have %s to themselves", first, rivals, at)
		}
		if first == 0 {
			nobody++
		}
	}
	t.Logf("in %d of 50 rounds nobody got the address", nobody)
	if nobody > 25 {
		t.Errorf("in %d of 50 rounds nobody got the address", nobody)
	}
}

// unservedAddress is a loopback address that nobody listens on.
func unservedAddress(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := ListenTCP(loopback4, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer Real{}.Close(fd)
	at, _ := Real{}.LocalAddr(fd)
	return at.AddrPort()
}

// That the option comes after listen must not keep the first socket out of the group.
func TestConnectionsSpreadOverTheFirstAndTheOthers(t *testing.T) {
	at := unservedAddress(t)
	var fds []int
	for i := range 3 {
		fd, err := ListenTCP(at, ListenOptions{ReusePort: true, First: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		defer Real{}.Close(fd)
		fds = append(fds, fd)
	}
	const conns = 200
	for range conns {
		c, err := net.Dial("tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	sum := 0
	for i, fd := range fds {
		waiting, _, err := AcceptQueue(fd)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("listener %d has %d of %d connections", i, waiting, conns)
		if waiting < conns/10 {
			t.Errorf("listener %d has %d of %d connections", i, waiting, conns)
		}
		sum += waiting
	}
	if sum != conns {
		t.Errorf("%d of %d connections wait", sum, conns)
	}
}

// A port that is served on one interface is free on another.
func TestProbeBindAsksForItsInterface(t *testing.T) {
	h := testkit.NewHost(t, "device")
	err := h.Do(func() error {
		at := netip.MustParseAddrPort("0.0.0.0:8080")
		fd, err := ListenTCP(at, ListenOptions{ReusePort: true, Interface: "eth0"})
		if err != nil {
			return err
		}
		defer Real{}.Close(fd)
		for device, busy := range map[string]bool{"eth0": true, "lo": false, "": true} {
			err := ProbeBind(at, ListenOptions{Interface: device})
			if errors.Is(err, EADDRINUSE) != busy || err != nil && !busy {
				t.Errorf("on interface %q: %v, want busy %t", device, err, busy)
			}
		}
		return ProbeBind(at, ListenOptions{Interface: "lo"})
	})
	if err != nil {
		t.Fatal(err)
	}
}
