package testkit

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// hostsMade numbers the hosts of this process.
var hostsMade atomic.Uint32

// Host is a network namespace joined to the test's own by a veth pair: a machine one cable away. Its addresses are out of
// 198.18.0.0/15 (RFC 2544) and fd00:15::/32; the pair of one host is a network of its own. It goes away with its test.
type Host struct {
	t          testing.TB
	namespace  string
	link       string        // the test's end of the pair; the host's is eth0
	here, addr [2]netip.Addr // IPv4, IPv6
	vanishes   bool          // CanVanish was called
}

// NewHost makes a host. At most 16 at a time in one process. Without CAP_NET_ADMIN, CAP_SYS_ADMIN or ip(8) t skips, as
// Missing does.
func NewHost(t testing.TB, name string) *Host {
	t.Helper()
	Privileged(t, "CAP_NET_ADMIN: network namespaces")
	Privileged(t, "CAP_SYS_ADMIN: network namespaces")
	NeedProgram(t, "ip")
	slot := (uint32(os.Getpid())*16 + hostsMade.Add(1)%16) % (1 << 15)
	h := &Host{t: t, namespace: fmt.Sprintf("longsplice-%d-%s", slot, name), link: fmt.Sprintf("ls%d", slot)}
	h.here, h.addr = hostAddrs(slot, 1), hostAddrs(slot, 2)
	h.create()
	return h
}

// hostAddrs are the addresses of one end of the pair in a /30 and a /64.
func hostAddrs(slot uint32, last byte) [2]netip.Addr {
	n := slot*4 + uint32(last)
	return [2]netip.Addr{
		netip.AddrFrom4([4]byte{198, 18 + byte(n>>16), byte(n >> 8), byte(n)}),
		netip.AddrFrom16([16]byte{0: 0xfd, 3: 0x15, 4: byte(slot >> 8), 5: byte(slot), 15: last}),
	}
}

func (h *Host) create() {
	h.t.Helper()
	h.run("ip", "netns", "add", h.namespace)
	h.t.Cleanup(func() { h.run("ip", "netns", "del", h.namespace) })
	h.run("ip", "link", "add", h.link, "type", "veth", "peer", "name", "eth0", "netns", h.namespace)
	// A namespace lives on while sockets in it do: the pair must not.
	h.t.Cleanup(func() { h.run("ip", "link", "del", h.link) })
	for i, bits := range []int{30, 64} {
		h.run("ip", "addr", "add", netip.PrefixFrom(h.here[i], bits).String(), "dev", h.link, "nodad")
		h.IP("addr", "add", netip.PrefixFrom(h.addr[i], bits).String(), "dev", "eth0", "nodad")
	}
	h.run("ip", "link", "set", h.link, "up")
	h.IP("link", "set", "lo", "up")
	h.IP("link", "set", "eth0", "up")
	h.IP("route", "add", "default", "via", h.here[0].String())
	h.IP("-6", "route", "add", "default", "via", h.here[1].String())
}

// Addr4 is the host's IPv4 address.
func (h *Host) Addr4() netip.Addr { return h.addr[0] }

// Addr6 is the host's IPv6 address.
func (h *Host) Addr6() netip.Addr { return h.addr[1] }

// Here4 is the IPv4 address of the test's end.
func (h *Host) Here4() netip.Addr { return h.here[0] }

// Here6 is the IPv6 address of the test's end.
func (h *Host) Here6() netip.Addr { return h.here[1] }

// AddAddr gives the host one more address, and the test a route to it.
func (h *Host) AddAddr(a netip.Addr) {
	h.t.Helper()
	via := h.addr[0]
	if a.Is6() {
		via = h.addr[1]
	}
	h.IP("addr", "add", netip.PrefixFrom(a, a.BitLen()).String(), "dev", "eth0")
	h.run("ip", "route", "add", a.String(), "via", via.String())
}

// IP runs ip(8) inside the host.
func (h *Host) IP(args ...string) {
	h.t.Helper()
	h.run("ip", append([]string{"-n", h.namespace}, args...)...)
}

// Command is a program to be run inside the host.
func (h *Host) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", h.namespace, name}, args...)...)
}

// Do runs fn on a thread that is inside the host. Sockets that fn opens belong to the host for life, whoever uses them
// later; goroutines that it starts do not run there.
func (h *Host) Do(fn func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		back, err := h.inside(fn)
		if back {
			runtime.UnlockOSThread() // else the thread ends with the goroutine
		}
		result <- err
	}()
	return <-result
}

// inside moves the thread there and back. back is false if it could not come back.
func (h *Host) inside(fn func() error) (back bool, err error) {
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return true, err
	}
	defer own.Close()
	there, err := os.Open(filepath.Join("/run/netns", h.namespace))
	if err != nil {
		return true, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return true, fmt.Errorf("enter %s: %w", h.namespace, err)
	}
	err = fn()
	if e := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); e != nil {
		return false, errors.Join(err, fmt.Errorf("leave %s: %w", h.namespace, e))
	}
	return true, err
}

// run runs a program in the test's own namespace and fails the test if it fails.
func (h *Host) run(name string, args ...string) {
	h.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		h.t.Errorf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}
