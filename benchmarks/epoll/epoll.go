// Package epoll is the event loop under the benchmarks' load generator and backends: one loop per process, run by one
// goroutine, nothing in it is safe for use by another. It has to be cheaper than the balancers it measures, so
// message sessions are registered once, edge-triggered, and sockets are used through raw system calls.
package epoll

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// Both registers a socket once and for good; the kernel reports each change of its state once.
const Both = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET

// Hangup are the events after which no new edge may come: a handler reads on until recv says 0 or an error.
const Hangup = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

// Handler is told that something happened to its fd. An edge-triggered one goes on until the kernel says EAGAIN or a
// short count shows that there is no more.
type Handler interface {
	Ready(events uint32)
}

// Loop maps file descriptors to handlers.
type Loop struct {
	epfd     int
	handlers []Handler // index = fd
	events   [256]unix.EpollEvent
}

// New makes an empty loop.
func New() (*Loop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll set: %w", err)
	}
	return &Loop{epfd: epfd}, nil
}

// Add registers fd under h; events are EPOLL* bits, usually Both.
func (l *Loop) Add(fd int, events uint32, h Handler) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return fmt.Errorf("add fd %d to epoll set: %w", fd, err)
	}
	for len(l.handlers) <= fd {
		l.handlers = append(l.handlers, nil)
	}
	l.handlers[fd] = h
	return nil
}

// Want changes which events fd is told of: for bulk streams, which are level-triggered so that each moves one chunk
// per turn and none starves the others.
func (l *Loop) Want(fd int, events uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epfd, unix.EPOLL_CTL_MOD, fd, &ev); err != nil {
		return fmt.Errorf("change events of fd %d: %w", fd, err)
	}
	return nil
}

// Drop forgets fd and closes it. It may be called inside Ready: epoll reports an fd once per batch, and a new socket
// that gets the same number was not there when the batch was read.
func (l *Loop) Drop(fd int) {
	l.handlers[fd] = nil
	unix.Close(fd)
}

// Turn waits for events, at most for the given time (negative: for ever; rounded up to a millisecond), and hands them
// out. It returns after one batch, and without an error when a signal interrupted the wait.
func (l *Loop) Turn(wait time.Duration) error {
	ms := -1
	if wait >= 0 {
		ms = int((wait + time.Millisecond - 1) / time.Millisecond)
	}
	n, err := unix.EpollWait(l.epfd, l.events[:], ms)
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for events: %w", err)
	}
	for i := range l.events[:n] {
		ev := &l.events[i]
		if h := l.handlers[ev.Fd]; h != nil {
			h.Ready(ev.Events)
		}
	}
	return nil
}

// Close closes the loop and every fd still in it.
func (l *Loop) Close() {
	for fd, h := range l.handlers {
		if h != nil {
			l.Drop(fd)
		}
	}
	unix.Close(l.epfd)
}
