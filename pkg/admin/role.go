package admin

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// role is what an endpoint asks of its caller.
type role uint8

const (
	roleMetrics role = iota // anybody who reaches the door
	roleRead                // loopback, the token or the socket
	roleClients             // shows client addresses: the token or the socket
	roleAdmin               // changes or inspects the process: the socket
)

// doorKind is where a request came in.
type doorKind uint8

const (
	doorSocket doorKind = iota
	doorLoopback
	doorRemote
)

// door is one listening socket with its own bounds.
type door struct {
	kind     doorKind
	group    int            // doorSocket: whose members may enter
	address  netip.AddrPort // else
	listener *listener
	server   *http.Server
	streams  chan struct{} // one token per open stream
}

// refusal tells whether a caller at d may do what need asks; nil: it may. held says that the request carries the token,
// configured that there is one.
func (d *door) refusal(need role, held, configured bool) *problem {
	if d.kind == doorSocket || need == roleMetrics {
		return nil // the socket's callers were looked at when they came in
	}
	switch {
	case need == roleAdmin:
		return &problem{http.StatusForbidden, "socket_only", "this is not served over TCP; use the admin socket", nil}
	case held, need == roleRead && d.kind == doorLoopback:
		return nil
	case !configured:
		return &problem{
			http.StatusForbidden, "token_required",
			"this shows client addresses; use the admin socket, or set process.http_token_file and send the token", nil,
		}
	}
	return &problem{http.StatusUnauthorized, "token_required", "send the token of process.http_token_file: Authorization: Bearer TOKEN", nil}
}

// peer is the process at the other end of a unix socket.
type peer struct {
	uid, gid, pid int
	groups        []uint32
	known         bool
}

// mayEnter tells whether p may use the socket: root, our own user, a member of the group. The file's mode says the same;
// this holds also if somebody has changed the mode.
func (p peer) mayEnter(group int) bool {
	if !p.known {
		return false
	}
	if p.uid == 0 || p.uid == os.Geteuid() {
		return true
	}
	return group != noGroup && (p.gid == group || slices.Contains(p.groups, uint32(group)))
}

type peerKey struct{}

// withPeer notes who connected; it is an http.Server's ConnContext.
func (d *door) withPeer(ctx context.Context, c net.Conn) context.Context {
	if d.kind != doorSocket {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, peerOf(c.(*conn).Conn.(*net.UnixConn)))
}

// peerOf asks the kernel: both answers are of the moment of connect and cannot be forged.
func peerOf(c *net.UnixConn) peer {
	cred, err := peerCredentials(c)
	if err != nil {
		return peer{}
	}
	return peer{uid: int(cred.Uid), gid: int(cred.Gid), pid: int(cred.Pid), groups: peerGroups(c), known: true}
}

func peerCredentials(c *net.UnixConn) (cred *unix.Ucred, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	if inner := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); inner != nil {
		return nil, inner
	}
	return cred, err
}

// peerGroups are the supplementary groups (SO_PEERGROUPS, Linux 4.13); nil if there are more than fit or the kernel has
// not the option: the caller then counts as a member of its first group alone.
func peerGroups(c *net.UnixConn) []uint32 {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	var groups [256]uint32
	size := uint32(unsafe.Sizeof(groups))
	var errno unix.Errno
	err = raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups)), uintptr(unsafe.Pointer(&size)), 0)
	})
	if err != nil || errno != 0 {
		return nil
	}
	return slices.Clone(groups[:size/4])
}
