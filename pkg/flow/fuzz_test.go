package flow

import (
	"net/netip"
	"testing"
)

// FuzzNetworks asks package net/netip which addresses a list of CIDRs holds: those given, and those at the edges. The
// configuration refuses prefixes inside ::ffff:0:0/96.
func FuzzNetworks(f *testing.F) {
	f.Add([]byte{4, 8, 10, 0, 0, 0, 4, 32, 10, 255, 255, 255, 4, 0, 1, 2, 3, 4}, []byte{10, 0, 0, 1})
	f.Add([]byte{6, 64, 0xfd, 0, 0, 1, 6, 128, 0xfd, 0, 0, 2, 6, 0, 0, 0, 0, 0}, []byte{0xfd, 0, 0, 1})
	f.Add([]byte{4, 31, 255, 255, 255, 255, 6, 95, 0, 0, 0xff, 0xff}, []byte{255, 255, 255, 255})
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, list, address []byte) {
		var prefixes []netip.Prefix
		for ; len(list) >= 6 && len(prefixes) < 50; list = list[6:] {
			if p := prefixOf(list[0], int(list[1]), [4]byte(list[2:6])); !p.Addr().Is4In6() {
				prefixes = append(prefixes, p)
			}
		}
		n := NewNetworks(prefixes)
		if n.Empty() != (len(prefixes) == 0) {
			t.Fatalf("Empty() = %v for %v", n.Empty(), prefixes)
		}
		asked := []netip.Addr{addressOf(address)}
		for _, r := range n.ranges {
			first, last := netip.AddrFrom16(r.first), netip.AddrFrom16(r.last)
			asked = append(asked, first, first.Prev(), last, last.Next())
		}
		for _, p := range prefixes {
			asked = append(asked, p.Addr(), p.Masked().Addr(), p.Masked().Addr().Prev())
		}
		for _, a := range asked {
			if a.IsValid() && n.Contains(a.As16()) != anyContains(prefixes, a) {
				t.Fatalf("%v contains %v: got %v", prefixes, a, n.Contains(a.As16()))
			}
		}
	})
}

func prefixOf(kind byte, bits int, a [4]byte) netip.Prefix {
	switch kind % 4 {
	case 0:
		return netip.PrefixFrom(netip.AddrFrom4(a), bits%33)
	case 1: // near IPv4
		return netip.PrefixFrom(netip.AddrFrom16([16]byte{9: a[0], 10: a[1], 11: a[2], 15: a[3]}), bits%129)
	}
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: a[0], 1: a[1], 10: a[2], 15: a[3]}), bits%129)
}

func addressOf(b []byte) netip.Addr {
	var a [16]byte
	if copy(a[:], b) <= 4 {
		return netip.AddrFrom4([4]byte(a[:4]))
	}
	return netip.AddrFrom16(a)
}

func anyContains(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}

// FuzzClients takes and gives back sessions of clients, each byte being one client's, and keeps books.
func FuzzClients(f *testing.F) {
	f.Add([]byte("aAbBaaaAAAA"), uint8(2))
	f.Add([]byte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"), uint8(0))
	f.Add([]byte("aaaaaaaaAAAAAAAAAA"), uint8(3))
	f.Fuzz(func(t *testing.T, ops []byte, limit uint8) {
		table := NewClientTable(len(ops))
		held := map[byte]uint32{}
		for _, op := range ops {
			client := op &^ 0x20
			h := Hasher{}.Client([16]byte{client})
			if op&0x20 == 0 { // a capital gives back
				if held[client] > 0 {
					table.Release(h)
					held[client]--
				}
			} else if got, want := table.Acquire(h, uint32(limit)), limit == 0 || held[client] < uint32(limit); got != want {
				t.Fatalf("client %q with %d of %d sessions: Acquire says %v", client, held[client], limit, got)
			} else if got {
				held[client]++
			}
			if n := table.Count(h); n != held[client] {
				t.Fatalf("client %q: %d counted, %d held", client, n, held[client])
			}
		}
		if n := table.Untracked.Load(); n != 0 {
			t.Fatalf("%d of %d sessions are untracked", n, len(ops))
		}
	})
}
