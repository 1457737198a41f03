package testkit

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// SmallBuffers makes a sender and a reader wait for each other after some 10 KB.
const SmallBuffers = 4096

// Options are set on a peer's socket before it connects or listens. The zero value leaves everything to the kernel.
type Options struct {
	MSS     int           // the largest segment that is sent and asked for, bytes (TCP_MAXSEG)
	Buffers int           // SO_SNDBUF and SO_RCVBUF, bytes; the kernel takes twice as much, for its own needs
	GiveUp  time.Duration // a peer that has been silent for so long is dead: ETIMEDOUT. At least 2 s
}

// Listen is the function Listen with these options, for every connection that is accepted.
func (o Options) Listen(addr netip.AddrPort) (*Listener, error) {
	fd, err := o.socket(addr)
	if err != nil {
		return nil, err
	}
	l, err := listen(fd, addr)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("listen %v: %w", addr, err)
	}
	return l, nil
}

// Dial is the function Dial with these options.
func (o Options) Dial(addr netip.AddrPort) (*Peer, error) {
	fd, err := o.socket(addr)
	if err != nil {
		return nil, err
	}
	if err := connect(fd, addr); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("connect %v: %w", addr, err)
	}
	return newPeer(fd)
}

func (o Options) socket(addr netip.AddrPort) (int, error) {
	fd, err := newSocket(addr)
	if err != nil {
		return -1, err
	}
	if err := o.set(fd); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// set sets what is not zero. A listener's connections inherit all of it.
func (o Options) set(fd int) error {
	for _, option := range []struct{ level, name, value int }{
		{unix.IPPROTO_TCP, unix.TCP_MAXSEG, o.MSS},
		{unix.SOL_SOCKET, unix.SO_SNDBUF, o.Buffers},
		{unix.SOL_SOCKET, unix.SO_RCVBUF, o.Buffers},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, int(min(o.GiveUp, 1))},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(min(o.GiveUp, 1))},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(min(o.GiveUp, 1))},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.GiveUp.Milliseconds())}, // ends keepalive and retransmission
	} {
		if option.value == 0 {
			continue
		}
		if err := unix.SetsockoptInt(fd, option.level, option.name, option.value); err != nil {
			return fmt.Errorf("set %+v: %w", o, err)
		}
	}
	return nil
}
