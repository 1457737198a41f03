package sys

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Addr is an IP address and port without pointers. IPv4 is kept IPv4-mapped (::ffff:a.b.c.d). The zero Addr
// stands for a unix socket.
type Addr struct {
	IP   [16]byte
	Port uint16
}

// AddrFrom converts a netip.AddrPort; the zone is dropped.
func AddrFrom(ap netip.AddrPort) Addr { return Addr{IP: ap.Addr().As16(), Port: ap.Port()} }

// AddrPort converts back; IPv4-mapped addresses become IPv4.
func (a Addr) AddrPort() netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a.IP).Unmap(), a.Port)
}

// String is ip:port, [ip6]:port, or "unix" for the zero Addr.
func (a Addr) String() string {
	if a == (Addr{}) {
		return "unix"
	}
	return a.AddrPort().String()
}

// sockaddrMax is the size of the largest socket address in use, struct sockaddr_un.
const sockaddrMax = unix.SizeofSockaddrUnix

// Sockaddr is a socket address as the kernel wants it. The zero value is unusable.
type Sockaddr struct {
	raw [sockaddrMax]byte
	len uint32
}

// Family is AF_INET, AF_INET6 or AF_UNIX.
func (s *Sockaddr) Family() int { return int(binary.NativeEndian.Uint16(s.raw[0:])) }

// SockaddrInet encodes an address and port; the family follows the address. A zone that is a number or the
// name of an interface becomes the scope id.
func SockaddrInet(ap netip.AddrPort) Sockaddr {
	var s Sockaddr
	binary.BigEndian.PutUint16(s.raw[2:], ap.Port())
	a := ap.Addr().Unmap()
	if a.Is4() {
		ip := a.As4()
		binary.NativeEndian.PutUint16(s.raw[0:], unix.AF_INET)
		copy(s.raw[4:], ip[:])
		s.len = unix.SizeofSockaddrInet4
		return s
	}
	ip := a.As16()
	binary.NativeEndian.PutUint16(s.raw[0:], unix.AF_INET6)
	copy(s.raw[8:], ip[:])
	binary.NativeEndian.PutUint32(s.raw[24:], scopeID(a.Zone()))
	s.len = unix.SizeofSockaddrInet6
	return s
}

// setPort changes the port of an internet address: sin_port and sin6_port stand in the same place.
func (s *Sockaddr) setPort(port uint16) { binary.BigEndian.PutUint16(s.raw[2:], port) }

// SockaddrUnix encodes the path of a unix socket; a leading '@' means the abstract namespace.
// It fails where the path is longer than struct sockaddr_un takes (107 bytes).
func SockaddrUnix(path string) (Sockaddr, error) {
	var s Sockaddr
	if len(path) == 0 || len(path) > sockaddrMax-3 {
		return s, fmt.Errorf("encode unix socket path %q: %d bytes, the kernel takes 1 to %d", path, len(path), sockaddrMax-3)
	}
	binary.NativeEndian.PutUint16(s.raw[0:], unix.AF_UNIX)
	copy(s.raw[2:], path)
	s.len = uint32(2 + len(path) + 1)
	if path[0] == '@' {
		s.raw[2] = 0
		s.len--
	}
	return s, nil
}

// decode reads what the kernel wrote into a sockaddr buffer; unknown families give the zero Addr.
func decode(raw *[sockaddrMax]byte) (a Addr) {
	switch binary.NativeEndian.Uint16(raw[0:]) {
	case unix.AF_INET:
		a.Port = binary.BigEndian.Uint16(raw[2:])
		a.IP[10], a.IP[11] = 0xff, 0xff
		copy(a.IP[12:], raw[4:8])
	case unix.AF_INET6:
		a.Port = binary.BigEndian.Uint16(raw[2:])
		copy(a.IP[:], raw[8:24])
	}
	return a
}

// Addr decodes an internet address; the zero Addr for a unix socket.
func (s *Sockaddr) Addr() Addr { return decode(&s.raw) }
