package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

// tuple names a connection of ours.
type tuple struct {
	from sys.Addr
	to   sys.Sockaddr
}

// Bind implements sys.Kernel (inet_bind, inet_csk_get_port). Without SO_REUSEADDR on both sockets a port of an address has
// one owner; IP_BIND_ADDRESS_NO_PORT leaves the choice of a port to Connect.
func (k *Kernel) Bind(fd int, from *sys.Sockaddr, port uint16) sys.Errno {
	s, errno := k.socket(fd, "bind")
	if errno == 0 {
		errno = k.bind(s, from.Addr(), port)
	}
	k.note("bind", fd, int(port), 0, errno)
	return errno
}

func (k *Kernel) bind(s *socket, from sys.Addr, port uint16) sys.Errno {
	switch {
	case s.local.Port != 0 || s.state != unconnected:
		return sys.EINVAL
	case k.fault(k.Faults.BindGone):
		return sys.EADDRNOTAVAIL
	case port != 0 && (k.fault(k.Faults.BindInUse) || k.taken(s, sys.Addr{IP: from.IP, Port: port})):
		s.bound, s.local = false, sys.Addr{}
		return sys.EADDRINUSE
	}
	s.bound, s.local = true, sys.Addr{IP: from.IP, Port: port}
	if _, later := k.Option(s.fd, sys.IPPROTO_IP, sys.IP_BIND_ADDRESS_NO_PORT); port == 0 && !later {
		k.port++
		s.local.Port = k.port
	}
	return 0
}

// taken tells whether a listener or another socket keeps an address and port from being bound.
func (k *Kernel) taken(s *socket, at sys.Addr) bool {
	for fd := range k.files {
		switch f := &k.files[fd]; f.kind {
		case isListener:
			if f.lis.addr == at {
				return true
			}
		case isSocket:
			if o := f.sock; o != s && o.bound && o.local == at && !(k.reuses(s) && k.reuses(o)) {
				return true
			}
		}
	}
	return false
}

func (k *Kernel) reuses(s *socket) bool {
	on, _ := k.Option(s.fd, sys.SOL_SOCKET, sys.SO_REUSEADDR)
	return on != 0
}

// claim makes a connection of a bound socket the only one of its name (__inet_check_established): until the old one is over
// there is no other. That a program has both of them open is a violation: it gave out a port twice.
func (k *Kernel) claim(s *socket, to *sys.Sockaddr) sys.Errno {
	if !s.bound {
		return 0
	}
	if k.fault(k.Faults.ConnectNoPort) {
		return sys.EADDRNOTAVAIL
	}
	if s.local.Port == 0 { // any that is free: there is one, unless the fault above says no
		k.port++
		s.local.Port = k.port
	}
	name := tuple{s.local, *to}
	if c := k.bound[name]; c != nil && !c.over() {
		if c.worker.fd >= 0 && c.worker.state != done && !k.SharePorts {
			k.violate("fd %d and fd %d both connect from %s to one backend", c.worker.fd, s.fd, s.local)
		}
		return sys.EADDRNOTAVAIL
	}
	k.bound[name] = s.conn
	return 0
}

// fillLocal gives a socket that was not bound its own end.
func (k *Kernel) fillLocal(s *socket) {
	if s.local == (sys.Addr{}) {
		k.port++
		s.local = sys.Addr{IP: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: 1}, Port: k.port}
	}
}
