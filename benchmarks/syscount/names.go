package syscount

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// name is the call's name, for the calls that balancers make; others go by their numbers.
func name(nr int) string {
	if s, known := names[nr]; known {
		return s
	}
	if s, known := ownNames[nr]; known {
		return s
	}
	return fmt.Sprintf("syscall %d", nr)
}

var names = map[int]string{
	unix.SYS_ACCEPT: "accept", unix.SYS_ACCEPT4: "accept4", unix.SYS_BIND: "bind", unix.SYS_BRK: "brk",
	unix.SYS_CLOCK_GETTIME: "clock_gettime", unix.SYS_CLOCK_NANOSLEEP: "clock_nanosleep", unix.SYS_CLONE: "clone",
	unix.SYS_CLOSE: "close", unix.SYS_CONNECT: "connect", unix.SYS_DUP: "dup", unix.SYS_EPOLL_CTL: "epoll_ctl",
	unix.SYS_EPOLL_PWAIT: "epoll_pwait", unix.SYS_EPOLL_PWAIT2: "epoll_pwait2", unix.SYS_EVENTFD2: "eventfd2",
	unix.SYS_FCNTL: "fcntl", unix.SYS_FUTEX: "futex", unix.SYS_GETPEERNAME: "getpeername", unix.SYS_GETPID: "getpid",
	unix.SYS_GETPPID: "getppid", unix.SYS_GETRANDOM: "getrandom", unix.SYS_GETSOCKNAME: "getsockname", unix.SYS_GETSOCKOPT: "getsockopt",
	unix.SYS_GETTID: "gettid", unix.SYS_IOCTL: "ioctl", unix.SYS_IO_URING_ENTER: "io_uring_enter", unix.SYS_LISTEN: "listen",
	unix.SYS_MADVISE: "madvise", unix.SYS_MMAP: "mmap", unix.SYS_MPROTECT: "mprotect", unix.SYS_MUNMAP: "munmap",
	unix.SYS_NANOSLEEP: "nanosleep", unix.SYS_OPENAT: "openat", unix.SYS_PIPE2: "pipe2", unix.SYS_PPOLL: "ppoll",
	unix.SYS_PREAD64: "pread64", unix.SYS_PSELECT6: "pselect6", unix.SYS_READ: "read", unix.SYS_READV: "readv",
	unix.SYS_RECVFROM: "recvfrom", unix.SYS_RECVMMSG: "recvmmsg", unix.SYS_RECVMSG: "recvmsg",
	unix.SYS_RT_SIGACTION: "rt_sigaction", unix.SYS_RT_SIGPROCMASK: "rt_sigprocmask", unix.SYS_RT_SIGRETURN: "rt_sigreturn",
	unix.SYS_SCHED_YIELD: "sched_yield", unix.SYS_SENDFILE: "sendfile", unix.SYS_SENDMMSG: "sendmmsg", unix.SYS_SENDMSG: "sendmsg",
	unix.SYS_SENDTO: "sendto", unix.SYS_SETSOCKOPT: "setsockopt", unix.SYS_SHUTDOWN: "shutdown", unix.SYS_SOCKET: "socket",
	unix.SYS_SOCKETPAIR: "socketpair", unix.SYS_SPLICE: "splice", unix.SYS_TGKILL: "tgkill", unix.SYS_TIMERFD_SETTIME: "timerfd_settime",
	unix.SYS_TIMER_SETTIME: "timer_settime", unix.SYS_WRITE: "write", unix.SYS_WRITEV: "writev",
}
