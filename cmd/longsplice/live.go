package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
)

// look is one look at this host with the eyes of a configuration. Nothing stays open and nothing is changed.
type look struct {
	cfg     *config.Config
	lacks   []config.Problem
	running bool     // longsplice answers on process.admin
	served  []string // what it listens on: that these are busy is as it should be
}

// lookupAtMost bounds the look-up of one name.
const lookupAtMost = 5 * time.Second

// lookAround tells what this host lacks for cfg: addresses, ports, rights, names, files, descriptors. Whether backends can
// be reached is not asked.
func lookAround(ctx context.Context, cfg *config.Config) []config.Problem {
	l := &look{cfg: cfg}
	l.askRunning(ctx)
	l.process()
	for i := range cfg.Frontends {
		l.frontend(&cfg.Frontends[i])
	}
	for i := range cfg.Pools {
		l.pool(ctx, &cfg.Pools[i])
	}
	l.lacks = append(l.lacks, balancer.LacksForPorts(cfg)...)
	return l.lacks
}

func (l *look) lack(key, what, remedy string) {
	l.lacks = append(l.lacks, config.Problem{Key: key, What: what, Remedy: remedy})
}

// askRunning asks the process that serves this configuration's admin socket, if there is one, what it listens on.
func (l *look) askRunning(ctx context.Context) {
	var r statusReport
	if l.cfg.Process.Admin == "" || clientOf(l.cfg.Process.Admin).get(ctx, "/v1/frontends", nil, &r) != nil {
		return
	}
	l.running = true
	for _, f := range r.Frontends {
		l.served = append(l.served, f.Listen...)
	}
}

// process looks at what [process] names: files, folders, a group, the address of the status page.
func (l *look) process() {
	p := &l.cfg.Process
	l.readable("process.hash_key_file", p.HashKeyFile)
	l.readable("process.http_token_file", p.HTTPTokenFile)
	if p.AccessLog != config.AccessLogStdout {
		l.folderOf("process.access_log", p.AccessLog)
	}
	if p.AdminGroup != "" {
		if _, err := user.LookupGroup(p.AdminGroup); err != nil {
			l.lack("process.admin_group", err.Error(), "create it with: groupadd --system "+p.AdminGroup)
		}
	}
	if !p.HTTP.IsZero() {
		if err := sys.ProbeBind(p.HTTP.AddrPort, sys.ListenOptions{}); err != nil && !(l.running && errors.Is(err, sys.EADDRINUSE)) {
			l.lackBind("process.http", p.HTTP, err)
		}
	}
	l.descriptors(p.MaxSessions)
}

// descriptors compares max_sessions with the hard limit of open files, to which `run` raises the soft one.
func (l *look) descriptors(sessions int) {
	const perSession = 2
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil || uint64(sessions)*perSession <= r.Max {
		return
	}
	l.lack("process.max_sessions", fmt.Sprintf("%d sessions take %d file descriptors and RLIMIT_NOFILE allows %d", sessions, sessions*perSession, r.Max),
		"raise it (ulimit -Hn, LimitNOFILE= in the unit)")
}

func (l *look) readable(key, path string) {
	if path == "" {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		l.lack(key, err.Error(), "create it, readable for this user")
		return
	}
	f.Close()
}

func (l *look) folderOf(key, path string) {
	if path == "" {
		return
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		l.lack(key, "there is no folder "+dir, "create it")
	}
}

// frontend binds each address for a moment, without SO_REUSEPORT and without listening.
func (l *look) frontend(f *config.Frontend) {
	key := "frontend." + f.Name
	for _, a := range f.Listen {
		if a.Network == config.Unix {
			l.folderOf(key+".listen", a.Path)
			continue
		}
		err := sys.ProbeBind(a.AddrPort, sys.ListenOptions{FreeBind: f.Freebind, Interface: f.Interface})
		if err != nil && !(errors.Is(err, sys.EADDRINUSE) && (f.Shared || slices.Contains(l.served, a.String()))) {
			l.lackBind(key+".listen", a, err)
		}
	}
	if f.Interface != "" {
		if _, err := net.InterfaceByName(f.Interface); err != nil {
			l.lack(key+".interface", "there is no interface "+f.Interface, "`ip link` lists them")
		}
	}
}

// lackBind says why an address cannot be bound.
func (l *look) lackBind(key string, a config.Address, err error) {
	remedy := "see bind(2)"
	switch {
	case errors.Is(err, sys.EADDRINUSE):
		remedy = "`ss -ltnp` shows who serves it"
	case errors.Is(err, sys.EADDRNOTAVAIL):
		remedy = "no interface has it: add it, or set freebind = true if it comes later"
	case errors.Is(err, sys.EACCES):
		remedy = "ports below net.ipv4.ip_unprivileged_port_start want CAP_NET_BIND_SERVICE"
	}
	l.lack(key, fmt.Sprintf("%s: %v", a, err), remedy)
}

// pool looks its backends' names up, each once.
func (l *look) pool(ctx context.Context, p *config.Pool) {
	asked := map[string]bool{}
	for i := range p.Backends {
		b := &p.Backends[i]
		if b.Address.Network != config.Host || asked[b.Address.Host] {
			continue
		}
		asked[b.Address.Host] = true
		ctx, cancel := context.WithTimeout(ctx, lookupAtMost)
		if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip", b.Address.Host); err != nil {
			l.lack("pool."+p.Name+".backend."+b.Name+".address", err.Error(), "correct the name, or see /etc/resolv.conf")
		}
		cancel()
	}
}
