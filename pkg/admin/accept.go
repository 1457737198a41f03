package admin

import (
	"errors"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reserveFDs is how many descriptors a door keeps so that it can take connections when the process has none left.
const reserveFDs = 8

// listener bounds the connections of a door, and accepts also while descriptors are exhausted: it then gives one of its
// reserve away and takes it back at once as the new connection. Over the bound, connections wait in the kernel's queue.
type listener struct {
	net.Listener
	room    chan struct{} // one token per connection
	closed  chan struct{}
	once    sync.Once
	watched *os.File // the same socket under another number, to wait for connections without accepting
	reserve reserve
}

// newListener takes l over; it has to be a listener with a descriptor, as TCP and unix ones are. conns is how many
// connections may be open at once.
func newListener(l net.Listener, conns int) (*listener, error) {
	filer, ok := l.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, errors.New("the listener has no descriptor")
	}
	f, err := filer.File()
	if err != nil {
		return nil, err
	}
	b := &listener{Listener: l, watched: f, room: make(chan struct{}, conns), closed: make(chan struct{})}
	b.reserve.fill()
	return b, nil
}

// Accept waits for room, then for a connection.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case l.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.take()
	if err != nil {
		<-l.room
		return nil, err
	}
	return &conn{Conn: c, leave: sync.OnceFunc(func() {
		<-l.room
		l.reserve.fill()
	})}, nil
}

// take accepts. accept4 takes a descriptor before it looks for a connection and says EMFILE also if none is waiting, so
// the reserve is touched only once one is there.
func (l *listener) take() (net.Conn, error) {
	if err := l.wait(); err != nil {
		return nil, err
	}
	for {
		c, err := l.Listener.Accept()
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) || !l.reserve.give() {
			return c, err
		}
	}
}

// wait returns when a connection is in the queue, or the listener is closed.
func (l *listener) wait() error {
	raw, err := l.watched.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(p, 0)
		if err != nil && err != unix.EINTR {
			failed = err
		}
		return n > 0 || failed != nil
	})
	if errors.Is(err, os.ErrClosed) {
		return net.ErrClosed
	}
	return errors.Join(err, failed)
}

// Close frees the reserve and wakes Accept; it may be called more than once.
func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.watched.Close()
		l.reserve.empty()
	})
	return l.Listener.Close()
}

// conn gives its place back when it is closed.
type conn struct {
	net.Conn
	leave func()
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// reserve is a set of descriptors that are open for nothing but their number.
type reserve struct {
	mu   sync.Mutex
	held []int
	over bool
}

// fill takes descriptors until the reserve is whole or there are none to be had.
func (r *reserve) fill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.over && len(r.held) < reserveFDs {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC) // the cheapest descriptor there is
		if err != nil {
			return
		}
		r.held = append(r.held, fd)
	}
}

// give frees one descriptor; false: there was none left.
func (r *reserve) give() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.held) == 0 {
		return false
	}
	last := len(r.held) - 1
	unix.Close(r.held[last])
	r.held = r.held[:last]
	return true
}

// empty frees all, for good.
func (r *reserve) empty() {
	for r.give() {
	}
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
}
