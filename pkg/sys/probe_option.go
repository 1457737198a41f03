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

// inherit sets what frontends set on their listeners, and looks at a socket that was accepted.
func (p *prober) inherit() (string, error) {
	o := ListenOptions{KeepaliveIdle: 61, KeepaliveInterval: 11, KeepaliveProbes: 5, NotSentLowat: 100 << 10}
	c, err := p.pair(o)
	if err != nil {
		return "", err
	}
	defer c.close()
	var lost []string
	for _, opt := range tcpOptions(AF_INET, o) {
		if opt.level == unix.IPPROTO_IPV6 || opt.value == 0 || opt.name == unix.SO_REUSEADDR && opt.level == unix.SOL_SOCKET {
			continue
		}
		if v, _ := p.option(c.server, opt.level, opt.name); v != opt.value {
			lost = append(lost, opt.what)
		}
	}
	if len(lost) > 0 {
		return "", errors.New("an accepted socket does not have " + strings.Join(lost, ", "))
	}
	return "TCP_NODELAY, keepalive, TCP_NOTSENT_LOWAT", nil
}

// twins are two listeners of one address.
func (p *prober) twins() (a, b int, err error) {
	a, err = p.listen(loopback4, ListenOptions{ReusePort: true})
	if err != nil {
		return -1, -1, err
	}
	at, _ := p.k.LocalAddr(a)
	if b, err = p.listen(at.AddrPort(), ListenOptions{ReusePort: true}); err != nil {
		p.k.Close(a)
		return -1, -1, err
	}
	return a, b, nil
}

func (p *prober) reusePort() (string, error) {
	a, b, err := p.twins()
	if err != nil {
		return "", err
	}
	p.k.Close(a)
	p.k.Close(b)
	return "", nil
}

// info looks at a connection whose peer reads nothing: then all that listings show is more than 0.
func (p *prober) info() (string, error) {
	c, err := p.pair(ListenOptions{})
	if err != nil {
		return "", err
	}
	defer c.close()
	if err := c.fill(); err != nil {
		return "", err
	}
	var empty []string
	var errno Errno
	if within(func() bool {
		var i TCPInfo
		i, errno = p.k.TCPInfo(c.client)
		empty = i.empty()
		return errno == 0 && len(empty) == 0
	}) {
		return fmt.Sprintf("%d bytes; rtt, cwnd, mss, bytes not sent", tcpInfoLen(c.client)), nil
	}
	if errno != 0 {
		return "", fmt.Errorf("getsockopt TCP_INFO: %w", errno)
	}
	return "", fmt.Errorf("%d bytes, not filled: %s", tcpInfoLen(c.client), strings.Join(empty, ", "))
}

// empty names what is 0 and cannot be on a connection that has moved bytes and is stuck now.
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

// listenerCounters asks a listener about a connection that waits there.
func (p *prober) listenerCounters() (string, error) {
	lfd, err := p.listen(loopback4, ListenOptions{})
	if err != nil {
		return "", &setUpError{err}
	}
	defer p.k.Close(lfd)
	fd, err := p.connect(lfd, nil)
	if err != nil {
		return "", err
	}
	defer p.k.Reset(fd)
	if _, err := ListenerDrops(lfd); err != nil {
		return "", err
	}
	waiting := 0
	if !within(func() bool { waiting, _, err = AcceptQueue(lfd); return err != nil || waiting == 1 }) {
		return "", fmt.Errorf("TCP_INFO says that %d connections wait, and 1 does", waiting)
	}
	return "", err
}

func (p *prober) openFDs() (string, error) {
	if OpenFDs() < 0 {
		return "", errors.New("/proc/self/fd has no size")
	}
	return "", nil
}

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

// migrate closes a listener with a connection in its queue, where the setting is on; it is off by default.
func (p *prober) migrate() (string, error) {
	switch ReadInt(p.settings+"tcp_migrate_req", -1) {
	case -1:
		return "", errors.New("there is no net.ipv4.tcp_migrate_req")
	case 0:
		return "off, and not in need: no listener is closed while its address is configured", nil
	}
	first, second, err := p.twins()
	if err != nil {
		return "", &setUpError{err}
	}
	fd, err := p.connect(first, nil)
	if err != nil {
		p.k.Close(first)
		p.k.Close(second)
		return "", err
	}
	defer p.k.Reset(fd)
	within(func() bool { return waits(first) || waits(second) })
	if waits(second) {
		first, second = second, first
	}
	p.k.Close(first)
	defer p.k.Close(second)
	if !ready(second, unix.POLLIN) {
		return "", errors.New("what waited at a listener was lost with it")
	}
	return "on: what waits at a listener passes to another when it is closed", nil
}

// waits tells whether a connection can be accepted.
func waits(lfd int) bool {
	n, _, err := AcceptQueue(lfd)
	return err == nil && n > 0
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
	v, err := unix.GetsockoptInt(fd, level, name)
	errno, _ := err.(Errno)
	return v, errno
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
