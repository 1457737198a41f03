package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/scenarios"
	"github.com/longsplice/longsplice/benchmarks/target"
)

// hung is how much longer than estimated a load generator may take before it is ended.
const hung = 90 * time.Second

// measure does one measurement: stage, backends, balancer, load, and back.
func (cfg Config) measure(ctx context.Context, c scenarios.Case, t *target.Target, run *report.Run) error {
	stage, err := t.Prepare(cfg.Backends)
	if err != nil {
		return err
	}
	defer stage.Close()
	backends, addrs, err := cfg.startBackends(c, stage)
	defer stopAll(backends)
	if err != nil {
		return err
	}
	live, err := stage.Start(cfg.Place, addrs)
	if err != nil {
		return err
	}
	defer live.Stop()
	ours := slices.Concat(backends, live.Processes())
	before := readUse(ours)
	if c.Apart { // the one that dies
		c.Give("kill", fmt.Sprint(backends[0].PID()))
	}
	generator, err := cfg.load(ctx, fit(c, t), live, stage)
	if err != nil {
		return errors.Join(live.Fault(), err)
	}
	run.Foreign = before.foreign(readUse(ours), generator.CPUSeconds())
	if fault := live.Fault(); fault != nil {
		return fault
	}
	run.Result, err = result(generator)
	return err
}

// fit gives a target no more silent sessions than it has descriptors for.
func fit(c scenarios.Case, t *target.Target) scenarios.Case {
	if c.Workload == "idle" && c.Top("sessions") > t.MaxSessions() {
		c.Scale("sessions", t.MaxSessions()/100*100)
	}
	return c
}

// startBackends serves on the stage, by one process, or where the case wants one to die by one for each address.
func (cfg Config) startBackends(c scenarios.Case, stage *target.Stage) (running []*child.Process, addrs []netip.AddrPort, err error) {
	listen := cfg.At
	if len(listen) == 0 {
		for _, a := range stage.Backends {
			listen = append(listen, netip.AddrPortFrom(a, 0))
		}
	}
	groups := [][]netip.AddrPort{listen}
	if c.Apart {
		groups = slices.Collect(slices.Chunk(listen, 1))
	}
	for _, group := range groups {
		argv := append([]string{cfg.Self, "serve", "--mode", c.Serve}, flags("--listen", group)...)
		if c.On("websocket") { // both ends speak it
			argv = append(argv, "--websocket")
		}
		p, err := child.Start(child.Spec{Argv: argv, CPUs: cfg.LoadCPUs})
		if err != nil {
			return running, nil, err
		}
		running = append(running, p)
		line, err := p.Line()
		if err != nil {
			return running, nil, err
		}
		serving, err := parseListening(line)
		if err != nil {
			return running, nil, err
		}
		addrs = append(addrs, serving...)
	}
	return running, addrs, nil
}

func stopAll(running []*child.Process) {
	for _, p := range running {
		p.Stop()
	}
}

// parseListening reads the line that serve opens with.
func parseListening(line string) (addrs []netip.AddrPort, err error) {
	words := strings.Fields(line)
	if len(words) < 2 || words[0] != "listening" {
		return nil, fmt.Errorf("parse backend's line %q: want listening ADDR", line)
	}
	for _, w := range words[1:] {
		a, err := netip.ParseAddrPort(w)
		if err != nil {
			return nil, fmt.Errorf("parse backend's line %q: %w", line, err)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}

// load runs the generator as a process of its own, to its end.
func (cfg Config) load(ctx context.Context, c scenarios.Case, live *target.Live, stage *target.Stage) (*child.Process, error) {
	argv := append([]string{cfg.Self, "load"}, c.Args()...)
	argv = append(argv, "--json", "--pid", fmt.Sprint(live.PID))
	argv = append(argv, flags("--to", live.To)...)
	if c.Spread {
		argv = append(argv, flags("--source", stage.Sources)...)
	}
	p, err := child.Start(child.Spec{Argv: argv, CPUs: cfg.LoadCPUs})
	if err != nil {
		return nil, err
	}
	limit := time.NewTimer(c.Estimate() + hung)
	defer limit.Stop()
	select {
	case <-p.Ended():
		return p, nil
	case <-limit.C:
		p.Kill()
		return nil, fmt.Errorf("load %s: not done after %s", c.Workload, (c.Estimate() + hung).Round(time.Second))
	case <-ctx.Done():
		p.Kill()
		return nil, ctx.Err()
	}
}

// result reads what the generator wrote. An unsound result is returned as it is.
func result(p *child.Process) (*load.Result, error) {
	res := &load.Result{}
	if err := json.Unmarshal(bytes.TrimSpace(p.Output()), res); err != nil {
		return nil, p.Failure("gave no result")
	}
	return res, nil
}

func flags[T fmt.Stringer](name string, addrs []T) (argv []string) {
	for _, a := range addrs {
		argv = append(argv, name, a.String())
	}
	return argv
}
