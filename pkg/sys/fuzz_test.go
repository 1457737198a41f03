package sys

import (
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FuzzEncode holds that what we give to connect(2) is what the kernel's structures mean by it.
func FuzzEncode(f *testing.F) {
	f.Add([]byte{127, 0, 0, 1}, uint16(80), "/run/a.sock")
	f.Add([]byte{0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, uint16(65535), "@abstract")
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, uint16(0), strings.Repeat("x", 107))
	f.Add([]byte{}, uint16(1), strings.Repeat("y", 108))
	f.Fuzz(func(t *testing.T, ip []byte, port uint16, path string) {
		if a, ok := netip.AddrFromSlice(ip); ok {
			checkInet(t, netip.AddrPortFrom(a, port))
		}
		s, err := SockaddrUnix(path)
		if fits := len(path) > 0 && len(path) <= 107; fits != (err == nil) {
			t.Fatalf("a path of %d bytes: %v", len(path), err)
		}
		if err == nil {
			checkUnix(t, &s, path)
		}
	})
}

func checkInet(t *testing.T, ap netip.AddrPort) {
	t.Helper()
	s := SockaddrInet(ap)
	want := netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	var got netip.AddrPort
	var networkPort [2]byte
	switch p := unsafe.Pointer(&s.raw); s.Family() {
	case unix.AF_INET:
		sa := (*unix.RawSockaddrInet4)(p)
		binary.NativeEndian.PutUint16(networkPort[:], sa.Port)
		got = netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), binary.BigEndian.Uint16(networkPort[:]))
	case unix.AF_INET6:
		sa := (*unix.RawSockaddrInet6)(p)
		binary.NativeEndian.PutUint16(networkPort[:], sa.Port)
		got = netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), binary.BigEndian.Uint16(networkPort[:]))
	}
	if got != want || decode(&s.raw) != AddrFrom(ap) || AddrFrom(ap).AddrPort() != want {
		t.Fatalf("%v is encoded as %v, decoded as %v", ap, got, decode(&s.raw))
	}
}

// checkUnix: the path, then a zero; in the abstract namespace a zero, then the name, and no more (unix(7)).
func checkUnix(t *testing.T, s *Sockaddr, path string) {
	t.Helper()
	want := path + "\x00"
	if path[0] == '@' {
		want = "\x00" + path[1:]
	}
	if got := string(s.raw[2:s.len]); s.Family() != unix.AF_UNIX || got != want {
		t.Fatalf("%q is encoded as %q", path, got)
	}
}

// FuzzHostFiles reads any text as each file of /proc and /sys that limits are taken from.
func FuzzHostFiles(f *testing.F) {
	for _, s := range []string{
		"0-3,6\n", "0\n", "", "3-0", "0-4294967295", "-1", "200000 100000\n", "max 100000\n", "1 0", "-5 100", "9223372036854775807 1", "0::/\n", "0::/a/b\n1:x:/c\n",
		"12:cpu:/\n0::/user.slice\n", "32768\t60999\n", "60999 32768", "0 0", "70000 80000", "1048576\n", "9223372036854775808", " 7 8",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n := countCPUs(text, 1); n < 1 {
			t.Fatalf("%q: %d CPUs", text, n)
		}
		if n := wholeCPUs(text); n < 0 {
			t.Fatalf("%q: a quota of %d CPUs", text, n)
		}
		if from, to := portRange(text); from == 0 || to < from {
			t.Fatalf("%q: ports %d to %d", text, from, to)
		}
		if path := unifiedPath(text); path != "" && (!strings.Contains(text, "0::"+path) || strings.Contains(path, "\n") || path == "/") {
			t.Fatalf("%q: cgroup %q", text, path)
		}
		if n := firstInt(text, 7); n != 7 && !strings.ContainsAny(text, "0123456789") {
			t.Fatalf("%q: %d", text, n)
		}
	})
}
