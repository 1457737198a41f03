// Package flow names a client's connection and counts by it: the 5-tuple key, its keyed hash, the table of
// sessions per client and the accept-rate limiter.
//
// Workers call it when they accept and when a session ends. Key and Hasher are values without shared state;
// ClientTable and Rate are shared by all workers and lock-free. Nothing here allocates after its constructor,
// reads a clock or makes a system call.
package flow

// Key is the 5-tuple of an accepted connection, as the client sees it. Addresses are in network order;
// IPv4 is kept IPv4-mapped (::ffff:a.b.c.d), so that there is one form and one hash for both families.
// Ports are in host order. Proto is the IP protocol number, 6 for TCP.
type Key struct {
	ClientIP, ListenIP     [16]byte
	ClientPort, ListenPort uint16
	Proto                  uint8
}

// mappedBits is the length of the prefix ::ffff:0:0/96 that every mapped IPv4 address shares (RFC 4291, 2.5.5.2).
const mappedBits = 96

// IsIPv4Mapped reports whether ip lies in ::ffff:0:0/96.
func IsIPv4Mapped(ip [16]byte) bool {
	return [12]byte(ip[:12]) == [12]byte{10: 0xff, 11: 0xff}
}

// Prefix returns ip with everything behind its prefix set to zero: what counts as one client. bits4 (0..32) is
// the prefix length for mapped IPv4 addresses, bits6 (0..128) for all others; a length beyond the address's own
// keeps all of it. A mapped address stays mapped.
func Prefix(ip [16]byte, bits4, bits6 int) [16]byte {
	bits := bits6
	if IsIPv4Mapped(ip) {
		bits = mappedBits + bits4
	}
	for i := range ip {
		keep := min(max(bits-8*i, 0), 8)
		ip[i] &= byte(0xff << (8 - keep))
	}
	return ip
}
