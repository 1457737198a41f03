package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// probeTimeout is how long another process may take to answer on a socket that is there already.
const probeTimeout = time.Second

// noGroup is the group where admin_group is not set.
const noGroup = -1

// lookUpGroup returns noGroup for "".
func lookUpGroup(name string) (gid int, err error) {
	if name == "" {
		return noGroup, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return noGroup, fmt.Errorf("look up process.admin_group: %w; create it with: groupadd --system %s", err, name)
	}
	return strconv.Atoi(g.Gid)
}

// listenSocket opens the unix socket at path: 0600, or 0660 of group. Its folder is made (0755) if it is not there. A
// socket that is there and answers is another process's; one that nobody serves is replaced. Anything else at path, a
// symbolic link first of all, is left alone and an error.
func listenSocket(path string, group int) (net.Listener, error) {
	l, err := lockedListen(path, group)
	if err == nil {
		return l, nil
	}
	if served := (*balancer.ServedError)(nil); errors.As(err, &served) {
		return nil, err
	}
	return nil, fmt.Errorf("open admin socket %s: %w", path, err)
}

// lockedListen holds the folder's lock meanwhile: of two processes that start at once and find the same dead socket, the
// second must not take away what the first has just put there.
func lockedListen(path string, group int) (net.Listener, error) {
	folder, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	if err := unix.Flock(int(folder.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", folder.Name(), err)
	}
	if err := clearDead(path); err != nil {
		return nil, err
	}
	// A file made by bind has the mode of the socket's own inode (unix_bind in net/unix/af_unix.c): at no moment is it
	// open to others. bind never follows a symbolic link at path: it says EADDRINUSE.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if inner := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }); inner != nil {
			return inner
		}
		return err
	}}
	l, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	s := &socketListener{UnixListener: l.(*net.UnixListener), path: path}
	s.SetUnlinkOnClose(false)
	if err := s.claim(group); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// openFolder opens dir, made if missing. A folder where others may take files away is no place for the socket.
func openFolder(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		err = fmt.Errorf("anyone may replace files in %s (mode %#o); use a folder that only its owner writes to", dir, info.Mode().Perm())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// clearDead makes room at path if what is there is a socket that nobody serves.
func clearDead(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("it is a symbolic link, which is never followed; remove it, or set process.admin to where it points")
	case info.Mode()&fs.ModeSocket == 0:
		return errors.New("something that is not a socket is there; remove it, or set another process.admin")
	}
	c, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		defer c.Close()
		return &balancer.ServedError{What: "admin socket " + path, PID: serverPID(c.(*net.UnixConn))}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // EAGAIN: somebody listens and is too busy; EACCES: somebody else's
		return fmt.Errorf("ask who serves it: %w", err)
	}
	return os.Remove(path)
}

// serverPID is the process that called listen, 0 if the kernel does not say.
func serverPID(c *net.UnixConn) int {
	cred, err := peerCredentials(c)
	if err != nil {
		return 0
	}
	return int(cred.Pid)
}

// socketListener removes its file when it is closed, if it is still its own.
type socketListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// claim gives the file to group, and remembers which file it is.
func (s *socketListener) claim(group int) error {
	fd, err := unix.Open(s.path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("find the socket just made: %w", err)
	}
	f := os.NewFile(uintptr(fd), s.path)
	defer f.Close()
	if s.made, err = f.Stat(); err != nil {
		return err
	}
	if group == noGroup {
		return nil
	}
	if err := unix.Fchownat(fd, "", -1, group, unix.AT_EMPTY_PATH); err != nil {
		return fmt.Errorf("give it to the group of process.admin_group: %w; run as root or as a member of that group", err)
	}
	// fchmod refuses O_PATH descriptors (EBADF); the link in /proc leads to this very file, whatever is at path by now.
	return os.Chmod(fmt.Sprintf("/proc/self/fd/%d", fd), 0o660)
}

func (s *socketListener) Close() error {
	if now, err := os.Lstat(s.path); err == nil && s.made != nil && os.SameFile(now, s.made) {
		os.Remove(s.path)
	}
	return s.UnixListener.Close()
}
