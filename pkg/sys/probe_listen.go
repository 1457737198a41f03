package sys

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// What follows tries what listeners do.

// inherit sets what frontends set on their listeners, and looks at a socket that was accepted: Linux clones the listening
// socket (tcp_create_openreq_child), options and all. SO_REUSEADDR and IPV6_V6ONLY are of no use to accepted ones.
func (p *prober) inherit() (string, error) {
	o := ListenOptions{KeepaliveIdle: 61, KeepaliveInterval: 11, KeepaliveProbes: 5, NotSentLowat: 100 << 10}
	if _, err := p.userTimeout(); err == nil {
		o.UserTimeoutMs = probeUserTimeoutMs
	}
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
	return "TCP_NODELAY, keepalive, TCP_USER_TIMEOUT, TCP_NOTSENT_LOWAT", nil
}

// twins are two listeners of one address; the caller closes both.
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

// reusePort wants two listeners of this process on one address; that the kernel spreads connections over them shows in use.
func (p *prober) reusePort() (string, error) {
	a, b, err := p.twins()
	if err != nil {
		return "", err
	}
	p.k.Close(a)
	p.k.Close(b)
	return "", nil
}

// listenerCounters asks a listener about a connection that waits there. That nothing was dropped is no more than an answer.
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
