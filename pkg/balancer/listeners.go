package balancer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
	config   *config.Frontend
	address  config.Address
	fds      []int // none: not open
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
			if a.Network != config.Unix && errors.Is(sys.ProbeBind(a.AddrPort, sys.ListenOptions{FreeBind: f.Freebind, Interface: f.Interface}), sys.EADDRINUSE) {
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

// openListeners opens every configured address, all or none. All are probed before the first is opened, so that nobody is
// let in where a later one cannot be had. Wildcards are opened first: each takes its port alone, as no other process's
// socket may stand beside it, and after that the other addresses of the port are ours.
func (b *Balancer) openListeners() error {
	if err := b.eachAddress(b.probeAddress); err != nil {
		return err
	}
	for i := range b.cfg.Frontends {
		f := &b.cfg.Frontends[i]
		for _, a := range f.Listen {
			b.listeners = append(b.listeners, openListener{frontend: f.Name, config: f, address: a})
		}
	}
	for _, wildcards := range []bool{true, false} {
		for i := range b.listeners {
			l := &b.listeners[i]
			if l.wildcard() != wildcards {
				continue
			}
			if err := b.open(l); err != nil {
				return listenError(l.config, l.address, err)
			}
		}
	}
	return nil
}

func (l *openListener) wildcard() bool {
	return l.address.Network != config.Unix && l.address.AddrPort.Addr().IsUnspecified()
}

// covers tells whether l is an open wildcard that has the address of other too.
func (l *openListener) covers(other *openListener) bool {
	device, otherDevice := l.config.Interface, other.config.Interface
	return len(l.fds) > 0 && l.wildcard() &&
		l.address.Network == other.address.Network && l.address.AddrPort.Port() == other.address.AddrPort.Port() &&
		(device == otherDevice || device == "" || otherDevice == "")
}

// eachAddress calls do for every listening address, up to the first error.
func (b *Balancer) eachAddress(do func(*config.Frontend, config.Address) error) error {
	for i := range b.cfg.Frontends {
		f := &b.cfg.Frontends[i]
		for _, a := range f.Listen {
			if err := do(f, a); err != nil {
				return listenError(f, a, err)
			}
		}
	}
	return nil
}

func listenError(f *config.Frontend, a config.Address, err error) error {
	return fmt.Errorf("listen %s (frontend %s): %w", a, f.Name, explainListen(err, a))
}

// probeAddress binds an address without SO_REUSEPORT, which would hide that another process serves it: one that may, unless
// the frontend is shared. This protects also where there is no admin socket, and so no lock.
func (b *Balancer) probeAddress(f *config.Frontend, a config.Address) error {
	if a.Network == config.Unix {
		return nil // bind itself refuses a second one
	}
	err := sys.ProbeBind(a.AddrPort, sys.ListenOptions{FreeBind: f.Freebind, Interface: f.Interface})
	if f.Shared && errors.Is(err, sys.EADDRINUSE) {
		return nil // whether the other one shares it, listen will tell
	}
	return err
}

// open opens a socket per worker. The first is taken alone, which is what tells two processes apart that start in the same
// instant and have both found the address free. Without SO_REUSEPORT there is one, for all workers.
func (b *Balancer) open(l *openListener) error {
	if l.address.Network == config.Unix {
		fd, err := sys.ListenUnix(l.address.Path, l.config.Backlog)
		if err != nil {
			return err
		}
		l.fds = []int{fd}
		return nil
	}
	o := b.listenOptions(l.config)
	o.First = !l.config.Shared && !slices.ContainsFunc(b.listeners, func(own openListener) bool { return own.covers(l) })
	sockets := b.workerCount
	if !o.ReusePort {
		sockets = 1
	}
	for range sockets {
		fd, err := sys.ListenTCP(l.address.AddrPort, o)
		if err != nil {
			l.close()
			return err
		}
		l.fds = append(l.fds, fd)
		o.First = false
	}
	return nil
}

func (l *openListener) close() {
	for _, fd := range l.fds {
		sys.Real{}.Close(fd)
	}
	l.fds = nil
}

func (b *Balancer) listenOptions(f *config.Frontend) sys.ListenOptions {
	o := socketOptions(b.cfg, f)
	if !b.has(sys.FeatureUserTimeout) {
		o.UserTimeoutMs = 0
	}
	return sys.ListenOptions{
		Backlog: f.Backlog, ReusePort: b.has(sys.FeatureReusePort), DeferAccept: f.DeferAccept, FreeBind: f.Freebind, Interface: f.Interface,
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
