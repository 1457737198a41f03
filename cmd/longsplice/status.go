package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// statusReport is what `status --json` prints: GET /v1/status with the frontends and pools in it.
type statusReport struct {
	balancer.Status
	Frontends []balancer.FrontendStatus `json:"frontends"`
	Pools     []balancer.PoolStatus     `json:"pools"`
}

// statusCommand shows the process as a whole. Its three questions are three moments: sums may differ by what happened
// between them.
func statusCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "status",
		Category: groupAsk,
		Usage:    "sessions held and what binds first, frontends, backends",
		Flags:    []cli.Flag{adminFlag(), jsonFlag()},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			r, err := askStatus(c.Context, newClient(env, c))
			if err != nil {
				return err
			}
			if c.Bool("json") {
				return printJSON(env, r)
			}
			r.print(env)
			return nil
		},
	}
}

func askStatus(ctx context.Context, cl *client) (r statusReport, err error) {
	if err = cl.get(ctx, "/v1/status", nil, &r.Status); err != nil {
		return r, err
	}
	if err = cl.get(ctx, "/v1/frontends", nil, &r); err != nil {
		return r, err
	}
	return r, cl.get(ctx, "/v1/pools", nil, &r)
}

// print writes the process, then tables of frontends, of backends and of what the kernel can do.
func (r *statusReport) print(env *environment) {
	r.printProcess(env)
	t := newTable(env, "FRONTEND", "LISTEN", "POOL", "ACTIVE", "ACCEPTED", "REFUSED", "TO BACKEND", "TO CLIENT")
	for _, f := range r.Frontends {
		t.add(f.Name, strings.Join(f.Listen, " "), f.Pool, f.Active, f.Accepted, sum(f.Refused), bytesText(f.ToBackend), bytesText(f.ToClient))
	}
	fmt.Fprintln(env.stdout)
	t.print()
	t = newTable(env, "BACKEND", "ADDRESS", "STATE", "FOR", "WEIGHT", "SESSIONS", "FAILURES", "TO BACKEND", "TO CLIENT", "WHY")
	for _, p := range r.Pools {
		for _, b := range p.Backends {
			since := "-"
			if !b.Since.IsZero() {
				since = spanText(r.Started.Sub(b.Since).Seconds() + r.UptimeS)
			}
			t.add(p.Name+"/"+b.Name, b.Address, b.State, since, b.Weight, b.Sessions, sum(b.Failures), bytesText(b.ToBackend), bytesText(b.ToClient), b.Why)
		}
	}
	fmt.Fprintln(env.stdout)
	t.print()
	r.printSources(env)
	fmt.Fprintf(env.stdout, "\nLinux %s, as tried at the start:\n", r.Kernel)
	printFeatures(env, r.Features)
}

// printSources writes a line for each source of a backend, if a pool has any.
func (r *statusReport) printSources(env *environment) {
	t := newTable(env, "SOURCE", "BACKEND", "PORTS", "USED", "RESTING", "LEFT", "RUNS OUT IN")
	any := false
	for _, p := range r.Pools {
		for _, b := range p.Backends {
			if b.Ports == nil {
				continue
			}
			for _, s := range b.Ports.Sources {
				any = true
				t.add(s.Source, p.Name+"/"+b.Name, s.Ports, s.Used, s.Resting, s.Limit-s.Used-s.Resting, runsOutText(s.RunsOutS))
			}
		}
	}
	if any {
		fmt.Fprintln(env.stdout)
		t.print()
	}
}

func runsOutText(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return "~" + spanText(seconds)
}

// printProcess says first how many sessions are held, of how many, and what binds first.
func (r *statusReport) printProcess(env *environment) {
	state := "ready"
	if !r.Ready {
		state = "not ready: " + r.NotReady
	}
	fmt.Fprintf(env.stdout, "%d of %d sessions (peak %d); what binds first is %s\n", r.Sessions.Held, r.Sessions.Limit, r.Sessions.Peak, r.BindsFirst)
	fmt.Fprintf(env.stdout, "%s: longsplice %s, pid %d, up %s, %s, generation %d, %s\n",
		r.Name, r.Version, r.PID, spanText(r.UptimeS), plural(r.Workers, "worker"), r.Generation, state)
	fmt.Fprintf(env.stdout, "%d of %d files, %d of %d pipes in use\n", r.FDs.Held, r.FDs.Limit, r.Pipes.Used, r.Pipes.Limit)
	if p := r.Ports; p.Backend != "" {
		fmt.Fprintf(env.stdout, "%d of %d local ports in use towards %s, %d rest; they run out in: %s\n", p.Used, p.Limit, p.Backend, p.Resting, runsOutText(p.RunsOutS))
	}
	fmt.Fprintf(env.stdout, "steering: %s\n", steeringText(r.Steering))
}

// steeringText is what chooses the workers of new connections.
func steeringText(s balancer.Steering) string {
	if s.How != "bpf" {
		return s.How + " (" + s.Why + ")"
	}
	return fmt.Sprintf("bpf (%d by CPU, %d to the least loaded, %d by the kernel)", s.ByCPU, s.LeastLoaded, s.ByKernel)
}

// sum is for counters that are kept by reason.
func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
