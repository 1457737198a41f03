package testkit

import (
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHostIsOneCableAway(t *testing.T) {
	LeakCheck(t)
	h := NewHost(t, "far")
	extra := netip.MustParseAddr("198.19.255.77")
	h.AddAddr(extra)
	for _, addr := range []netip.Addr{h.Addr4(), h.Addr6(), extra} {
		l, err := h.Listen(netip.AddrPortFrom(addr, 0))
		if err != nil {
			t.Fatal(err)
		}
		s := Script{Client: []Step{Send(100_000), HalfClose(), ReadToEnd()}, Server: []Step{ReadToEnd(), Send(5), Close()}}
		out := RunThrough(t, s, l.Addr(), l)
		if out.Server.Received != 100_000 || out.Client.Received != 5 {
			t.Errorf("%v: client %v, server %v", addr, out.Client, out.Server)
		}
		l.Close()
	}
}

func TestHostDropsAPortInSilence(t *testing.T) {
	LeakCheck(t)
	h := NewHost(t, "mute")
	NeedProgram(t, "nft")
	l, err := h.Listen(netip.AddrPortFrom(h.Addr4(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h.Drop(l.Addr().Port())
	fd, err := newSocket(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	_ = unix.Connect(fd, sockaddr(l.Addr()))
	if got := poll(fd, unix.POLLOUT, leakGrace/10); got != 0 {
		t.Errorf("a dropped port answered: events %#x", got)
	}
	h.Undrop()
	p, err := l.Accept() // the SYN is sent again after a second
	if err != nil {
		t.Fatalf("after Undrop: %v", err)
	}
	p.Close()
}

func TestHostSysctlIsItsOwn(t *testing.T) {
	h := NewHost(t, "own")
	const path = "/proc/sys/net/ipv4/ip_local_port_range"
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h.Sysctl("net.ipv4.ip_local_port_range", "20000 20100")
	inside, err := h.Command("cat", path).Output()
	if err != nil || strings.Join(strings.Fields(string(inside)), " ") != "20000 20100" {
		t.Errorf("inside %q, %v", inside, err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Errorf("outside %q, was %q", after, before)
	}
}

func TestHostGoesAwayWithItsTest(t *testing.T) {
	var namespace string
	t.Run("a test with a host", func(t *testing.T) { namespace = NewHost(t, "brief").namespace })
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		Missing(t, "program ip")
	}
	if namespace == "" {
		t.Skip("the host's own test was skipped")
	}
	if strings.Contains(string(out), namespace) {
		t.Errorf("%s is still there:\n%s", namespace, out)
	}
}
