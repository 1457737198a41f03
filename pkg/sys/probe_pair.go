package sys

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// pair is a connection over a listener of our own kind, both ends of it ours.
type pair struct {
	k              Kernel
	client, server int // the server's end was accepted
}

var (
	loopback4 = netip.MustParseAddrPort("127.0.0.1:0")
	loopback6 = netip.MustParseAddrPort("[::1]:0")
)

// pair connects over the loopback interface, through what a frontend listens with. Its error is a *setUpError: it says
// nothing about what the kernel can do.
func (p *prober) pair(o ListenOptions) (pair, error) { return p.pairAt(loopback4, o) }

func (p *prober) pairAt(at netip.AddrPort, o ListenOptions) (pair, error) {
	lfd, err := p.listen(at, o)
	if err != nil {
		return pair{}, &setUpError{err}
	}
	defer p.k.Close(lfd)
	c := pair{k: p.k, client: -1, server: -1}
	if c.client, err = p.connect(lfd, nil); err != nil {
		return pair{}, err
	}
	if !ready(lfd, unix.POLLIN) {
		c.close()
		return pair{}, &setUpError{fmt.Errorf("connect over loopback: nothing came in %s", patience)}
	}
	var errno Errno
	if c.server, _, errno = p.k.Accept(lfd); errno != 0 {
		c.close()
		return pair{}, &setUpError{fmt.Errorf("accept over loopback: %w", errno)}
	}
	return c, nil
}

// connect begins a connection to a listener; prepare, if not nil, is called with the socket before.
func (p *prober) connect(lfd int, prepare func(fd int) error) (fd int, err error) {
	at, errno := p.k.LocalAddr(lfd)
	if errno != 0 {
		return -1, &setUpError{fmt.Errorf("getsockname: %w", errno)}
	}
	to := SockaddrInet(at.AddrPort())
	if fd, errno = p.k.Socket(to.Family()); errno != 0 {
		return -1, &setUpError{fmt.Errorf("socket: %w", errno)}
	}
	if prepare != nil {
		err = prepare(fd)
	}
	if err == nil {
		if errno := p.k.Connect(fd, &to); errno != 0 && errno != EINPROGRESS {
			err = &setUpError{fmt.Errorf("connect over loopback: %w", errno)}
		}
	}
	if err != nil {
		p.k.Close(fd)
		return -1, err
	}
	return fd, nil
}

// close resets what is open: nothing is left in TIME_WAIT to hold a port for a minute.
func (c *pair) close() {
	for _, fd := range []int{c.client, c.server} {
		if fd >= 0 {
			c.k.Reset(fd)
		}
	}
	c.client, c.server = -1, -1
}

// send sends text from the client.
func (c *pair) send(text string, flags int) error {
	if n, errno := c.k.Send(c.client, []byte(text), flags); n != len(text) || errno != 0 {
		return unexpected("send", n, errno)
	}
	return nil
}

// expect waits until fd is readable and reads text from it, with nothing behind it that the same read would bring.
func (c *pair) expect(fd int, text string, flags int) error {
	ready(fd, unix.POLLIN|unix.POLLPRI)
	var buf [64]byte
	n, errno := c.k.Recv(fd, buf[:], flags)
	if errno != 0 {
		return fmt.Errorf("recv: %w", errno)
	}
	if got := string(buf[:n]); got != text {
		return fmt.Errorf("recv brought %q, want %q", got, text)
	}
	return nil
}

// fill sends from the client until its buffer is full. What is in flight may make room again: then it is filled again.
func (c *pair) fill() error {
	block := make([]byte, 64<<10)
	for range mostFilled / len(block) {
		switch n, errno := c.k.Send(c.client, block, 0); {
		case errno == EAGAIN:
			return nil
		case errno != 0:
			return unexpected("send", n, errno)
		}
	}
	return &setUpError{fmt.Errorf("a peer that reads nothing takes %s", sizeText(mostFilled))}
}

const mostFilled = 64 << 20

// ready waits until fd has one of events, or an error. A signal is no answer: the Go runtime sends many.
func ready(fd int, events int16) bool {
	for end := time.Now().Add(patience); ; {
		left := max(time.Until(end).Milliseconds(), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, int(left))
		if err != unix.EINTR {
			return err == nil && n > 0
		}
	}
}
