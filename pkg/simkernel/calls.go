package simkernel

import (
	"math"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Recv implements sys.Kernel.
func (k *Kernel) Recv(fd int, p []byte, flags int) (n int, errno sys.Errno) {
	s, errno := k.socket(fd, "recv")
	if errno != 0 {
		return 0, errno
	}
	name := "recv"
	if flags&sys.MSG_OOB != 0 {
		name = "recv_oob"
		n, errno = s.recvUrgent(p)
	} else if flags&sys.MSG_PEEK != 0 {
		name = "recv_peek"
		n, errno = s.look(p)
	} else {
		n, errno = s.recv(p)
	}
	k.note(name, fd, len(p), n, errno)
	k.after(s)
	return n, errno
}

// Send implements sys.Kernel.
func (k *Kernel) Send(fd int, p []byte, flags int) (n int, errno sys.Errno) {
	s, errno := k.socket(fd, "send")
	if errno != 0 {
		return 0, errno
	}
	n, errno = k.sendOn(s, p, flags)
	name := "send"
	if flags&sys.MSG_OOB != 0 {
		name = "send_oob"
	}
	k.note(name, fd, len(p), n, errno)
	k.after(s)
	return n, errno
}

// sendOn sends under the ShortSend fault. Where memory pressure refuses everything and nothing is queued whose
// acknowledgement could tell about room, the kernel wakes at once (do_error in tcp_sendmsg_locked).
func (k *Kernel) sendOn(s *socket, p []byte, flags int) (n int, errno sys.Errno) {
	limit := math.MaxInt
	if k.fault(k.Faults.ShortSend) {
		limit = k.rng.IntN(len(p) + 1)
	}
	n, errno = s.send(p, flags, limit)
	if errno == sys.EAGAIN && s.out.unsent() == 0 {
		k.newSpace(s)
	}
	return n, errno
}

// Unread implements sys.Kernel; of a pipe it tells the bytes inside.
func (k *Kernel) Unread(fd int) (n int, errno sys.Errno) {
	f := k.get(fd, "FIONREAD")
	switch {
	case f == nil:
		return 0, sys.EBADF
	case f.kind == isSocket:
		n = f.sock.unread()
	case f.pipe != nil:
		n = f.pipe.held()
	default:
		return 0, sys.EINVAL
	}
	k.note("FIONREAD", fd, 0, n, 0)
	return n, 0
}

// Unsent implements sys.Kernel.
func (k *Kernel) Unsent(fd int) (n int, errno sys.Errno) {
	s, errno := k.socket(fd, "SIOCOUTQ")
	if errno == 0 {
		n = s.unsent()
	}
	k.note("SIOCOUTQ", fd, 0, n, errno)
	return n, errno
}

// AtMark implements sys.Kernel.
func (k *Kernel) AtMark(fd int) (at bool, errno sys.Errno) {
	s, errno := k.socket(fd, "SIOCATMARK")
	n := 0
	if errno == 0 && s.in.atMark() {
		at, n = true, 1
	}
	k.note("SIOCATMARK", fd, 0, n, errno)
	return at, errno
}

// ShutdownWrite implements sys.Kernel (inet_shutdown, which wakes the caller's own epoll set too).
func (k *Kernel) ShutdownWrite(fd int) sys.Errno {
	s, errno := k.socket(fd, "shutdown")
	if errno == 0 {
		errno = k.shutdownWrite(s)
	}
	k.note("shutdown", fd, 0, 0, errno)
	if errno == 0 {
		k.after(s)
	}
	return errno
}

func (k *Kernel) shutdownWrite(s *socket) (errno sys.Errno) {
	switch s.state {
	case unconnected, done:
		errno = sys.ENOTCONN
		s.shutdown |= sendShutdown
	case synSent: // tcp_disconnect
		s.state, s.conn.connecting, s.err = done, false, sys.ECONNRESET
	default:
		s.shutdown |= sendShutdown
		s.out.fin = true
	}
	k.wake(s, wakeAll)
	return errno
}

// Close implements sys.Kernel.
func (k *Kernel) Close(fd int) sys.Errno { return k.closeFD("close", fd, false) }

// Reset implements sys.Kernel.
func (k *Kernel) Reset(fd int) sys.Errno { return k.closeFD("reset", fd, true) }

func (k *Kernel) closeFD(name string, fd int, reset bool) sys.Errno {
	f := k.get(fd, name)
	k.note(name, fd, 0, 0, 0)
	if f == nil {
		return sys.EBADF
	}
	switch f.kind {
	case isSocket:
		s := f.sock
		k.release(fd)
		k.closeSocket(s, reset)
		k.after(s)
		return 0
	case isListener:
		for _, c := range f.lis.queue {
			k.closeSocket(&c.worker, true)
			k.after(&c.worker)
		}
	case isPipeR:
		f.pipe.reader = false
		k.freePipe(f.pipe)
	case isPipeW:
		f.pipe.writer = false
		k.freePipe(f.pipe)
	}
	k.release(fd)
	return 0
}

// closeSocket is __tcp_close: input that was not read makes a RST of it, and the urgent byte counts even if
// MSG_OOB took it, as long as the mark was not passed. With linger 0 a RST too (tcp_disconnect), but not
// where both FINs are sent and all data with them.
func (k *Kernel) closeSocket(s *socket, reset bool) {
	s.fd, s.orphan = -1, true
	reset = reset && !s.conn.unix()
	switch {
	case s.state != established:
		s.conn.connecting = false
		s.state = done
	case s.in.queued() > 0:
		k.abort(s)
	case reset && !(s.out.fin && s.in.finSeen && s.out.unsent() == 0):
		k.abort(s)
	default:
		s.shutdown = bothShutdown
		s.out.fin = true
	}
}

// SockError implements sys.Kernel.
func (k *Kernel) SockError(fd int) sys.Errno {
	s, errno := k.socket(fd, "SO_ERROR")
	if errno == 0 {
		errno = s.takeError()
	}
	k.note("SO_ERROR", fd, 0, 0, errno)
	return errno
}

// SetOption implements sys.Kernel; the value is only kept for Option.
func (k *Kernel) SetOption(fd, level, name, value int) sys.Errno {
	k.note("setsockopt", fd, name, value, 0)
	if k.get(fd, "setsockopt") == nil {
		return sys.EBADF
	}
	k.options = append(k.options, option{fd, level, name, value})
	return 0
}

// LocalAddr implements sys.Kernel.
func (k *Kernel) LocalAddr(fd int) (sys.Addr, sys.Errno) {
	k.note("getsockname", fd, 0, 0, 0)
	f := k.get(fd, "getsockname")
	switch {
	case f == nil:
		return sys.Addr{}, sys.EBADF
	case f.kind == isListener:
		return f.lis.addr, 0
	case f.kind == isSocket:
		return f.sock.local, 0
	}
	return sys.Addr{}, sys.EINVAL
}

// TCPInfo implements sys.Kernel; all zero.
func (k *Kernel) TCPInfo(fd int) (sys.TCPInfo, sys.Errno) {
	_, errno := k.socket(fd, "TCP_INFO")
	return sys.TCPInfo{}, errno
}
