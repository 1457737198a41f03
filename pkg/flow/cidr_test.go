package flow

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// The set agrees with netip.Prefix.Contains for random sets and addresses near their edges.
func TestNetworksAgreeWithPrefixes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var prefixes []netip.Prefix
		for range r.IntN(8) {
			prefixes = append(prefixes, randomPrefix(r))
		}
		n := NewNetworks(prefixes)
		if n.Empty() != (len(prefixes) == 0) {
			t.Fatalf("Empty() = %v for %v", n.Empty(), prefixes)
		}
		for _, p := range append(prefixes, randomPrefix(r)) {
			for _, a := range []netip.Addr{p.Masked().Addr(), p.Masked().Addr().Prev(), p.Addr(), randomPrefix(r).Addr()} {
				if !a.IsValid() {
					continue
				}
				want := false
				for _, q := range prefixes {
					want = want || q.Contains(a)
				}
				if got := n.Contains(a.As16()); got != want {
					t.Fatalf("%v contains %v: got %v, want %v", prefixes, a, got, want)
				}
			}
		}
	}
}

// Who writes ::/0 means IPv6: an IPv4 client is not let in by it, nor kept out.
func TestIPv6PrefixesHoldNoIPv4(t *testing.T) {
	for text, want := range map[string][2]bool{ // holds 10.0.0.1, holds 2001:db8::1
		"::/0": {false, true}, "::/64": {false, false}, "::/80": {false, false}, "0.0.0.0/0": {true, false}, "::/95": {false, false},
	} {
		n := NewNetworks([]netip.Prefix{netip.MustParsePrefix(text)})
		four, six := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
		if got := [2]bool{n.Contains(four.As16()), n.Contains(six.As16())}; got != want {
			t.Errorf("%s holds %v and %v: %v, want %v", text, four, six, got, want)
		}
	}
}

func randomPrefix(r *rand.Rand) netip.Prefix {
	if r.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(2)), byte(r.IntN(256)), byte(r.IntN(256))})
		return netip.PrefixFrom(a, 8+r.IntN(25))
	}
	a := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.IntN(256))})
	return netip.PrefixFrom(a, 96+r.IntN(33))
}
