package syscount

import "golang.org/x/sys/unix"

// ownNames are the calls that newer architectures no longer have.
var ownNames = map[int]string{
	unix.SYS_EPOLL_WAIT: "epoll_wait", unix.SYS_OPEN: "open", unix.SYS_POLL: "poll", unix.SYS_SELECT: "select",
	unix.SYS_PIPE: "pipe", unix.SYS_STAT: "stat", unix.SYS_LSTAT: "lstat", unix.SYS_ACCESS: "access",
}
