package epoll

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// backlog asks for as long an accept queue as net.core.somaxconn allows by default.
const backlog = 4096

// Ports that port 0 is chosen from: below the kernel's usual range for outgoing connections (ip_local_port_range), as those
// of real servers are. A balancer has to reckon with connecting to itself where a backend's port lies inside.
const (
	firstPort = 10_000
	lastPort  = 32_000
)

// Listen opens a non-blocking listening socket and says where; port 0 is any that is free. Accepted sockets inherit
// TCP_NODELAY from it.
func Listen(addr netip.AddrPort) (fd int, bound netip.AddrPort, err error) {
	if addr.Port() != 0 {
		return listenAt(addr)
	}
	for range 100 {
		port := uint16(firstPort + rand.IntN(lastPort-firstPort))
		fd, bound, err = listenAt(netip.AddrPortFrom(addr.Addr(), port))
		if !errors.Is(err, unix.EADDRINUSE) {
			break
		}
	}
	return fd, bound, err
}

func listenAt(addr netip.AddrPort) (int, netip.AddrPort, error) {
	fd, err := newSocket(addr.Addr())
	if err != nil {
		return -1, addr, fmt.Errorf("listen %s: %w", addr, err)
	}
	err = listen(fd, addr)
	if err != nil {
		unix.Close(fd)
		return -1, addr, fmt.Errorf("listen %s: %w", addr, err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, addr, fmt.Errorf("listen %s: get name: %w", addr, err)
	}
	return fd, addrPort(sa), nil
}

func listen(fd int, addr netip.AddrPort) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return err
	}
	if err := unix.Bind(fd, sockaddr(addr)); err != nil {
		return err
	}
	return unix.Listen(fd, backlog)
}

// Connect begins a connection to addr; EPOLLOUT or EPOLLERR tells how it ended. A valid source is bound first, its
// port chosen at connect time so that one port may serve several destinations (IP_BIND_ADDRESS_NO_PORT, Linux 4.2).
func Connect(addr netip.AddrPort, source netip.Addr) (int, error) {
	fd, err := newSocket(addr.Addr())
	if err != nil {
		return -1, fmt.Errorf("connect %s: %w", addr, err)
	}
	if source.IsValid() {
		err = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
		if err == nil {
			err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0)))
		}
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(addr))
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		unix.Close(fd)
		return -1, fmt.Errorf("connect %s: %w", addr, err)
	}
	return fd, nil
}

// Accept takes one connection from a listener, without its address. EAGAIN: none is waiting.
func Accept(fd int) (int, unix.Errno) {
	for {
		r, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno != unix.EINTR {
			return int(r), errno
		}
	}
}

// Recv reads into p, which must not be empty. 0 without an errno is the end of the stream.
func Recv(fd int, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), 0, 0, 0)
		if errno != unix.EINTR {
			return count(n, errno), errno
		}
	}
}

// Send writes from p, which must not be empty, and returns how much the kernel took.
func Send(fd int, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return count(n, errno), errno
		}
	}
}

func count(n uintptr, errno unix.Errno) int {
	if errno != 0 {
		return 0
	}
	return int(n)
}

func newSocket(ip netip.Addr) (int, error) {
	family := unix.AF_INET
	if ip.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch s := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(s.Addr), uint16(s.Port))
	}
	return netip.AddrPort{}
}
