package config

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// maxSources bounds the source addresses of a pool: each of them takes memory for
// each backend, and 36 of them hold a million sessions to one.
const maxSources = 1024

// checkSources wants a source for each backend, and none of them twice.
func (r *reader) checkSources(p *Pool, s poolSource) {
	if len(p.SourceAddresses) == 0 {
		return
	}
	n := 0
	for i, a := range p.SourceAddresses {
		at, key := s.table.element("source_addresses", i), s.table.key("source_addresses")
		for _, before := range p.SourceAddresses[:i] {
			if a.overlaps(before) {
				r.complainAt(at, key, fmt.Sprintf("%s and %s have an address in common", showAddrRange(before), showAddrRange(a)), "write each address once")
				break
			}
		}
		if n += a.atMost(maxSources + 1); n > maxSources {
			r.complainAt(at, key, fmt.Sprintf("makes more than %d addresses", maxSources), "write fewer")
			break
		}
	}
	r.checkFamilies(p, s)
}

// checkFamilies refuses what no source reaches. A host name may have addresses of
// either family: those that no source reaches are passed over.
func (r *reader) checkFamilies(p *Pool, s poolSource) {
	unix := 0
	for _, b := range p.Backends {
		switch a := b.Address; {
		case a.Network == Unix:
			unix++
		case a.Network == TCP4 && !p.hasSource(netip.Addr.Is4):
			r.complain(s.table, "source_addresses", fmt.Sprintf("holds no IPv4 address, and %s is one", a), "add one, or give that backend a pool of its own")
		case a.Network == TCP6 && !p.hasSource(netip.Addr.Is6):
			r.complain(s.table, "source_addresses", fmt.Sprintf("holds no IPv6 address, and %s is one", a), "add one, or give that backend a pool of its own")
		}
	}
	if unix > 0 && unix == len(p.Backends) {
		r.warn(s.table, "source_addresses", "has no meaning for unix sockets", "remove it")
	}
}

func (p *Pool) hasSource(family func(netip.Addr) bool) bool {
	for _, r := range p.SourceAddresses {
		if family(r.From) {
			return true
		}
	}
	return false
}

func (r AddrRange) overlaps(o AddrRange) bool {
	return r.From.BitLen() == o.From.BitLen() && !r.To.Less(o.From) && !o.To.Less(r.From)
}

// atMost is how many addresses the range has, or most if it has more.
func (r AddrRange) atMost(most int) int {
	from, to := r.From.As16(), r.To.As16()
	if [8]byte(from[:8]) != [8]byte(to[:8]) {
		return most
	}
	if n := binary.BigEndian.Uint64(to[8:]) - binary.BigEndian.Uint64(from[8:]); n < uint64(most) {
		return int(n) + 1
	}
	return most
}
