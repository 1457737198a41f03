package flow

import (
	"bytes"
	"net/netip"
	"slices"
	"sort"
)

// Networks is an immutable set of addresses, built from CIDRs and looked up by binary search.
type Networks struct {
	ranges []ipRange // disjoint, ascending
}

type ipRange struct{ first, last [16]byte }

// NewNetworks builds a set. IPv4 prefixes match IPv4-mapped addresses, IPv6 prefixes do not: ::/0 is every IPv6 address.
func NewNetworks(prefixes []netip.Prefix) Networks {
	ranges := make([]ipRange, 0, len(prefixes))
	for _, p := range prefixes {
		ranges = append(ranges, rangesOf(p)...)
	}
	slices.SortFunc(ranges, func(a, b ipRange) int { return bytes.Compare(a.first[:], b.first[:]) })
	var n Networks
	for _, r := range ranges {
		last := len(n.ranges) - 1
		if last < 0 || bytes.Compare(n.ranges[last].last[:], r.first[:]) < 0 {
			n.ranges = append(n.ranges, r)
		} else if bytes.Compare(n.ranges[last].last[:], r.last[:]) < 0 {
			n.ranges[last].last = r.last
		}
	}
	return n
}

// mapped is ::ffff:0:0/96, where IPv4 lives, and what stands before and behind it.
var mapped, beforeMapped, behindMapped = func() (r ipRange, before, behind [16]byte) {
	r = rangeOf(netip.MustParsePrefix("0.0.0.0/0"))
	return r, netip.AddrFrom16(r.first).Prev().As16(), netip.AddrFrom16(r.last).Next().As16()
}()

// rangesOf is the range of a prefix, or what it leaves around the IPv4 addresses.
func rangesOf(p netip.Prefix) []ipRange {
	r := rangeOf(p)
	if p.Addr().Is4() || !r.holds(mapped.first) {
		return []ipRange{r}
	}
	around := []ipRange{{r.first, beforeMapped}}
	if r.holds(behindMapped) {
		around = append(around, ipRange{behindMapped, r.last})
	}
	return around
}

func (r ipRange) holds(ip [16]byte) bool {
	return bytes.Compare(r.first[:], ip[:]) <= 0 && bytes.Compare(ip[:], r.last[:]) <= 0
}

func rangeOf(p netip.Prefix) ipRange {
	first := p.Masked().Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	last := first
	for bit := bits; bit < 128; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	return ipRange{first, last}
}

// Empty tells whether the set has no address at all.
func (n *Networks) Empty() bool { return len(n.ranges) == 0 }

// Contains tells whether an address (IPv4 as IPv4-mapped) is in the set.
func (n *Networks) Contains(ip [16]byte) bool {
	i := sort.Search(len(n.ranges), func(i int) bool { return bytes.Compare(n.ranges[i].last[:], ip[:]) >= 0 })
	return i < len(n.ranges) && bytes.Compare(n.ranges[i].first[:], ip[:]) <= 0
}
