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
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
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
	claims   claims   // on all ports
	address  string   // where longsplice listens
	page     string   // the status page's address; "": none
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
	defer d.claims.release()
	if err := d.findAddresses(); err != nil {
		return err
	}
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

// cycleOf is the length of one round of the story in a run of that length: it is told as often as it fits.
func cycleOf(length time.Duration) time.Duration {
	if length == 0 {
		return longestCycle
	}
	rounds := (length + longestCycle - 1) / longestCycle
	return length / rounds
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
	case "started", "kernel", "drain_begin", "drain_done", "stopped":
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
