package sys

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// What follows tries how bytes move and end.

// splice takes a byte from a socket through a pipe to a socket, and meets an empty source (EAGAIN) and an ended one (0).
// Sandboxes say ENOSYS or EPERM, kernels whose sockets cannot splice EINVAL.
func (p *prober) splice() (string, error) {
	c, err := p.pair(ListenOptions{})
	if err != nil {
		return "", err
	}
	defer c.close()
	pipe, errno := p.k.Pipe(minProbePipe)
	if errno != 0 {
		return "", fmt.Errorf("pipe: %w", errno)
	}
	defer p.k.Close(pipe.R)
	defer p.k.Close(pipe.W)
	if n, errno := p.k.Splice(c.server, pipe.W, minProbePipe); errno != EAGAIN {
		return "", unexpected("splice from a socket without bytes", n, errno)
	}
	if err := c.send("x", 0); err != nil {
		return "", err
	}
	ready(c.server, unix.POLLIN)
	if n, errno := p.k.Splice(c.server, pipe.W, minProbePipe); n != 1 || errno != 0 {
		return "", unexpected("splice of one byte into a pipe", n, errno)
	}
	if n, errno := p.k.Splice(pipe.R, c.server, 1); n != 1 || errno != 0 {
		return "", unexpected("splice of one byte out of a pipe", n, errno)
	}
	if err := c.expect(c.client, "x", 0); err != nil {
		return "", err
	}
	p.k.ShutdownWrite(c.client)
	ready(c.server, unix.POLLIN)
	if n, errno := p.k.Splice(c.server, pipe.W, minProbePipe); n != 0 || errno != 0 {
		return "", unexpected("splice at the end of a stream", n, errno)
	}
	return "socket to pipe to socket, and the end", nil
}

const minProbePipe = 64 << 10

// pipes asks for a pipe of the wanted size. One page makes a slot, which takes one segment, however short it is.
func (p *prober) pipes() (string, error) {
	pipe, errno := p.k.Pipe(p.pipeBytes)
	if errno != 0 {
		return "", fmt.Errorf("pipe: %w", errno)
	}
	p.k.Close(pipe.R)
	p.k.Close(pipe.W)
	text := fmt.Sprintf("%s, %d slots", sizeText(pipe.Size), pipe.Size/os.Getpagesize())
	if pipe.Size < p.pipeBytes {
		return "", fmt.Errorf("%s where %s was asked for", text, sizeText(p.pipeBytes))
	}
	if n := PipeLimit(int64(p.pipeBytes)); n >= 0 {
		return fmt.Sprintf("%s, at most %d for this user", text, n), nil
	}
	return text + ", no quota for this user", nil
}

// watched is a pair whose server's end is in an epoll set as workers have it.
type watched struct {
	pair
	epfd int
}

func (p *prober) watched() (watched, error) {
	c, err := p.pair(ListenOptions{})
	if err != nil {
		return watched{}, err
	}
	epfd, errno := p.k.EpollCreate()
	if errno != 0 {
		c.close()
		return watched{}, fmt.Errorf("epoll_create1: %w", errno)
	}
	w := watched{c, epfd}
	if errno := p.k.EpollAdd(epfd, c.server, EPOLLIN|EPOLLOUT|EPOLLPRI|EPOLLRDHUP|EPOLLET, 1); errno != 0 {
		w.close()
		return watched{}, fmt.Errorf("epoll_ctl: %w", errno)
	}
	return w, nil
}

func (w *watched) close() {
	w.k.Close(w.epfd)
	w.pair.close()
}

// event waits for an event that has all of want.
func (w *watched) event(want uint32) bool {
	var events [1]Event
	for end := time.Now().Add(patience); time.Now().Before(end); {
		n, errno := w.k.EpollWait(w.epfd, events[:], int(patience.Milliseconds()))
		if errno != 0 {
			return false
		}
		if n > 0 && events[0].Events&want == want {
			return true
		}
	}
	return false
}

// edges looks for an event at each arrival, also at the second: sockets that another program has put into a BPF map have
// been seen to lose them.
func (p *prober) edges() (string, error) {
	w, err := p.watched()
	if err != nil {
		return "", err
	}
	defer w.close()
	for i := range 2 {
		if err := w.send("x", 0); err != nil {
			return "", err
		}
		if !w.event(EPOLLIN) {
			return "", fmt.Errorf("no event for arrival %d", i+1)
		}
		if err := w.expect(w.server, "x", 0); err != nil {
			return "", err
		}
	}
	return "one for each arrival", nil
}

// hangUp looks for the flag that tells a FIN from bytes: without it a half does not know to read on to the end at once.
func (p *prober) hangUp() (string, error) {
	w, err := p.watched()
	if err != nil {
		return "", err
	}
	defer w.close()
	p.k.ShutdownWrite(w.client)
	if !w.event(EPOLLIN | EPOLLRDHUP) {
		return "", errors.New("no event for the end of a stream")
	}
	return "", nil
}

// urgent passes an urgent byte: its event, its mark, and the byte itself. The recv before the mark stops there, though more
// has arrived.
func (p *prober) urgent() (string, error) {
	w, err := p.watched()
	if err != nil {
		return "", err
	}
	defer w.close()
	if err := errors.Join(w.send("a", 0), w.send("!", MSG_OOB)); err != nil {
		return "", err
	}
	if !w.event(EPOLLPRI) {
		return "", errors.New("no EPOLLPRI for MSG_OOB")
	}
	if err := w.expect(w.server, "a", 0); err != nil {
		return "", fmt.Errorf("before the mark: %w", err)
	}
	if at, errno := p.k.AtMark(w.server); !at || errno != 0 {
		return "", fmt.Errorf("SIOCATMARK says %t (%s) at the mark", at, Name(errno))
	}
	if err := w.expect(w.server, "!", MSG_OOB); err != nil {
		return "", fmt.Errorf("at the mark: %w", err)
	}
	return "MSG_OOB, EPOLLPRI, SIOCATMARK", nil
}

// reset closes one end as every end that we cause is closed, and looks at how the other sees it: ECONNRESET, or as a FIN,
// which would make a cut stream look complete.
func (p *prober) reset() (string, error) {
	c, err := p.pair(ListenOptions{})
	if err != nil {
		return "", err
	}
	defer c.close()
	p.k.Reset(c.server)
	c.server = -1
	ready(c.client, unix.POLLIN)
	if n, errno := p.k.Recv(c.client, make([]byte, 1), 0); errno != ECONNRESET {
		return "", unexpected("the peer's recv", n, errno)
	}
	return "", nil
}

// unsent asks for what a peer that reads nothing has not taken (SIOCOUTQ: sent and not acknowledged, or not sent yet).
func (p *prober) unsent() (string, error) {
	c, err := p.pair(ListenOptions{})
	if err != nil {
		return "", err
	}
	defer c.close()
	var n int
	var errno Errno
	if !within(func() bool {
		err = c.fill()
		n, errno = p.k.Unsent(c.client)
		return err != nil || n > 0 && errno == 0
	}) {
		return "", unexpected("SIOCOUTQ of a full socket", n, errno)
	}
	return "", err
}
