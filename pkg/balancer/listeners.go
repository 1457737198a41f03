package balancer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/worker"
)

// openListener is one listening address of a frontend: a socket per worker, or one that all share (unix).
type openListener struct {
	frontend string
	address  config.Address
	fds      []int
}

// lock makes this process the only one of its admin socket: a second one would share our addresses unseen, since all
// listeners have SO_REUSEPORT.
func (b *Balancer) lock() error {
	path := b.cfg.Process.Admin
	if path == "" {
		return nil
	}
	path += ".lock"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the folder of the admin socket: %w; create it, or set process.admin to a path that you may write", err)
	}
	fd, owner, err := sys.LockFile(path)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return &ServedError{What: b.servedByOther(), PID: owner}
	}
	if err != nil {
		return fmt.Errorf("lock beside the admin socket: %w; set process.admin to a path that you may write", err)
	}
	b.lockFD = fd
	return nil
}

// servedByOther is what the owner of our lock serves: one of our addresses, or else the admin socket.
func (b *Balancer) servedByOther() string {
	for i := range b.cfg.Frontends {
		f := &b.cfg.Frontends[i]
		for _, a := range f.Listen {
			if a.Network != config.Unix && errors.Is(sys.ProbeBind(a.AddrPort, f.Freebind), sys.EADDRINUSE) {
				return a.String()
			}
		}
	}
	return "admin socket " + b.cfg.Process.Admin
}

// ServedError says that another process serves what we were to serve.
type ServedError struct {
	What string
	PID  int // 0: unknown
}

func (e *ServedError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("listen %s: already served by another process; `ss -ltnp` shows which", e.What)
	}
	return fmt.Sprintf("listen %s: already served by longsplice pid %d; to replace it: longsplice upgrade", e.What, e.PID)
}

// openListeners opens every configured address, all or none. All are probed before the first is opened: a wildcard and
// one of its addresses may stand side by side, but a probe of the second would meet the first.
func (b *Balancer) openListeners() error {
	if err := b.eachAddress(b.probe); err != nil {
		return err
	}
	return b.eachAddress(func(f *config.Frontend, a config.Address) error {
		l, err := b.open(f, a)
		if err == nil {
			b.listeners = append(b.listeners, l)
		}
		return err
	})
}

// eachAddress calls do for every listening address, up to the first error.
func (b *Balancer) eachAddress(do func(*config.Frontend, config.Address) error) error {
	for i := range b.cfg.Frontends {
		f := &b.cfg.Frontends[i]
		for _, a := range f.Listen {
			if err := do(f, a); err != nil {
				return fmt.Errorf("listen %s (frontend %s): %w", a, f.Name, explainListen(err, a))
			}
		}
	}
	return nil
}

// probe binds an address without SO_REUSEPORT, which would hide that another process serves it. This protects also
// where there is no admin socket, and so no lock.
func (b *Balancer) probe(f *config.Frontend, a config.Address) error {
	if a.Network == config.Unix {
		return nil // bind itself refuses a second one
	}
	return sys.ProbeBind(a.AddrPort, f.Freebind)
}

func (b *Balancer) open(f *config.Frontend, a config.Address) (openListener, error) {
	l := openListener{frontend: f.Name, address: a}
	if a.Network == config.Unix {
		fd, err := sys.ListenUnix(a.Path, f.Backlog)
		if err != nil {
			return l, err
		}
		l.fds = []int{fd}
		return l, nil
	}
	for range b.workerCount {
		fd, err := sys.ListenTCP(a.AddrPort, b.listenOptions(f))
		if err != nil {
			l.close()
			return l, err
		}
		l.fds = append(l.fds, fd)
	}
	return l, nil
}

func (l *openListener) close() {
	for _, fd := range l.fds {
		sys.Real{}.Close(fd)
	}
	l.fds = nil
}

func (b *Balancer) listenOptions(f *config.Frontend) sys.ListenOptions {
	o := socketOptions(b.cfg, f)
	return sys.ListenOptions{
		Backlog: f.Backlog, ReusePort: true, DeferAccept: f.DeferAccept, FreeBind: f.Freebind, Interface: f.Interface,
		KeepaliveIdle: o.KeepaliveIdle, KeepaliveInterval: o.KeepaliveInterval, KeepaliveProbes: o.KeepaliveProbes,
		UserTimeoutMs: o.UserTimeoutMs, NotSentLowat: o.NotSentLowat,
	}
}

// socketOptions are the kernel's options of a frontend's sessions, on both sides.
func socketOptions(c *config.Config, f *config.Frontend) backend.SocketOptions {
	t := &f.Timeouts
	var o backend.SocketOptions
	if t.Keepalive > 0 && t.Keepalive != config.Forever {
		o.KeepaliveIdle = seconds(t.Keepalive)
		o.KeepaliveInterval = seconds(t.KeepaliveInterval)
		o.KeepaliveProbes = t.KeepaliveProbes
	}
	if t.UserTimeout != config.Forever {
		o.UserTimeoutMs = int(t.UserTimeout.Milliseconds())
	}
	if c.Relay.LowMemory {
		o.NotSentLowat = 128 << 10
	}
	return o
}

func seconds(d time.Duration) int { return max(int(d/time.Second), 1) }

// explainListen adds what would help to an error of opening a listener.
func explainListen(err error, a config.Address) error {
	switch {
	case errors.Is(err, sys.EADDRINUSE) && a.Network == config.Unix:
		return fmt.Errorf("%w: another process serves it (`ss -lxp` shows which), or it is no socket", err)
	case errors.Is(err, sys.EACCES) && a.Network == config.Unix:
		return fmt.Errorf("%w: this user may not write in the folder of the socket", err)
	case errors.Is(err, sys.EADDRINUSE):
		return fmt.Errorf("%w: another process serves it; `ss -ltnp` shows which; if it is longsplice, replace it by: longsplice upgrade", err)
	case errors.Is(err, sys.EADDRNOTAVAIL):
		return fmt.Errorf("%w: no interface has the address; add it, or set freebind = true if it comes later (VRRP, anycast)", err)
	case errors.Is(err, sys.EACCES):
		return fmt.Errorf("%w: ports below net.ipv4.ip_unprivileged_port_start want CAP_NET_BIND_SERVICE (setcap, or AmbientCapabilities= in the unit)", err)
	case errors.Is(err, sys.EPERM):
		return fmt.Errorf("%w: interface wants CAP_NET_RAW", err)
	case errors.Is(err, sys.ENODEV):
		return fmt.Errorf("%w: there is no interface of that name; `ip link` lists them", err)
	case errors.Is(err, sys.ENOENT):
		return fmt.Errorf("%w: the folder of the socket does not exist", err)
	}
	return err
}

// give hands the listeners to the workers; b.snap is adopted already.
func (b *Balancer) give() {
	for _, l := range b.listeners {
		entry := worker.Listener{Frontend: b.frontendNumber[l.frontend], Name: l.address.String()}
		if l.address.Network != config.Unix {
			entry.Addr = sys.AddrFrom(l.address.AddrPort)
		}
		for i, w := range b.workers {
			own := entry
			own.FD = l.fds[i%len(l.fds)]
			w.Give(worker.Once(func(w *worker.Worker) { w.Listen(own) }))
		}
	}
}

// closeListeners closes every listener, once. The file of a unix socket goes first: once it is closed it may be another
// process's.
func (b *Balancer) closeListeners() {
	b.listening.Lock()
	defer b.listening.Unlock()
	for i := range b.listeners {
		l := &b.listeners[i]
		if l.address.Network == config.Unix && len(l.fds) > 0 && !strings.HasPrefix(l.address.Path, "@") {
			os.Remove(l.address.Path)
		}
		l.close()
	}
}
