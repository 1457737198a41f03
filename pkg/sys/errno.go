package sys

import "golang.org/x/sys/unix"

// Errno is the kernel's error number; 0 means success. It is an error too, for cold paths.
type Errno = unix.Errno

// Name is the kernel's spelling of an errno ("ECONNRESET"), "" for 0.
func Name(e Errno) string {
	if e == 0 {
		return ""
	}
	if n := unix.ErrnoName(e); n != "" {
		return n
	}
	return "errno"
}

// The constants of the kernel that the data path uses, so that nobody else imports x/sys/unix.
const (
	EAGAIN        = unix.EAGAIN
	EADDRNOTAVAIL = unix.EADDRNOTAVAIL
	EADDRINUSE    = unix.EADDRINUSE
	EACCES        = unix.EACCES
	EBADF         = unix.EBADF
	ECONNABORTED  = unix.ECONNABORTED
	ECONNREFUSED  = unix.ECONNREFUSED
	ECONNRESET    = unix.ECONNRESET
	EHOSTUNREACH  = unix.EHOSTUNREACH
	EINPROGRESS   = unix.EINPROGRESS
	EINTR         = unix.EINTR
	EINVAL        = unix.EINVAL
	EIO           = unix.EIO
	EMFILE        = unix.EMFILE
	ENETUNREACH   = unix.ENETUNREACH
	ENFILE        = unix.ENFILE
	ENOBUFS       = unix.ENOBUFS
	ENODEV        = unix.ENODEV
	ENOENT        = unix.ENOENT
	ENOMEM        = unix.ENOMEM
	ENOSPC        = unix.ENOSPC
	ENOSYS        = unix.ENOSYS
	ENOTCONN      = unix.ENOTCONN
	ENOTSOCK      = unix.ENOTSOCK
	EOPNOTSUPP    = unix.EOPNOTSUPP
	EPERM         = unix.EPERM
	EPIPE         = unix.EPIPE
	EPROTO        = unix.EPROTO
	ETIMEDOUT     = unix.ETIMEDOUT

	EPOLLIN    = uint32(unix.EPOLLIN)
	EPOLLOUT   = uint32(unix.EPOLLOUT)
	EPOLLPRI   = uint32(unix.EPOLLPRI)
	EPOLLERR   = uint32(unix.EPOLLERR)
	EPOLLHUP   = uint32(unix.EPOLLHUP)
	EPOLLRDHUP = uint32(unix.EPOLLRDHUP)
	EPOLLET    = uint32(unix.EPOLLET)

	AF_INET  = unix.AF_INET
	AF_INET6 = unix.AF_INET6
	AF_UNIX  = unix.AF_UNIX

	MSG_OOB  = unix.MSG_OOB
	MSG_PEEK = unix.MSG_PEEK

	SOL_SOCKET        = unix.SOL_SOCKET
	SO_REUSEADDR      = unix.SO_REUSEADDR
	SO_KEEPALIVE      = unix.SO_KEEPALIVE
	IPPROTO_IP        = unix.IPPROTO_IP
	IPPROTO_TCP       = unix.IPPROTO_TCP
	TCP_NODELAY       = unix.TCP_NODELAY
	TCP_KEEPIDLE      = unix.TCP_KEEPIDLE
	TCP_KEEPINTVL     = unix.TCP_KEEPINTVL
	TCP_KEEPCNT       = unix.TCP_KEEPCNT
	TCP_USER_TIMEOUT  = unix.TCP_USER_TIMEOUT
	TCP_NOTSENT_LOWAT = unix.TCP_NOTSENT_LOWAT

	IP_BIND_ADDRESS_NO_PORT = unix.IP_BIND_ADDRESS_NO_PORT // from Linux 4.2 on
	IP_LOCAL_PORT_RANGE     = ipLocalPortRange             // from Linux 6.3 on

	TCP_CLOSE = unix.BPF_TCP_CLOSE // tcp_info's state of a dead connection
)
