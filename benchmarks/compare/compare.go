// Package compare runs targets side by side: a backend, a balancer and the load generator as three fresh processes per
// measurement, the balancer alone on one processor, the rest on another, rounds interleaved A B C A B C so that what
// drifts on the machine drifts for all. It is called by longsplice-bench compare and runs one measurement at a time.
package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/peers"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"golang.org/x/sys/unix"
)

// Config of a comparison.
type Config struct {
	Self        string // this program's path: it is started again as backend, load generator and io.Copy proxy
	Targets     []Target
	Scenarios   []Scenario
	Rounds      int
	Backends    int // loopback addresses that the backend listens on
	BalancerCPU int
	LoadCPU     int
	Progress    func(line string)
}

// Run is one measurement.
type Run struct {
	Round    int          `json:"round"`
	Scenario string       `json:"scenario"`
	Target   string       `json:"target"`
	Result   *load.Result `json:"result,omitempty"`
	Error    string       `json:"error,omitempty"` // no result: the target or the load did not work
}

// Compare measures everything and returns the report; single measurements that fail are in it. The error is for what
// makes the whole comparison impossible, or ctx's end.
func Compare(ctx context.Context, cfg Config) (*Report, error) {
	// Idle memory is a slope over pages that were touched; huge pages would round it. Children inherit this (prctl(2)).
	if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("disable transparent huge pages: %w", err)
	}
	rep := newReport(cfg)
	targets := rep.present(cfg.Targets, cfg.Progress)
	if len(targets) == 0 {
		return nil, errors.New("compare: none of the targets is there")
	}
	for round := 1; round <= cfg.Rounds; round++ {
		for _, sc := range cfg.Scenarios {
			for _, t := range targets {
				if err := ctx.Err(); err != nil {
					return nil, fmt.Errorf("compare: stopped in round %d: %w", round, err)
				}
				run := Run{Round: round, Scenario: sc.Name, Target: t.Name}
				cfg.measure(ctx, sc, t, &run)
				rep.add(run)
				cfg.Progress(progressLine(cfg, sc, run))
			}
		}
	}
	rep.finish()
	return rep, nil
}

// fdLimit is what a started program may open. Go raises this process's own soft limit to the hard one at start, but
// gives children the original back.
func fdLimit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Max, 1<<20))
}

// measure does one measurement; what goes wrong is left in run.Error.
func (cfg Config) measure(ctx context.Context, sc Scenario, t Target, run *Run) {
	dir, err := os.MkdirTemp("", "longsplice-bench-")
	if err != nil {
		run.Error = err.Error()
		return
	}
	defer os.RemoveAll(dir)
	backend, addrs, err := cfg.startBackend(sc.Mode)
	if err != nil {
		run.Error = err.Error()
		return
	}
	defer backend.stop()
	sc.Load = slices.Concat(sc.Load, sc.silentSteps(t, fdLimit()))
	if t.program == "" {
		run.Result, err = cfg.load(ctx, sc, addrs, 0)
	} else {
		run.Result, err = cfg.through(ctx, sc, t, peers.Data{Backends: addrs, Dir: dir})
	}
	if err != nil {
		run.Error = err.Error()
	}
}

// through measures with a balancer in between. One that ends by itself is the first thing to say.
func (cfg Config) through(ctx context.Context, sc Scenario, t Target, d peers.Data) (*load.Result, error) {
	balancer, listen, err := cfg.startBalancer(t, d)
	if err != nil {
		return nil, err
	}
	defer balancer.stop()
	res, err := cfg.load(ctx, sc, []netip.AddrPort{listen}, balancer.cmd.Process.Pid)
	if balancer.hasEnded() {
		return nil, balancer.failure("ended under load (" + balancer.cmd.ProcessState.String() + ")")
	}
	return res, err
}

// startBackend serves on 127.0.0.2, .3 and so on, the same port on each: several addresses, so that the balancer's
// local ports do not run out while short sessions sit in TIME_WAIT.
func (cfg Config) startBackend(mode serve.Mode) (*process, []netip.AddrPort, error) {
	argv := []string{cfg.Self, "serve", "--mode", string(mode)}
	for i := range cfg.Backends {
		argv = append(argv, "--listen", fmt.Sprintf("127.0.0.%d:0", 2+i))
	}
	var out lockedBuffer
	p, err := start(cfg.LoadCPU, argv, &out)
	if err != nil {
		return nil, nil, err
	}
	for deadline := time.Now().Add(readyLimit); time.Now().Before(deadline) && !p.hasEnded(); time.Sleep(5 * time.Millisecond) {
		if line, _, found := strings.Cut(string(out.bytes()), "\n"); found {
			addrs, err := parseListening(line)
			return p, addrs, err
		}
	}
	p.stop()
	return nil, nil, p.failure("does not come up as a backend")
}

func parseListening(line string) ([]netip.AddrPort, error) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "listening" {
		return nil, fmt.Errorf("parse backend's line %q: want listening ADDR", line)
	}
	var addrs []netip.AddrPort
	for _, w := range words[1:] {
		a, err := netip.ParseAddrPort(w)
		if err != nil {
			return nil, fmt.Errorf("parse backend's line %q: %w", line, err)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

func (cfg Config) startBalancer(t Target, d peers.Data) (*process, netip.AddrPort, error) {
	listen, err := freePort("127.0.0.1")
	if err != nil {
		return nil, listen, err
	}
	d.Listen = listen
	argv, err := t.command(d)
	if err != nil {
		return nil, listen, err
	}
	p, err := start(cfg.BalancerCPU, argv, nil)
	if err != nil {
		return nil, listen, err
	}
	if err := p.waitListening(listen); err != nil {
		p.stop()
		return nil, listen, err
	}
	time.Sleep(50 * time.Millisecond) // the probe's session ends
	return p, listen, nil
}

// load runs the generator as a process of its own and reads its result. An unsound result is returned as it is.
func (cfg Config) load(ctx context.Context, sc Scenario, to []netip.AddrPort, pid int) (*load.Result, error) {
	argv := append([]string{cfg.Self, "load"}, sc.Load...)
	argv = append(argv, "--json", "--pid", fmt.Sprint(pid))
	argv = append(argv, flags("--to", to)...)
	if sc.Spread {
		for i := range 8 {
			argv = append(argv, "--source", fmt.Sprintf("127.0.1.%d", 1+i))
		}
	}
	var out lockedBuffer
	p, err := start(cfg.LoadCPU, argv, &out)
	if err != nil {
		return nil, err
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.stop()
		return nil, ctx.Err()
	}
	res := &load.Result{}
	if err := json.Unmarshal(bytes.TrimSpace(out.bytes()), res); err != nil {
		return nil, p.failure("gave no result (" + p.cmd.ProcessState.String() + ")")
	}
	return res, nil
}

func progressLine(cfg Config, sc Scenario, run Run) string {
	head := fmt.Sprintf("round %d/%d  %-10s %-11s", run.Round, cfg.Rounds, run.Scenario, run.Target)
	if run.Error != "" {
		return head + " FAILED: " + run.Error
	}
	for _, m := range sc.Metrics {
		if v, ok := m.Of(run.Result); ok {
			head += fmt.Sprintf("  "+m.Format+" %s", v, m.Name)
		}
	}
	if !run.Result.Sound() {
		head += fmt.Sprintf("  NOT SOUND: %d wrong, %d failed: %s", run.Result.Wrong, run.Result.Failed, run.Result.FirstError)
	}
	return head
}
