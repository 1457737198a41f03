package sys

// Kernel is what the data path asks of the operating system. [Real] asks Linux; a fake answers in simulations.
type Kernel interface {
	// NowNs reads CLOCK_MONOTONIC, in nanoseconds.
	NowNs() int64

	// EpollCreate makes an epoll set.
	EpollCreate() (fd int, errno Errno)
	// EpollAdd registers fd; token comes back with every event.
	EpollAdd(epfd, fd int, events uint32, token uint64) Errno
	// Nap sleeps, deaf to events. Short enough for the thread to keep its P.
	Nap(us int)
	// EpollDel removes fd from the set.
	EpollDel(epfd, fd int) Errno
	// EpollWait fills events and returns their number; 0 after timeoutMs (0 = at once, -1 = never) or on a signal.
	EpollWait(epfd int, events []Event, timeoutMs int) (n int, errno Errno)

	// EventFD makes a counter that wakes an epoll set.
	EventFD() (fd int, errno Errno)
	// Wake adds one to an eventfd; it never blocks and may be called from any thread.
	Wake(fd int)
	// ClearWake takes an eventfd back to zero.
	ClearWake(fd int)

	// Accept takes the next connection of a listener; the peer of a unix socket is the zero Addr.
	Accept(fd int) (conn int, peer Addr, errno Errno)
	// Socket makes a stream socket of AF_INET, AF_INET6 or AF_UNIX.
	Socket(family int) (fd int, errno Errno)
	// Bind gives a socket its own end before Connect: the address of from, and port; 0 = the kernel chooses one. EADDRNOTAVAIL
	// means that this host has no such address, EADDRINUSE that somebody has the port for himself.
	Bind(fd int, from *Sockaddr, port uint16) Errno
	// Connect starts connecting; EINPROGRESS means that EPOLLOUT will tell. EADDRNOTAVAIL means that no port
	// is left for this pair of addresses or, after a Bind with a port, that the connection exists already, be it in TIME_WAIT.
	Connect(fd int, to *Sockaddr) Errno
	// Recv reads at most len(p) bytes: 0 with no errno is the end of the stream.
	Recv(fd int, p []byte, flags int) (n int, errno Errno)
	// Send writes p without SIGPIPE; n may be short.
	Send(fd int, p []byte, flags int) (n int, errno Errno)
	// Pipe makes a pipe of at least size bytes if the kernel grants it; the real size is in the result.
	Pipe(size int) (p Pipe, errno Errno)
	// Splice moves at most n bytes between a pipe and a socket. 0 is NOT proof of an end (see pkg/relay).
	Splice(from, to, n int) (moved int, errno Errno)
	// Unread is how many bytes may be read before the end, or before the urgent mark (FIONREAD).
	Unread(fd int) (n int, errno Errno)
	// Unsent is how many bytes the peer has not acknowledged yet (SIOCOUTQ).
	Unsent(fd int) (n int, errno Errno)
	// AtMark tells whether the next byte is the urgent one (SIOCATMARK; it stays true until a Recv passes it).
	AtMark(fd int) (at bool, errno Errno)
	// ShutdownWrite sends FIN once everything written before is on its way.
	ShutdownWrite(fd int) Errno
	// Close closes fd; unread input makes it a RST.
	Close(fd int) Errno
	// Reset closes fd with a RST (SO_LINGER {1, 0}); what is still unsent is thrown away.
	Reset(fd int) Errno

	// SockError reads and CLEARS the pending error of a socket; never on a connected one (PITFALLS B2).
	SockError(fd int) Errno
	// SetOption sets an integer socket option.
	SetOption(fd, level, name, value int) Errno
	// LocalAddr is our end of a connection.
	LocalAddr(fd int) (a Addr, errno Errno)
	// TCPInfo asks the kernel's view of a connection.
	TCPInfo(fd int) (info TCPInfo, errno Errno)
}

// Pipe is a pipe's two ends and the size the kernel gave it, in bytes.
type Pipe struct {
	R, W int
	Size int
}

// TCPInfo is the part of struct tcp_info that listings and timers look at. Times in microseconds, sizes in bytes.
type TCPInfo struct {
	State       uint8
	Probes      uint8 // out and unanswered, of keepalive or a closed window
	RTTUs       uint32
	RTTVarUs    uint32
	Cwnd        uint32
	MSS         uint32
	Retransmits uint32
	Unacked     uint32
	NotSent     uint32
}
