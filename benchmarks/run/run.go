// Package run measures targets side by side: backends, a balancer and the load generator as fresh processes for each
// measurement, the balancer on processors of its own, rounds interleaved A B C A B C so that what drifts on the machine
// drifts for all. It is called by longsplice-bench run and makes one measurement at a time.
package run

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/scenarios"
	"github.com/longsplice/longsplice/benchmarks/target"
	"golang.org/x/sys/unix"
)

// Config of a run. All of Targets take part: who is missing has been sorted out before.
type Config struct {
	Self     string // this program's path: it is started again as backend, load generator and io.Copy proxy
	Build    Build
	Targets  []target.Target
	Cases    []scenarios.Case
	Rounds   int
	Backends int              // addresses of the backend
	At       []netip.AddrPort // not empty: fixed addresses of the backend instead, for balancers that run already
	Place    target.Place
	LoadCPUs []int // of load generator and backend; none: any
}

// Build is what this program was made from.
type Build struct{ Version, Commit string }

// Watcher is told how a run goes on.
type Watcher interface {
	Begins(round int, caseID, target string)
	Seen(run report.Run)
}

// Run makes every measurement and adds it to rep. Measurements that fail are in the report. The
// error is what makes a run impossible, or ctx's end: what there is by then is in rep all the same.
func (cfg Config) Run(ctx context.Context, rep *report.Report, w Watcher) error {
	// Idle memory is a slope over pages that were touched; huge pages would round it. Children inherit this (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("disable transparent huge pages: %w", err)
	}
	if len(cfg.Targets) == 0 || len(cfg.Cases) == 0 {
		return errors.New("run: no target or no case to measure")
	}
	defer func() { rep.Setup.Ended = time.Now() }()
	for round := 1; round <= cfg.Rounds; round++ {
		for i := range cfg.Cases {
			for _, t := range rotated(cfg.Targets, round-1+i) {
				run := report.Run{Round: round, Case: cfg.Cases[i].ID(), Target: t.Name, Began: time.Now()}
				w.Begins(round, run.Case, run.Target)
				err := cfg.measure(ctx, cfg.Cases[i], t, &run)
				if ctx.Err() != nil {
					rep.Setup.Stopped = fmt.Sprintf("in round %d, at %s through %s: %v", round, run.Case, t.Name, context.Cause(ctx))
					return ctx.Err()
				}
				if err != nil {
					run.Error = err.Error()
				}
				rep.Runs = append(rep.Runs, run)
				w.Seen(run)
			}
		}
	}
	return nil
}

// rotated begins at another target each time, so that none always comes first or after the same one's leftovers.
func rotated(targets []target.Target, by int) (order []*target.Target) {
	for i := range targets {
		order = append(order, &targets[(i+by)%len(targets)])
	}
	return order
}

// Estimate is about how long the whole run takes.
func (cfg Config) Estimate() (total time.Duration) {
	for i := range cfg.Cases {
		total += cfg.Cases[i].Estimate()
	}
	return total * time.Duration(cfg.Rounds*len(cfg.Targets))
}

// Report is the empty report of this run. command is the command line that began it.
func (cfg Config) Report(command, reference string, missing []report.Missing) *report.Report {
	rep := &report.Report{Schema: report.Schema, Machine: report.ThisMachine(), Missing: missing}
	rep.Setup = report.Setup{
		Began: time.Now(), Command: command, Go: runtime.Version(), Rounds: cfg.Rounds, Threads: cfg.Place.Threads,
		BalancerCPUs: CPUList(cfg.Place.CPUs), LoadCPUs: CPUList(cfg.LoadCPUs), Backends: max(len(cfg.At), cfg.Backends), Reference: reference,
	}
	rep.Setup.Version, rep.Setup.Commit = cfg.Build.Version, cfg.Build.Commit
	for i := range cfg.Targets {
		rep.Targets = append(rep.Targets, cfg.Targets[i].Describe(cfg.Place))
	}
	for i := range cfg.Cases {
		c := &cfg.Cases[i]
		rep.Cases = append(rep.Cases, report.Case{
			Scenario: c.Scenario, Name: c.Name, About: c.About, Workload: c.Workload,
			Command: "longsplice-bench load " + strings.Join(c.Args(), " "),
		})
	}
	return rep
}
