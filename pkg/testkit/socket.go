package testkit

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Listener is a listening TCP socket that hands out scripted peers.
type Listener struct {
	fd   int
	addr netip.AddrPort
	host *Host // nil: the test's own namespace
}

// Listen listens on addr; port 0 lets the kernel choose. IPv6 sockets take IPv6 only.
func Listen(addr netip.AddrPort) (*Listener, error) { return Options{}.Listen(addr) }

func listen(fd int, addr netip.AddrPort) (*Listener, error) {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, err
	}
	if addr.Addr().Is6() {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return nil, err
		}
	}
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, 128); err != nil {
		return nil, err
	}
	bound, err := localAddr(fd)
	return &Listener{fd: fd, addr: bound}, err
}

// Addr is where the listener listens, with the port that the kernel chose.
func (l *Listener) Addr() netip.AddrPort { return l.addr }

// Close closes the listener; connections that were not accepted are reset by the kernel.
func (l *Listener) Close() { unix.Close(l.fd) }

// Accept waits for the next connection, at most Bound.
func (l *Listener) Accept() (*Peer, error) {
	for deadline := time.Now().Add(Bound); time.Now().Before(deadline); {
		fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			return l.host.own(newPeer(fd))
		case unix.EAGAIN, unix.EINTR, unix.ECONNABORTED:
			poll(l.fd, unix.POLLIN, time.Until(deadline))
		default:
			return nil, fmt.Errorf("accept on %v: %w", l.addr, err)
		}
	}
	return nil, fmt.Errorf("accept on %v: nobody came in %v", l.addr, Bound)
}

// Dial connects to addr, waiting at most Bound.
func Dial(addr netip.AddrPort) (*Peer, error) { return Options{}.Dial(addr) }

func connect(fd int, addr netip.AddrPort) error {
	if err := unix.Connect(fd, sockaddr(addr)); err != unix.EINPROGRESS {
		return err
	}
	if poll(fd, unix.POLLOUT, Bound) == 0 {
		return fmt.Errorf("no answer in %v", Bound)
	}
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil || code == 0 {
		return err
	}
	return unix.Errno(code)
}

func newSocket(addr netip.AddrPort) (int, error) {
	family := unix.AF_INET
	if addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open socket: %w", err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is6() {
		return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
}

func localAddr(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("getsockname: %w", err)
	}
	return addrPort(sa), nil
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	default:
		return netip.AddrPort{}
	}
}

// poll waits for events on fd, at most d, and returns those that are there: 0 after d, or when a signal came.
func poll(fd int, events int16, d time.Duration) int16 {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	if n, err := unix.Poll(fds, int(max(d, 0).Milliseconds())); err != nil || n == 0 {
		return 0
	}
	return fds[0].Revents
}
