package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// Options are the flags of the command and what the command lends.
type Options struct {
	Backends, Clients int
	Listen            string        // "127.0.0.1:8080"; a busy port: the next free one
	HTTP              string        // the status page's address, likewise; "": none
	For               time.Duration // 0: until ctx ends
	Out               io.Writer
	Color             bool
	Build             balancer.Build

	// StartAdmin serves the admin API of a balancer; nil: nobody does. url is the status page's.
	StartAdmin func(*balancer.Balancer) (stop func(), url string, err error)

	tamper func([]byte) []byte // spoils what a backend echoes, nil keeps it; for tests
}

// Times that do not follow the length of the story.
const (
	longestCycle = 20 * time.Second // of connecting, chatting, a death and a return; then again
	shortestRun  = time.Second
	patience     = 10 * time.Second // for what should happen at once, on a busy machine
)

// demo is one run.
type demo struct {
	Options
	cycle    time.Duration // the length of one round of the story
	screen   *screen
	mint     *mint
	bal      *balancer.Balancer
	address  string   // where longsplice listens
	moved    []string // what is elsewhere than asked for
	backends []*backend
	crowd    *crowd
	cuts     atomic.Int64 // odd while a backend is being killed

	refused, refusedWrongly atomic.Int64 // connects of clients that failed; those for which nothing speaks

	mu     sync.Mutex // guards what follows
	faults []string
}

// Run shows the demo until o.For is over or ctx ends, and prints a summary. The error names what could not be started,
// or, after the summary, what was lost, wrong, or did not come back.
func Run(ctx context.Context, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	d := &demo{Options: o, cycle: cycleOf(o.For), screen: newScreen(o.Out, o.Color), mint: newMint(rand.Uint64())}
	dir, err := os.MkdirTemp("", "longsplice-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the admin socket: %w", err)
	}
	defer os.RemoveAll(dir)
	defer d.stopBackends()
	if err := d.startBackends(); err != nil {
		return err
	}
	if err := d.startBalancer(ctx, dir); err != nil {
		return err
	}
	defer d.bal.Shutdown(context.Background())
	stopAdmin, err := d.startAdmin()
	if err != nil {
		return err
	}
	defer stopAdmin()
	return d.play(ctx)
}

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

// cycleOf is the length of one round of the story in a run of that length: it is told as often as it fits.
func cycleOf(length time.Duration) time.Duration {
	if length == 0 {
		return longestCycle
	}
	rounds := (length + longestCycle - 1) / longestCycle
	return length / rounds
}

// startBackends opens the backends on ports of their own.
func (d *demo) startBackends() error {
	port := firstBackendPort
	for i := range d.Backends {
		b := &backend{name: fmt.Sprintf("b%d", i+1), tamper: d.tamper}
		for {
			b.addr = fmt.Sprintf("127.0.0.1:%d", port)
			port++
			err := b.start()
			if err == nil {
				break
			}
			if !errors.Is(err, syscall.EADDRINUSE) || port > lastBackendPort {
				return fmt.Errorf("start backend %s: %w", b.name, err)
			}
		}
		d.backends = append(d.backends, b)
	}
	return nil
}

// Ports of the backends: below what the kernel gives to connects (ip_local_port_range), so that nobody takes one while
// its backend is dead.
const (
	firstBackendPort = 9001
	lastBackendPort  = 32000
)

func (d *demo) stopBackends() {
	for _, b := range d.backends {
		b.stop()
	}
}

// startBalancer starts longsplice on free ports, with a configuration like any other. A port that somebody takes between
// looking and opening is passed over, too.
func (d *demo) startBalancer(ctx context.Context, dir string) error {
	http, err := d.findHTTP()
	if err != nil {
		return fmt.Errorf("find a port for the status page: %w", err)
	}
	for from := d.Listen; ; from = nextPort(from) {
		free, _, err := freeAddress(from)
		if err != nil {
			return fmt.Errorf("find a port to listen on: %w", err)
		}
		if from = free; free == http { // both were asked for the same port
			continue
		}
		text := d.configuration(free, http, dir)
		err = d.startWith(ctx, text)
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return err
		}
		d.address = free
		d.introduce(text)
		return nil
	}
}

// findHTTP looks for the status page's port; "" if no page is wanted.
func (d *demo) findHTTP() (http string, err error) {
	if d.HTTP == "" {
		return "", nil
	}
	http, moved, err := freeAddress(d.HTTP)
	if moved {
		d.moved = append(d.moved, fmt.Sprintf("%s is busy: the status page is on %s instead", d.HTTP, http))
	}
	return http, err
}

func (d *demo) startWith(ctx context.Context, text string) error {
	c, _, err := config.Parse("demo.toml", []byte(text), config.Options{})
	if err != nil {
		return fmt.Errorf("read the demo's configuration: %w", err)
	}
	d.bal, err = balancer.Start(ctx, balancer.Options{Config: c, Build: d.Build, OnEvent: d.event})
	if err != nil {
		return fmt.Errorf("start longsplice: %w", err)
	}
	return nil
}

// introduce prints what runs where.
func (d *demo) introduce(text string) {
	s := d.screen
	s.title("longsplice demo", fmt.Sprintf("%s and %s in one process, longsplice between them, over loopback.",
		plural(d.Backends, "WebSocket echo backend"), plural(d.Clients, "client")))
	if asked := portOf(d.Listen); asked != portOf(d.address) && asked != "0" {
		d.moved = append(d.moved, fmt.Sprintf("%s is busy: listening on %s instead", d.Listen, d.address))
	}
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

// play tells the story, lets everybody leave, and closes the books.
func (d *demo) play(ctx context.Context) error {
	d.screen.began = time.Now()
	d.crowd = newCrowd(d)
	meter := startMeter(d)
	d.story(ctx)
	d.farewell()
	meter.stop()
	b := d.balance()
	d.summary(b)
	if faults := append(d.faults, b.faults()...); len(faults) > 0 {
		return errors.New(strings.Join(faults, "; "))
	}
	return nil
}

// fault notes what should not have been.
func (d *demo) fault(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.faults) < mostFaults {
		d.faults = append(d.faults, fmt.Sprintf(format, args...))
	}
}

const mostFaults = 5 // more would not tell more

// event puts what longsplice noticed into the story.
func (d *demo) event(e balancer.Event) {
	switch e.Name {
	case "started", "drain_begin", "drain_done", "stopped":
		return
	}
	d.screen.event(e.Level, e.Name, e.Subject, shorten(e.Message))
}

// shorten leaves out what net says before the cause ("dial tcp 127.0.0.1:9001: connect: "): the subject says where.
func shorten(message string) string {
	before, rest, found := strings.Cut(message, "dial tcp ")
	if !found {
		return message
	}
	return before + rest[strings.LastIndex(rest, ": ")+len(": "):]
}
