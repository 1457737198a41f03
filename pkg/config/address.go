package config

import (
	"net/netip"
	"strconv"
	"strings"
)

// What Address.Network can be.
const (
	TCP4 = "tcp4"
	TCP6 = "tcp6"
	Unix = "unix"
	Host = "host" // a name and a port, to be resolved
)

// Address is where somebody listens or is reached. Addresses are comparable:
// two spellings of one address are equal.
type Address struct {
	Network  string         // TCP4, TCP6, Unix, Host; "" in the zero Address
	AddrPort netip.AddrPort // TCP4, TCP6; no zone, never IPv4 mapped into IPv6
	Path     string         // Unix: absolute
	Host     string         // Host: a name, in lower case
	Port     uint16         // Host: its port
}

// IsZero says that there is no address.
func (a Address) IsZero() bool { return a.Network == "" }

// String returns the address as the configuration writes it.
func (a Address) String() string {
	switch a.Network {
	case TCP4, TCP6:
		return a.AddrPort.String()
	case Unix:
		return "unix:" + a.Path
	case Host:
		return a.Host + ":" + strconv.Itoa(int(a.Port))
	}
	return ""
}

// port returns the TCP port, 0 for a unix socket.
func (a Address) port() uint16 {
	if a.Network == Host {
		return a.Port
	}
	return a.AddrPort.Port()
}

// maxUnixPath is what sun_path holds beside its final zero: unix(7).
const maxUnixPath = 107

// parseBackendAddress reads ip:port, [ip6]:port, unix:/path or host:port.
func parseBackendAddress(s string) (Address, *fault) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		return parseUnix(path)
	}
	host, port, bad := splitHostPort(s)
	if bad != nil {
		return Address{}, bad
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && isHostName(host):
		return Address{Network: Host, Host: strings.ToLower(host), Port: port}, nil
	case err != nil:
		return Address{}, wrong(quote(host)+" is neither an IP address nor a host name", addressForms)
	case ip.Zone() != "":
		return Address{}, wrong("a zone (%"+ip.Zone()+") is not supported", "use an address that is not link-local")
	case ip.Is4In6():
		return Address{}, wrong("an IPv4 address is mapped into IPv6", "write "+netip.AddrPortFrom(ip.Unmap(), port).String())
	case ip.IsMulticast():
		return Address{}, wrong(host+" is a multicast address", "TCP needs a unicast one")
	}
	network := TCP4
	if ip.Is6() {
		network = TCP6
	}
	return Address{Network: network, AddrPort: netip.AddrPortFrom(ip, port)}, nil
}

const addressForms = `write "10.0.0.1:80", "[fd00::1]:80" or "unix:/path"`

// parseListenAddress reads what can be bound: anything but a host name.
func parseListenAddress(s string) (Address, *fault) {
	a, bad := parseBackendAddress(s)
	if bad == nil && a.Network == Host {
		return Address{}, wrong(quote(a.Host)+" is a host name, and a listener needs an address", addressForms)
	}
	return a, bad
}

func parseUnix(path string) (Address, *fault) {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, isControl) {
		return Address{}, wrong("the socket path "+quote(path)+" is not absolute", `write "unix:/run/app.sock"`)
	}
	if len(path) > maxUnixPath {
		return Address{}, wrong("the socket path has "+strconv.Itoa(len(path))+" bytes", "the kernel takes at most "+strconv.Itoa(maxUnixPath))
	}
	return Address{Network: Unix, Path: path}, nil
}

func splitHostPort(s string) (host string, port uint16, bad *fault) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", 0, wrong(quote(s)+" has no port", addressForms)
	}
	host, digits := s[:i], s[i+1:]
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, wrong(quote(digits)+" is not a port", "ports go from 1 to 65535")
	}
	bracketed := strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]")
	switch {
	case host == "" || host == "*":
		return "", 0, wrong(quote(s)+" has no IP address", `for every address write "0.0.0.0:`+digits+`" and "[::]:`+digits+`"`)
	case bracketed && strings.Contains(host, ":"):
		host = host[1 : len(host)-1]
	case bracketed:
		return "", 0, wrong("only IPv6 addresses stand in brackets", addressForms)
	case strings.Contains(host, ":"):
		return "", 0, wrong("an IPv6 address needs brackets", `write "[fd00::1]:80"`)
	}
	return host, uint16(n), nil
}

// isHostName follows RFC 1123, and takes underscores as resolvers do. A name
// that ends in a number is a mistyped IPv4 address.
func isHostName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimSuffix(s, "."), ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' || strings.ContainsFunc(l, notInHostName) {
			return false
		}
	}
	_, err := strconv.Atoi(labels[len(labels)-1])
	return err != nil
}

func notInHostName(r rune) bool {
	letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	return !letter && (r < '0' || '9' < r) && r != '-' && r != '_'
}
