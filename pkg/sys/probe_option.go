package sys

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What follows tries what can be set on sockets, and what the kernel tells of them.

// probeUserTimeoutMs is a time that nobody has by default.
const probeUserTimeoutMs = 91_000

// userTimeout sets the option and asks for it again: that a call went well does not say that it did something.
func (p *prober) userTimeout() (string, error) {
	fd, errno := p.k.Socket(AF_INET)
	if errno != 0 {
		return "", &setUpError{errno}
	}
	defer p.k.Close(fd)
	if errno := p.k.SetOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, probeUserTimeoutMs); errno != 0 {
		return "", fmt.Errorf("set TCP_USER_TIMEOUT: %w", errno)
	}
	if v, errno := p.option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT); v != probeUserTimeoutMs {
		return "", fmt.Errorf("TCP_USER_TIMEOUT is %d (%s) after it was set to %d", v, Name(errno), probeUserTimeoutMs)
	}
	return "", nil
}

// info looks at a connection whose peer reads nothing: then all that listings show is more than 0.
func (p *prober) info() (string, error) {
	c, err := p.pair(ListenOptions{})
	if err != nil {
		return "", err
	}
	defer c.close()
	var empty []string
	var errno Errno
	if within(func() bool {
		err = c.fill()
		var i TCPInfo
		i, errno = p.k.TCPInfo(c.client)
		empty = i.empty()
		return err != nil || errno == 0 && len(empty) == 0
	}) {
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d bytes; rtt, cwnd, mss, bytes not sent", tcpInfoLen(c.client)), nil
	}
	if errno != 0 {
		return "", fmt.Errorf("getsockopt TCP_INFO: %w", errno)
	}
	return "", fmt.Errorf("%d bytes, not filled: %s", tcpInfoLen(c.client), strings.Join(empty, ", "))
}

// empty names what is 0 and cannot be on a connection that has moved bytes and is stuck now. A kernel that knows fewer
// fields writes a shorter struct: what it did not write has stayed 0.
func (i *TCPInfo) empty() (names []string) {
	for _, v := range []struct {
		name  string
		value uint32
	}{{"state", uint32(i.State)}, {"rtt", i.RTTUs}, {"rtt_var", i.RTTVarUs}, {"cwnd", i.Cwnd}, {"mss", i.MSS}, {"not_sent", i.NotSent}} {
		if v.value == 0 {
			names = append(names, v.name)
		}
	}
	return names
}

// openFDs wants the size that /proc/self/fd has since Linux 6.2: how many descriptors are open.
func (p *prober) openFDs() (string, error) {
	if OpenFDs() < 0 {
		return "", errors.New("/proc/self/fd has no size")
	}
	return "", nil
}

// ip6 connects over ::1; a kernel without IPv6 has no such socket, a host with disable_ipv6 no such address.
func (p *prober) ip6() (string, error) {
	c, err := p.pairAt(loopback6, ListenOptions{})
	if err == nil {
		c.close()
		return "", nil
	}
	if setUp := (*setUpError)(nil); errors.As(err, &setUp) { // that it cannot be set up is the answer
		err = setUp.err
	}
	return "", err
}

// ipLocalPortRange is IP_LOCAL_PORT_RANGE of linux/in.h.
const ipLocalPortRange = 51

// localPortRange asks for a hundred ports in the middle of the kernel's range, and for one of them.
func (p *prober) localPortRange() (string, error) {
	from, to := EphemeralPorts()
	low := from + (to-from)/2
	high := min(low+100, to)
	lfd, err := p.listen(loopback4, ListenOptions{})
	if err != nil {
		return "", &setUpError{err}
	}
	defer p.k.Close(lfd)
	fd, err := p.connect(lfd, func(fd int) error {
		if e := p.k.SetOption(fd, unix.IPPROTO_IP, ipLocalPortRange, int(high)<<16|int(low)); e != 0 {
			return fmt.Errorf("set IP_LOCAL_PORT_RANGE: %w", e)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	defer p.k.Reset(fd)
	if at, _ := p.k.LocalAddr(fd); at.Port < low || at.Port > high {
		return "", fmt.Errorf("port %d was taken, out of %d to %d", at.Port, low, high)
	}
	return "", nil
}

// addressNoPort binds an address: its port is chosen at connect, where all peers together do not share one range.
func (p *prober) addressNoPort() (string, error) {
	fd, errno := p.k.Socket(AF_INET)
	if errno != 0 {
		return "", &setUpError{errno}
	}
	defer p.k.Close(fd)
	if errno := p.k.SetOption(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); errno != 0 {
		return "", fmt.Errorf("set IP_BIND_ADDRESS_NO_PORT: %w", errno)
	}
	sa := SockaddrInet(loopback4)
	if err := bind(fd, &sa); err != nil {
		return "", &setUpError{err}
	}
	if at, _ := p.k.LocalAddr(fd); at.Port != 0 {
		return "", fmt.Errorf("bind took port %d", at.Port)
	}
	return "", nil
}

// timeWait reads the setting: a port can be taken again a second after its connection was closed, which is longer than
// the whole self-test may take.
func (p *prober) timeWait() (string, error) {
	switch n := ReadInt(p.settings+"tcp_tw_reuse", -1); n {
	case -1:
		return "", errors.New("there is no net.ipv4.tcp_tw_reuse")
	case 0:
		return "", errors.New("net.ipv4.tcp_tw_reuse is 0")
	case 2:
		return "2: on the loopback interface alone", nil
	default:
		return fmt.Sprintf("%d: after a second", n), nil
	}
}

func getOption(fd, level, name int) (int, Errno) {
	v := int32(0)
	n := uint32(unsafe.Sizeof(v))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name),
		uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&n)), 0)
	return int(v), e
}

// tcpInfoLen is how long the kernel's struct tcp_info is.
func tcpInfoLen(fd int) int {
	var raw [1024]byte
	n := uint32(len(raw))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return 0
	}
	return int(n)
}
