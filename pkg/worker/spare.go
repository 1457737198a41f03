package worker

import "github.com/longsplice/longsplice/pkg/sys"

// spare is a socket that a worker keeps in hand: whoever was accepted with the last descriptor can still be connected
// to a backend. While it is gone nobody is accepted. It is a socket, and no other descriptor to be closed for one, so
// that no other thread can take the number in between.
type spare struct {
	fd     int // -1: gone
	family int // of the socket that was missing last
}

// refill tells whether there is a spare socket, and makes one if it can.
func (w *Worker) refill() bool {
	if w.spare.fd < 0 {
		w.spare.fd, _ = w.k.Socket(w.spare.family)
	}
	return w.spare.fd >= 0
}

// socket makes a socket to dial with; where the kernel has none, the spare one is it.
func (w *Worker) socket(family int) (int, sys.Errno) {
	fd, errno := w.k.Socket(family)
	if !shortage(errno) || w.spare.fd < 0 {
		return fd, errno
	}
	fd, w.spare.fd = w.spare.fd, -1
	if family == w.spare.family {
		return fd, 0
	}
	w.spare.family = family
	w.k.Close(fd)
	return w.k.Socket(family)
}

// dropSpare closes the spare socket, at the end of a worker.
func (w *Worker) dropSpare() {
	if w.spare.fd >= 0 {
		w.k.Close(w.spare.fd)
	}
}

// shortage tells whether a call failed for want of descriptors or memory, and not for what it was asked.
func shortage(errno sys.Errno) bool {
	switch errno {
	case sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM:
		return true
	}
	return false
}
