package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Real is Linux.
type Real struct{}

var _ Kernel = Real{}

// rawWaitMs is the longest wait that skips the scheduler. A thread inside RawSyscall keeps its P; after a Syscall that
// lasts, sysmon takes it away and has to be woken for it (measured: 3 % of the CPU per message, 8 % per short session).
// The price is that a stop-the-world must interrupt the wait by a signal, an empty turn, or sit it out.
const rawWaitMs = 5

// NowNs implements Kernel.
func (Real) NowNs() int64 {
	return monotonic()
}

// EpollCreate implements Kernel.
func (Real) EpollCreate() (int, Errno) {
	fd, _, e := unix.RawSyscall(unix.SYS_EPOLL_CREATE1, unix.EPOLL_CLOEXEC, 0, 0)
	return int(fd), e
}

// EpollAdd implements Kernel.
func (Real) EpollAdd(epfd, fd int, events uint32, token uint64) Errno {
	ev := Event{Events: events}
	ev.SetToken(token)
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

// EpollDel implements Kernel.
func (Real) EpollDel(epfd, fd int) Errno {
	var ev Event // kernels before 2.6.9 wanted a pointer; it costs nothing
	_, _, e := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(epfd), unix.EPOLL_CTL_DEL, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return e
}

// EpollWait implements Kernel. A signal (the Go runtime preempts with them) is an empty turn.
func (Real) EpollWait(epfd int, events []Event, timeoutMs int) (int, Errno) {
	var n uintptr
	var e Errno
	p := uintptr(unsafe.Pointer(unsafe.SliceData(events)))
	if timeoutMs >= 0 && timeoutMs <= rawWaitMs {
		n, _, e = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), p, uintptr(len(events)), uintptr(timeoutMs), 0, 0)
	} else {
		n, _, e = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), p, uintptr(len(events)), uintptr(timeoutMs), 0, 0)
	}
	if e == EINTR {
		return 0, 0
	}
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// Nap implements Kernel. The thread's timer slack, 50 us by default, comes on top (prctl(2), PR_SET_TIMERSLACK).
func (Real) Nap(us int) {
	t := unix.NsecToTimespec(int64(us) * 1000)
	_, _, _ = unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
}

// EventFD implements Kernel.
func (Real) EventFD() (int, Errno) {
	fd, _, e := unix.RawSyscall(unix.SYS_EVENTFD2, 0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK, 0)
	return int(fd), e
}

// Wake implements Kernel. EAGAIN (the counter is at its end) means that a wake-up is due already.
func (Real) Wake(fd int) {
	one := uint64(1)
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&one)), 8)
}

// ClearWake implements Kernel.
func (Real) ClearWake(fd int) {
	var n uint64
	_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&n)), 8)
}

// Accept implements Kernel.
func (Real) Accept(fd int) (int, Addr, Errno) {
	var raw [sockaddrMax]byte
	for {
		n := uint32(len(raw))
		conn, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&raw)),
			uintptr(unsafe.Pointer(&n)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if e == EINTR {
			continue
		}
		if e != 0 {
			return -1, Addr{}, e
		}
		return int(conn), decode(&raw), 0
	}
}

// Socket implements Kernel.
func (Real) Socket(family int) (int, Errno) {
	fd, _, e := unix.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if e != 0 {
		return -1, e
	}
	return int(fd), 0
}

// Bind implements Kernel.
func (Real) Bind(fd int, from *Sockaddr, port uint16) Errno {
	sa := *from
	sa.setPort(port)
	return rawBind(fd, &sa)
}

// Connect implements Kernel. EINTR is not retried: the connect goes on by itself, as after EINPROGRESS.
func (Real) Connect(fd int, to *Sockaddr) Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&to.raw)), uintptr(to.len))
	if e == EINTR {
		return EINPROGRESS
	}
	return e
}

// Recv implements Kernel.
func (Real) Recv(fd int, p []byte, flags int) (int, Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(flags), 0, 0)
		if e == EINTR {
			continue
		}
		return int(n), e
	}
}

// Send implements Kernel.
func (Real) Send(fd int, p []byte, flags int) (int, Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), uintptr(flags|unix.MSG_NOSIGNAL), 0, 0)
		if e == EINTR {
			continue
		}
		return int(n), e
	}
}

// Pipe implements Kernel. A size the user's quota (fs.pipe-user-pages-soft) or fs.pipe-max-size refuses is not
// an error: the result says what there is.
func (Real) Pipe(size int) (Pipe, Errno) {
	var fds [2]int32
	if _, _, e := unix.RawSyscall(unix.SYS_PIPE2, uintptr(unsafe.Pointer(&fds)), unix.O_CLOEXEC|unix.O_NONBLOCK, 0); e != 0 {
		return Pipe{}, e
	}
	p := Pipe{R: int(fds[0]), W: int(fds[1])}
	got, _, e := unix.RawSyscall(unix.SYS_FCNTL, uintptr(p.W), unix.F_SETPIPE_SZ, uintptr(size))
	if e != 0 {
		got, _, _ = unix.RawSyscall(unix.SYS_FCNTL, uintptr(p.W), unix.F_GETPIPE_SZ, 0)
	}
	p.Size = int(got)
	return p, 0
}

// Splice implements Kernel. SPLICE_F_MORE is never set: without more data behind it, it costs 208 ms a request.
func (Real) Splice(from, to, n int) (int, Errno) {
	for {
		moved, _, e := unix.RawSyscall6(unix.SYS_SPLICE, uintptr(from), 0, uintptr(to), 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if e == EINTR {
			continue
		}
		return int(moved), e
	}
}

// Unread implements Kernel.
func (Real) Unread(fd int) (int, Errno) { return ioctlInt(fd, unix.TIOCINQ) } // FIONREAD is its other name

// Unsent implements Kernel.
func (Real) Unsent(fd int) (int, Errno) { return ioctlInt(fd, unix.TIOCOUTQ) } // SIOCOUTQ is its other name

// AtMark implements Kernel.
func (Real) AtMark(fd int) (bool, Errno) {
	v, e := ioctlInt(fd, siocAtMark)
	return v != 0, e
}

// siocAtMark is SIOCATMARK of asm-generic/sockios.h, the same on amd64 and arm64.
const siocAtMark = 0x8905

func ioctlInt(fd int, request uintptr) (int, Errno) {
	var v int32
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&v)))
	return int(v), e
}

// ShutdownWrite implements Kernel.
func (Real) ShutdownWrite(fd int) Errno {
	_, _, e := unix.RawSyscall(unix.SYS_SHUTDOWN, uintptr(fd), unix.SHUT_WR, 0)
	return e
}

// Close implements Kernel. EINTR is not retried: on Linux the descriptor is gone all the same.
func (Real) Close(fd int) Errno {
	_, _, e := unix.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return e
}

// Reset implements Kernel. A linger time above 0 is never used: it blocks even a non-blocking close.
func (r Real) Reset(fd int) Errno {
	linger := unix.Linger{Onoff: 1}
	_, _, _ = unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)), unix.SizeofLinger, 0)
	return r.Close(fd)
}

// SockError implements Kernel.
func (Real) SockError(fd int) Errno {
	var v int32
	n := uint32(4)
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_ERROR, uintptr(unsafe.Pointer(&v)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return e
	}
	return Errno(v)
}

// SetOption implements Kernel.
func (Real) SetOption(fd, level, name, value int) Errno {
	v := int32(value)
	_, _, e := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(name), uintptr(unsafe.Pointer(&v)), 4, 0)
	return e
}

// LocalAddr implements Kernel.
func (Real) LocalAddr(fd int) (Addr, Errno) {
	var raw [sockaddrMax]byte
	n := uint32(len(raw))
	_, _, e := unix.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&raw)), uintptr(unsafe.Pointer(&n)))
	if e != 0 {
		return Addr{}, e
	}
	return decode(&raw), 0
}

// TCPInfo implements Kernel.
func (Real) TCPInfo(fd int) (TCPInfo, Errno) {
	var ti unix.TCPInfo
	n := uint32(unsafe.Sizeof(ti))
	_, _, e := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&ti)), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return TCPInfo{}, e
	}
	return TCPInfo{
		State: ti.State, Probes: ti.Probes, RTTUs: ti.Rtt, RTTVarUs: ti.Rttvar, Cwnd: ti.Snd_cwnd, MSS: ti.Snd_mss,
		Retransmits: ti.Total_retrans, Unacked: ti.Unacked, NotSent: ti.Notsent_bytes,
	}, 0
}
