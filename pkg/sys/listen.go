package sys

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// ListenOptions say how a listening socket is made. Keepalive and user timeout are inherited by accepted
// sockets (so is TCP_NODELAY, which is always set): no system call per session. Times in seconds, but
// UserTimeoutMs.
type ListenOptions struct {
	Backlog           int  // 0: net.core.somaxconn
	ReusePort         bool // one of several listeners on this address
	First             bool // the first of them: nobody else may serve the address
	DeferAccept       bool
	FreeBind          bool
	Interface         string
	KeepaliveIdle     int // 0: no keepalive
	KeepaliveInterval int
	KeepaliveProbes   int
	UserTimeoutMs     int
	NotSentLowat      int // bytes, 0: the kernel's default
}

// ListenTCP opens a non-blocking listening socket; IPv6 sockets take IPv6 only (IPV6_V6ONLY).
// Errors are Errno wrapped with the call that failed ("bind: address already in use").
func ListenTCP(addr netip.AddrPort, o ListenOptions) (fd int, err error) {
	if o.ReusePort && o.First {
		return listenFirst(addr, o)
	}
	return listenOnce(addr, o)
}

// listenFirst takes the address alone, and lets others of this user join from then on: a listener without SO_REUSEPORT
// suffers no other one, and it may set the option later (reuseport_add_sock in net/core/sock_reuseport.c has this case).
// So of several processes that start in the same instant at most one gets the address. Two may turn each other away in
// listen, where each sees the other's socket: then chance decides.
func listenFirst(addr netip.AddrPort, o ListenOptions) (fd int, err error) {
	o.ReusePort = false
	for range firstTries {
		fd, err = listenOnce(addr, o)
		if !errors.As(err, new(*listenError)) || !errors.Is(err, EADDRINUSE) {
			break
		}
		time.Sleep(time.Duration(rand.IntN(int(firstPause))))
	}
	if err != nil {
		return -1, err
	}
	if e := (Real{}).SetOption(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); e != 0 {
		Real{}.Close(fd)
		return -1, fmt.Errorf("set SO_REUSEPORT: %w", e)
	}
	return fd, nil
}

const (
	firstTries = 10
	firstPause = 20 * time.Millisecond
)

func listenOnce(addr netip.AddrPort, o ListenOptions) (fd int, err error) {
	sa := SockaddrInet(addr)
	fd, errno := Real{}.Socket(sa.Family())
	if errno != 0 {
		return -1, fmt.Errorf("socket: %w", errno)
	}
	if err := listenTCP(fd, &sa, o); err != nil {
		Real{}.Close(fd)
		return -1, err
	}
	return fd, nil
}

func listenTCP(fd int, sa *Sockaddr, o ListenOptions) error {
	if err := bindAs(fd, sa, o); err != nil {
		return err
	}
	return listen(fd, o.Backlog)
}

// bindAs sets options and binds.
func bindAs(fd int, sa *Sockaddr, o ListenOptions) error {
	for _, opt := range tcpOptions(sa.Family(), o) {
		if opt.value == 0 {
			continue
		}
		if e := (Real{}).SetOption(fd, opt.level, opt.name, opt.value); e != 0 {
			return fmt.Errorf("set %s: %w", opt.what, e)
		}
	}
	if o.Interface != "" {
		if err := unix.BindToDevice(fd, o.Interface); err != nil {
			return fmt.Errorf("bind to interface %s: %w", o.Interface, err)
		}
	}
	return bind(fd, sa)
}

type option struct {
	what               string
	level, name, value int
}

func tcpOptions(family int, o ListenOptions) []option {
	flag := func(on bool) int {
		if on {
			return 1
		}
		return 0
	}
	return []option{
		{"SO_REUSEADDR", unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{"SO_REUSEPORT", unix.SOL_SOCKET, unix.SO_REUSEPORT, flag(o.ReusePort)},
		{"IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, flag(family == unix.AF_INET6)},
		{"IP_FREEBIND", unix.IPPROTO_IP, unix.IP_FREEBIND, flag(o.FreeBind)},
		{"TCP_NODELAY", unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{"TCP_DEFER_ACCEPT", unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, flag(o.DeferAccept)},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, flag(o.KeepaliveIdle > 0)},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, o.KeepaliveIdle},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, o.KeepaliveInterval},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, o.KeepaliveProbes},
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, o.UserTimeoutMs},
		{"TCP_NOTSENT_LOWAT", unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, o.NotSentLowat},
	}
}

func bind(fd int, sa *Sockaddr) error {
	if e := rawBind(fd, sa); e != 0 {
		return fmt.Errorf("bind: %w", e)
	}
	return nil
}

// maxBacklog lets the kernel clamp to net.core.somaxconn.
const maxBacklog = 1 << 20

func listen(fd, backlog int) error {
	if backlog == 0 {
		backlog = maxBacklog
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return &listenError{err}
	}
	return nil
}

// listenError is an errno of listen: for a socket that was bound alone EADDRINUSE means that another one, bound at the same
// time, is about to listen too.
type listenError struct{ errno error }

func (e *listenError) Error() string { return "listen: " + e.errno.Error() }
func (e *listenError) Unwrap() error { return e.errno }

// ListenUnix opens a listening unix socket. A socket file that nobody serves any more is removed first; one
// that answers is EADDRINUSE.
func ListenUnix(path string, backlog int) (fd int, err error) {
	sa, err := SockaddrUnix(path)
	if err != nil {
		return -1, err
	}
	fd, errno := Real{}.Socket(unix.AF_UNIX)
	if errno != 0 {
		return -1, fmt.Errorf("socket: %w", errno)
	}
	err = bind(fd, &sa)
	if err != nil && removeStale(path, &sa) {
		err = bind(fd, &sa)
	}
	if err == nil {
		err = listen(fd, backlog)
	}
	if err != nil {
		Real{}.Close(fd)
		return -1, err
	}
	return fd, nil
}

// removeStale unlinks the socket file at path if connecting to it is refused: its owner is gone. Connecting to a plain
// file is refused too, and that is somebody's file.
func removeStale(path string, sa *Sockaddr) bool {
	var st unix.Stat_t
	if unix.Lstat(path, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return false
	}
	fd, errno := Real{}.Socket(unix.AF_UNIX)
	if errno != 0 {
		return false
	}
	defer Real{}.Close(fd)
	return Real{}.Connect(fd, sa) == unix.ECONNREFUSED && unix.Unlink(path) == nil
}

// ProbeBind tells whether addr could be bound, on o.Interface if that is set, without SO_REUSEPORT, that is: whether
// nobody serves it. EADDRINUSE means that somebody does.
func ProbeBind(addr netip.AddrPort, o ListenOptions) error {
	sa := SockaddrInet(addr)
	fd, errno := Real{}.Socket(sa.Family())
	if errno != 0 {
		return fmt.Errorf("socket: %w", errno)
	}
	defer Real{}.Close(fd)
	return bindAs(fd, &sa, ListenOptions{FreeBind: o.FreeBind, Interface: o.Interface})
}

// ProbeSource tells whether connections may come from addr: whether this host has it.
func ProbeSource(addr netip.Addr) error {
	from := SockaddrInet(netip.AddrPortFrom(addr, 0))
	fd, errno := Real{}.Socket(from.Family())
	if errno != 0 {
		return fmt.Errorf("socket: %w", errno)
	}
	defer Real{}.Close(fd)
	return bind(fd, &from)
}

// ListenerDrops is how many connections the kernel dropped at a listener (the last word of SO_MEMINFO).
func ListenerDrops(fd int) (uint32, error) {
	var info [9]uint32 // SK_MEMINFO_VARS; SK_MEMINFO_DROPS is the ninth
	if e := getMemInfo(fd, &info); e != 0 {
		return 0, fmt.Errorf("getsockopt SO_MEMINFO: %w", e)
	}
	return info[8], nil
}

// AcceptQueue is how many connections wait to be accepted, and the room there is (tcp_info's unacked and
// sacked mean this on a listening socket).
func AcceptQueue(fd int) (waiting, room int, err error) {
	ti, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0, fmt.Errorf("getsockopt TCP_INFO: %w", err)
	}
	return int(ti.Unacked), int(ti.Sacked), nil
}
