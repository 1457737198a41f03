package sys

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Feature is one thing a kernel may or may not do, found by trying it.
type Feature struct {
	Name     string
	Present  bool
	Fallback string // what is done without it
}

// Probe tries what the data path would like to use. It opens and closes a few descriptors on the loopback interface.
func Probe() []Feature {
	return []Feature{
		{"splice", probeSplice(), "every direction is copied by recv and send"},
		{"1 MiB pipes", probePipe(1 << 20), "smaller pipes, or copying: see fs.pipe-max-size and fs.pipe-user-pages-soft"},
		{"IP_LOCAL_PORT_RANGE (Linux 6.3)", probeOption(unix.IPPROTO_IP, ipLocalPortRange, 0), "the kernel's whole ip_local_port_range"},
		{"IP_BIND_ADDRESS_NO_PORT (Linux 4.2)", probeOption(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), "no source addresses without ports of our own"},
		{"tcp_migrate_req (Linux 5.14) on", ReadInt("/proc/sys/net/ipv4/tcp_migrate_req", 0) == 1, "a listener that is closed loses what waits in its queue: none is closed while its address is configured"},
		{"count of open descriptors (Linux 6.2)", OpenFDs() >= 0, "fds_open is computed from sessions and pipes"},
	}
}

// ipLocalPortRange is IP_LOCAL_PORT_RANGE of linux/in.h.
const ipLocalPortRange = 51

func probeOption(level, name, value int) bool {
	fd, errno := Real{}.Socket(AF_INET)
	if errno != 0 {
		return false
	}
	defer Real{}.Close(fd)
	return Real{}.SetOption(fd, level, name, value) == 0
}

func probePipe(size int) bool {
	p, errno := Real{}.Pipe(size)
	if errno != 0 {
		return false
	}
	Real{}.Close(p.R)
	Real{}.Close(p.W)
	return p.Size >= size
}

// probeSplice moves one byte from a socket through a pipe.
func probeSplice() bool {
	var k Real
	lfd, err := ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), ListenOptions{Backlog: 1})
	if err != nil {
		return false
	}
	defer k.Close(lfd)
	addr, _ := k.LocalAddr(lfd)
	out, errno := k.Socket(AF_INET)
	if errno != 0 {
		return false
	}
	defer k.Close(out)
	to := SockaddrInet(addr.AddrPort())
	if errno := k.Connect(out, &to); errno != 0 && errno != EINPROGRESS {
		return false
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(lfd), Events: unix.POLLIN}}, 1000); err != nil {
		return false
	}
	in, _, errno := k.Accept(lfd)
	if errno != 0 {
		return false
	}
	defer k.Reset(in)
	return spliceOne(k, out, in)
}

func spliceOne(k Real, out, in int) bool {
	p, errno := k.Pipe(minProbePipe)
	if errno != 0 {
		return false
	}
	defer k.Close(p.R)
	defer k.Close(p.W)
	if n, _ := k.Send(out, []byte{'x'}, 0); n != 1 {
		return false
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(in), Events: unix.POLLIN}}, 1000); err != nil {
		return false
	}
	n, errno := k.Splice(in, p.W, 1)
	return errno == 0 && n == 1
}

const minProbePipe = 64 << 10
