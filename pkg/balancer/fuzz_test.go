package balancer

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/sys"
)

// FuzzCursor: a cursor that is taken is one that a page of the same order gives out.
func FuzzCursor(f *testing.F) {
	for _, c := range []string{"", "aWQ6MTA", "aWQ6", "Og", "aWQ6MTA=", "aWQ6LTE", "aWQ6ZmZmZmZmZmZmZmZmZmZmZmY", "aWQ6MTA6MQ", "%", "aWQ6MHgx", "aWQ6XzE"} {
		f.Add(c, byID, uint64(16))
	}
	f.Add(encodeCursor("bytes", 1<<63), "bytes", uint64(1<<63))
	f.Fuzz(func(t *testing.T, cursor, by string, n uint64) {
		for _, by := range []string{byID, "age", "idle", "bytes"} {
			if at, err := decodeCursor(encodeCursor(by, n), by); err != nil || at != n {
				t.Fatalf("%s %d comes back as %d, %v", by, n, at, err)
			}
			if _, err := decodeCursor(encodeCursor("other", n), by); !errors.Is(err, ErrBadQuery) {
				t.Fatalf("another order's cursor: %v", err)
			}
		}
		at, err := decodeCursor(cursor, by)
		if err != nil {
			if !errors.Is(err, ErrBadQuery) || at != 0 {
				t.Fatalf("%q: %d, %v", cursor, at, err)
			}
			return
		}
		if again, err := decodeCursor(encodeCursor(by, at), by); cursor != "" && (err != nil || again != at) {
			t.Fatalf("%q is taken as %d, and that not: %v", cursor, at, err)
		}
	})
}

// FuzzClient: which clients a query means, by package net/netip.
func FuzzClient(f *testing.F) {
	for _, c := range []string{
		"", "192.0.2.7", "192.0.2.7:80", "192.0.2.0/24", "192.0.2.7/24", "[2001:db8::1]:80", "2001:db8::/32", "::ffff:192.0.2.7", "::ffff:192.0.2.0/120",
		"[::ffff:192.0.2.7]:80", "fe80::1%eth0", "192.0.2.7:0", "::/0", "192.0.2.07", "chat",
	} {
		f.Add(c, []byte{192, 0, 2, 7}, uint16(80))
	}
	f.Fuzz(func(t *testing.T, client string, ip []byte, port uint16) {
		net, wanted, err := parseClient(client)
		if err != nil {
			if !errors.Is(err, ErrBadQuery) {
				t.Fatalf("%q: %v", client, err)
			}
			return
		}
		if net.IsValid() != (client != "") {
			t.Fatalf("%q: %v", client, net)
		}
		if ap, err := netip.ParseAddrPort(client); err == nil && (net.Addr() != ap.Addr().Unmap() || wanted != ap.Port() || !net.IsSingleIP()) {
			t.Fatalf("%q: %v port %d", client, net, wanted)
		}
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return
		}
		// A session's own address, as a listing shows it, finds the session.
		shown := sys.AddrFrom(netip.AddrPortFrom(a, port))
		for _, text := range []string{shown.AddrPort().String(), shown.AddrPort().Addr().String()} {
			if net, _, err := parseClient(text); err != nil || !net.Contains(shown.AddrPort().Addr()) {
				t.Fatalf("%s does not find itself: %v, %v", text, net, err)
			}
		}
	})
}
