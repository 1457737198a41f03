package demo

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// check refuses options that cannot work here.
func (o *Options) check() error {
	switch {
	case o.Backends < 1:
		return fmt.Errorf("--backends %d: at least 1 is needed", o.Backends)
	case o.Clients < 1:
		return fmt.Errorf("--clients %d: at least 1 is needed", o.Clients)
	case o.For != 0 && o.For < shortestRun:
		return fmt.Errorf("--for %s: the story takes at least %s; 0s runs until Ctrl-C", o.For, shortestRun)
	}
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	if o.Clients > mostClients {
		return fmt.Errorf("--clients %d: at most %d, since all come from one address and need a port each", o.Clients, mostClients)
	}
	if fit := clientsThatFit(r.Cur); uint64(o.Clients) > fit {
		return fmt.Errorf("--clients %d: a session takes %d file descriptors here, where both its ends live, and RLIMIT_NOFILE is %d: %d clients fit; raise it (ulimit -n) or ask for fewer", o.Clients, fdsPerSession, r.Cur, fit)
	}
	return nil
}

const (
	fdsPerSession = 4   // the client's, longsplice's two, the backend's
	reservedFDs   = 256 // listeners, checks, the status page, logs
	fdsPerPipeFD  = 64  // longsplice keeps a pipe (two descriptors) for 128

	mostClients = 25_000 // ip_local_port_range has 28,232 ports by default, and some rest in TIME_WAIT
)

// clientsThatFit is how many clients can be held with so many descriptors.
func clientsThatFit(nofile uint64) uint64 {
	fixed := reservedFDs + nofile/fdsPerPipeFD
	if nofile <= fixed {
		return 0
	}
	return (nofile - fixed) / fdsPerSession
}

// startBackends opens the backends on ports of their own.
func (d *demo) startBackends() error {
	next := net.JoinHostPort("127.0.0.1", strconv.Itoa(firstBackendPort))
	for i := range d.Backends {
		b := &backend{name: fmt.Sprintf("b%d", i+1), tamper: d.tamper}
		var err error
		if b.addr, _, err = d.claims.free(next); err == nil {
			err = b.start()
		}
		if err != nil {
			return fmt.Errorf("start backend %s: %w", b.name, err)
		}
		d.backends = append(d.backends, b)
		next = nextPort(b.addr)
	}
	return nil
}

// firstBackendPort is below what the kernel gives to connects (ip_local_port_range), so that none of them takes the port
// of a backend that is dead.
const firstBackendPort = 9001

func (d *demo) stopBackends() {
	for _, b := range d.backends {
		b.stop()
	}
}

// findAddresses claims the ports of the frontend and the status page.
func (d *demo) findAddresses() (err error) {
	var moved bool
	if d.address, moved, err = d.claims.free(d.Listen); err != nil {
		return fmt.Errorf("find a port to listen on: %w", err)
	}
	if moved {
		d.moved = append(d.moved, fmt.Sprintf("%s is busy: listening on %s instead.", d.Listen, d.address))
	}
	if d.HTTP == "" {
		return nil
	}
	if d.page, moved, err = d.claims.free(d.HTTP); err != nil {
		return fmt.Errorf("find a port for the status page: %w", err)
	}
	if moved {
		d.moved = append(d.moved, fmt.Sprintf("%s is busy: the status page is on %s instead.", d.HTTP, d.page))
	}
	return nil
}

// startBalancer starts longsplice with a configuration like any other.
func (d *demo) startBalancer(ctx context.Context, dir string) error {
	text := d.configuration(dir)
	c, _, err := config.Parse("demo.toml", []byte(text), config.Options{})
	if err != nil {
		return fmt.Errorf("read the demo's configuration: %w", err)
	}
	d.bal, err = balancer.Start(ctx, balancer.Options{Config: c, Build: d.Build, OnEvent: d.event})
	if err != nil {
		return fmt.Errorf("start longsplice: %w", err)
	}
	d.introduce(text)
	return nil
}

// introduce prints what runs where.
func (d *demo) introduce(text string) {
	s := d.screen
	s.title("longsplice demo", fmt.Sprintf("%s and %s in one process, longsplice between them, over loopback.",
		plural(d.Backends, "WebSocket echo backend"), plural(d.Clients, "client")))
	for _, m := range d.moved {
		s.note(m)
	}
	s.block("longsplice runs with this configuration:", text)
}

func (d *demo) startAdmin() (stop func(), err error) {
	if d.StartAdmin == nil {
		return func() {}, nil
	}
	stop, url, err := d.StartAdmin(d.bal)
	if err != nil {
		return nil, fmt.Errorf("start the status page: %w", err)
	}
	if url != "" {
		d.screen.pair("Status page", url)
	}
	d.screen.pair("In another shell", "LONGSPLICE_ADMIN="+d.bal.Config().Process.Admin+" longsplice status")
	return stop, nil
}
