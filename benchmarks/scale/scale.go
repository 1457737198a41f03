// Package scale finds out how many silent sessions several longsplice processes hold together on one machine, and what
// each costs, far beyond the descriptors of one process.
//
// The machine is divided into cells. A cell is one longsplice process, one backend and one client process; backends and
// clients have addresses of their own in 127.0.0.0/8, so that neither descriptors nor ports bind: a balancer needs two
// descriptors a session, the others one. All balancers share one address and port (SO_REUSEPORT), and the kernel spreads the
// connections over them by a hash. One goroutine runs it all; the processes work at the same time.
package scale

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// Config says what to try. Zero values are replaced by what stands beside them.
type Config struct {
	Self       string // path of longsplice-bench
	Longsplice string // path of longsplice
	Processes  int    // longsplice processes; 0: as many as the sessions need
	Sessions   int    // of all of them; 0: as many as memory, descriptors and Processes allow
	Steps      int    // measurements on the way there; 0: 5
	Budget     float64
	Rest       time.Duration // how long the processors are watched at each step; 0: 3 s
	Progress   func(line string)
}

// DefaultBudget is the share of the available memory that a run may use.
const DefaultBudget = 0.6

// Result is what a run found. A session has four sockets here, the client's, two of the balancer and the backend's, of
// which a box in service has two.
type Result struct {
	Processes  int           `json:"processes"`
	Sessions   int           `json:"sessions"` // that stood at the last step
	Wanted     int           `json:"wanted"`
	Bound      string        `json:"bound"` // why it was not more
	Budget     int64         `json:"budget_bytes"`
	Base       Measure       `json:"base"` // with all processes up and no session
	Steps      []Measure     `json:"steps"`
	User       Line          `json:"user"`   // resident memory of the balancers, bytes over sessions
	Kernel     Line          `json:"kernel"` // the kernel's memory for the balancers, bytes over sessions
	KernelFrom string        `json:"kernel_from"`
	Machine    Line          `json:"machine"` // MemAvailable that is gone, bytes over sessions: everything, clients and backends too
	Rest       Line          `json:"rest"`    // processors that the balancers use at rest, over sessions
	Checked    int           `json:"checked"` // sessions that echoed at the end
	Wrong      uint64        `json:"wrong"`
	Failed     uint64        `json:"failed"`
	FirstError string        `json:"first_error,omitempty"`
	Million    Forecast      `json:"million"`
	Took       time.Duration `json:"took_ns"`
}

// Sound says whether every session stood to the end and echoed the right bytes.
func (r *Result) Sound() bool {
	return r.Wrong == 0 && r.Failed == 0 && r.Sessions > 0 && r.Checked == r.Sessions
}

// Measure is what was read when that many sessions stood, all at rest.
type Measure struct {
	Sessions    int     `json:"sessions"`
	OpenSeconds float64 `json:"open_s"`                 // for the sessions that this step added
	OpenCPU     float64 `json:"open_cpu_balancers_s"`   // of the balancers, meanwhile
	RSS         int64   `json:"rss_bytes"`              // of the balancers; pages that they share count once for each
	FDs         int     `json:"fds"`                    // of the balancers
	Kernel      int64   `json:"kernel_bytes,omitempty"` // what the balancers' cgroup is charged for; 0: there is none
	Slab        int64   `json:"slab_bytes"`             // of the machine
	TCP         int64   `json:"tcp_bytes"`              // of the machine
	Sockets     int     `json:"sockets"`                // TCP sockets of this network namespace
	Available   int64   `json:"available_bytes"`
	RestSeconds float64 `json:"rest_s"`
	RestCPU     float64 `json:"rest_cpu_balancers_s"` // in that time
}

// Run opens sessions step by step, measures, and has each echo at the end. It takes everything down again. An error means
// that there is no result; sessions that failed are in the result.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	p, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "longsplice-scale-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for configurations: %w", err)
	}
	defer os.RemoveAll(dir)
	r := &run{ctx: ctx, cfg: cfg, plan: p, dir: dir, began: time.Now()}
	if r.group, err = newGroup(); err != nil {
		r.say("kernel memory is that of the whole machine, other programs' too: %v", err)
	}
	r.res = Result{Processes: p.processes, Wanted: p.sessions, Bound: p.bound, Budget: p.budget}
	defer r.down()
	if err := r.up(); err != nil {
		return nil, err
	}
	if err := r.climb(); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	r.conclude()
	return &r.res, nil
}

func (c *Config) complete() error {
	if c.Processes < 0 || c.Sessions < 0 || c.Steps < 0 || c.Budget < 0 || c.Budget > 0.9 {
		return errors.New("scale: processes, sessions and steps >= 0, budget at most 0.9 of the available memory")
	}
	if c.Steps == 0 {
		c.Steps = 5
	}
	if c.Budget == 0 {
		c.Budget = DefaultBudget
	}
	if c.Rest == 0 {
		c.Rest = 3 * time.Second
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	return nil
}
