package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

type kind uint8

const (
	closed kind = iota
	reserved
	isSocket
	isListener
	isPipeR
	isPipeW
	isEvent
	isEpoll
)

// file is what a descriptor stands for, and its place in an epoll set.
type file struct {
	kind kind
	sock *socket
	lis  *listener
	pipe *pipe
	ep   *epollSet

	count  uint64 // of an eventfd
	epfd   int    // the epoll set it is registered with, 0: none
	events uint32
	token  uint64
	queued bool // on the ready list
}

// alloc takes the lowest free descriptor, as Linux does; -1: the limit is reached (EMFILE).
func (k *Kernel) alloc(f file) int {
	if k.open >= k.FDLimit-firstFD {
		return -1
	}
	k.open++
	for fd := k.lowest; fd < len(k.files); fd++ {
		if k.files[fd].kind == closed {
			k.files[fd] = f
			k.lowest = fd + 1
			return fd
		}
	}
	k.files = append(k.files, f)
	k.lowest = len(k.files)
	return len(k.files) - 1
}

// release frees a descriptor. The file leaves its epoll set and an event waiting for it is gone
// (eventpoll_release_file): nothing here is ever dup'ed.
func (k *Kernel) release(fd int) {
	k.unregister(fd)
	k.files[fd] = file{}
	k.lowest = min(k.lowest, fd)
	k.open--
	for i := 0; i < len(k.options); {
		if k.options[i].fd != fd {
			i++
			continue
		}
		k.options[i] = k.options[len(k.options)-1]
		k.options = k.options[:len(k.options)-1]
	}
}

// get is the file behind fd; using a closed one is a violation.
func (k *Kernel) get(fd int, call string) *file {
	if k.fault(k.Faults.Meanwhile) {
		k.Step()
	}
	if fd >= firstFD && fd < len(k.files) && k.files[fd].kind != closed {
		return &k.files[fd]
	}
	k.violate("EBADF: %s on closed fd %d", call, fd)
	return nil
}

// socket is the socket behind fd, or ENOTSOCK or EBADF, both violations.
func (k *Kernel) socket(fd int, call string) (*socket, sys.Errno) {
	f := k.get(fd, call)
	if f == nil {
		return nil, sys.EBADF
	}
	if f.kind != isSocket {
		k.violate("ENOTSOCK: %s on fd %d", call, fd)
		return nil, sys.EINVAL
	}
	return f.sock, 0
}

// LeakedFDs lists the descriptors that are still open, listeners aside.
func (k *Kernel) LeakedFDs() []int {
	var fds []int
	for fd := range k.files {
		if kd := k.files[fd].kind; kd != closed && kd != reserved && kd != isListener {
			fds = append(fds, fd)
		}
	}
	return fds
}

// OpenFDs is how many descriptors are open.
func (k *Kernel) OpenFDs() int { return k.open }

type option struct{ fd, level, name, value int }

// Option tells what SetOption last set on an open descriptor.
func (k *Kernel) Option(fd, level, name int) (value int, ok bool) {
	for i := len(k.options) - 1; i >= 0; i-- {
		if o := &k.options[i]; o.fd == fd && o.level == level && o.name == name {
			return o.value, true
		}
	}
	return 0, false
}
