package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/run"
	"github.com/longsplice/longsplice/benchmarks/scenarios"
	"github.com/longsplice/longsplice/benchmarks/target"
	"github.com/urfave/cli/v2"
)

// Set by -ldflags -X at build time, as longsplice's.
var (
	version = "dev"
	commit  string
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "measure targets side by side under scenarios",
		ArgsUsage: " ",
		Description: "Without -s: the short set, or with --full all cases; `list` shows them. Every measurement has fresh processes;\n" +
			"rounds are interleaved. The results folder holds report.json, tables, a page with plots and the configurations.\n" +
			"Exit code 3: some measurement failed, had wrong bytes or lost sessions.",
		Flags: append(targetFlags(),
			&cli.StringSliceFlag{Name: "scenario", Aliases: []string{"s"}, Usage: "`NAME`, NAME/CASE or FILE.toml, may repeat"},
			&cli.BoolFlag{Name: "full", Usage: "all cases"},
			&cli.IntFlag{Name: "rounds", Value: 3, Usage: "measurements of each case and target"},
			&cli.StringFlag{Name: "reference", Value: report.DefaultReference, Usage: "the target `NAME` that ratios are taken against"},
			&cli.IntFlag{Name: "sessions", Usage: "instead of each chosen case's own number"},
			&cli.DurationFlag{Name: "for", Usage: "length of the measurement, instead of each case's own"},
			&cli.StringSliceFlag{Name: "with", Usage: "any flag of the load command, `FLAG=VALUE`, for the cases that give it; may repeat"},
			&cli.IntFlag{Name: "backends", Value: 4, Usage: "addresses of the backend"},
			&cli.StringFlag{Name: "balancer-cpus", Usage: "processors `LIST` (0-3,8) of the balancer; default the first, one a thread"},
			&cli.StringFlag{Name: "load-cpus", Usage: "processors `LIST` of load and backend; default the rest"},
			&cli.StringFlag{Name: "out", Usage: "results folder `DIR`; default benchmarks/results/local/DATE"},
		),
		Action: runScenarios,
	}
}

// targetFlags are those that say what is measured; list has them, too.
func targetFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "targets", Usage: "`NAMES`, comma-separated; default all that are here"},
		&cli.StringSliceFlag{Name: "target", Usage: "`NAME=ADDR:PORT[@PID]`, a balancer that runs already (with --backend); may repeat"},
		&cli.StringSliceFlag{Name: "backend", Usage: "`ADDR:PORT` to serve on, instead of any free port: where such a balancer expects its backends; may repeat"},
		&cli.StringFlag{Name: "longsplice", Value: besideUs("longsplice"), Usage: "the balancer's `PATH`"},
		&cli.IntFlag{Name: "threads", Value: 1, Usage: "workers or threads of each balancer"},
	}
}

// besideUs is where the build puts the other program.
func besideUs(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

func runScenarios(c *cli.Context) error {
	cfg, missing, err := runConfig(c)
	if err != nil {
		return err
	}
	rep := cfg.Report(strings.Join(os.Args, " "), c.String("reference"), missing)
	out := c.String("out")
	if out == "" {
		out = freshFolder(filepath.Join("benchmarks", "results", "local", time.Now().Format(time.DateOnly)))
	}
	if err := rep.Save(out); err != nil { // says before the work, not after it, that it cannot be kept
		return err
	}
	announce(cfg, missing, out)
	progress := run.NewProgress(os.Stderr, cfg, rep)
	runErr := cfg.Run(c.Context, rep, progress)
	progress.Close()
	return conclude(rep, out, runErr)
}

// freshFolder is path, or if there is something path-2, path-3 and so on.
func freshFolder(path string) string {
	for n, try := 2, path; ; n++ {
		if _, err := os.Stat(try); errors.Is(err, os.ErrNotExist) {
			return try
		}
		try = fmt.Sprintf("%s-%d", path, n)
	}
}

func announce(cfg run.Config, missing []report.Missing, out string) {
	for _, m := range missing {
		fmt.Fprintf(os.Stderr, "left out: %s: %s\n", m.Target, m.Why)
	}
	n := len(cfg.Cases) * len(cfg.Targets) * cfg.Rounds
	fmt.Fprintf(os.Stderr, "%d cases, %d targets, %d rounds: %d measurements, about %s; results in %s\n",
		len(cfg.Cases), len(cfg.Targets), cfg.Rounds, n, cfg.Estimate().Round(10*time.Second), out)
}

// conclude keeps and shows what there is, also of a run that was stopped.
func conclude(rep *report.Report, out string, runErr error) error {
	if err := errors.Join(rep.Save(out), rep.Table(os.Stdout, report.StyleOf(os.Stdout))); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "written:", out)
	switch n := len(rep.Unsound()); {
	case errors.Is(runErr, context.Canceled):
		return cli.Exit("run: stopped "+rep.Setup.Stopped, exitFailed)
	case runErr != nil:
		return runErr
	case n > 0:
		return cli.Exit(fmt.Sprintf("run: %d of %d measurements failed, had wrong bytes or lost sessions", n, len(rep.Runs)), exitUnsound)
	}
	return nil
}

func runConfig(c *cli.Context) (cfg run.Config, missing []report.Missing, err error) {
	if c.Args().Present() {
		return cfg, nil, usage("run: unexpected %q; scenarios are given by -s", c.Args().First())
	}
	if c.Int("rounds") < 1 || c.Int("backends") < 1 || c.Int("backends") > 200 {
		return cfg, nil, usage("run: want --rounds 1 or more and --backends 1 to 200")
	}
	if cfg.Self, err = os.Executable(); err != nil {
		return cfg, nil, fmt.Errorf("find this program: %w", err)
	}
	cfg.Build = run.Build{Version: version, Commit: commit}
	cfg.Rounds, cfg.Backends = c.Int("rounds"), c.Int("backends")
	if cfg.Cases, err = runCases(c); err != nil {
		return cfg, nil, usage("%v", err)
	}
	if err := runCPUs(c, &cfg); err != nil {
		return cfg, nil, err
	}
	all, at, err := knownTargets(c, cfg.Self)
	if err != nil {
		return cfg, nil, err
	}
	cfg.At = at
	cfg.Targets, missing = present(all, cfg.Place, len(at) > 0)
	if len(cfg.Targets) == 0 {
		return cfg, missing, cli.Exit("run: none of the targets is here; see list", exitFailed)
	}
	return cfg, missing, nil
}

func usage(format string, a ...any) error { return cli.Exit(fmt.Sprintf(format, a...), exitUsage) }

// runCases chooses the cases, changes what the command line changes, and judges them as the load command will.
func runCases(c *cli.Context) ([]scenarios.Case, error) {
	cases, err := scenarios.Choose(c.StringSlice("scenario"), c.Bool("full"))
	if err != nil {
		return nil, err
	}
	if err := override(c, cases); err != nil {
		return nil, err
	}
	var errs []error
	for i := range cases {
		errs = append(errs, checkCase(&cases[i]))
	}
	return cases, errors.Join(errs...)
}

// override gives the command line's values to the cases that have such a flag: one at least.
func override(c *cli.Context, cases []scenarios.Case) error {
	with := c.StringSlice("with")
	if c.IsSet("for") {
		with = append(with, "for="+c.Duration("for").String())
	}
	for _, text := range with {
		name, value, found := strings.Cut(text, "=")
		if !found || name == "" {
			return fmt.Errorf("--with %q: want FLAG=VALUE", text)
		}
		if !change(cases, name, func(x *scenarios.Case) { x.Give(name, value) }) {
			return fmt.Errorf("none of the chosen cases gives --%s", name)
		}
	}
	if !c.IsSet("sessions") {
		return nil
	}
	n := c.Int("sessions")
	if n < 1 {
		return fmt.Errorf("--sessions %d: want 1 or more", n)
	}
	if !change(cases, "sessions", func(x *scenarios.Case) { x.Scale("sessions", n) }) {
		return errors.New("none of the chosen cases gives --sessions")
	}
	return nil
}

func change(cases []scenarios.Case, flag string, do func(*scenarios.Case)) (any bool) {
	for i := range cases {
		if cases[i].Has(flag) {
			do(&cases[i])
			any = true
		}
	}
	return any
}

// checkCase parses the case's flags by the load command's own definitions.
func checkCase(x *scenarios.Case) error {
	all := loadCommand().Subcommands
	i := slices.IndexFunc(all, func(w *cli.Command) bool { return w.Name == x.Workload })
	if i < 0 {
		var known []string
		for _, w := range all {
			known = append(known, w.Name)
		}
		return x.Fault("workload", "%q is unknown; there are %s", x.Workload, strings.Join(known, ", "))
	}
	var errs []error
	for _, f := range x.Load {
		errs = append(errs, checkFlag(x, all[i], f))
	}
	return errors.Join(errs...)
}

func checkFlag(x *scenarios.Case, load *cli.Command, f scenarios.Flag) error {
	set := flag.NewFlagSet(load.Name, flag.ContinueOnError)
	set.SetOutput(io.Discard)
	var known []string
	for _, own := range load.Flags {
		if err := own.Apply(set); err != nil {
			return err
		}
		known = append(known, own.Names()...)
	}
	if set.Lookup(f.Name) == nil {
		return x.Fault("load."+f.Name, "load %s has no such flag; it has %s", load.Name, strings.Join(known, ", "))
	}
	for _, v := range f.Values {
		if err := set.Set(f.Name, v); err != nil {
			return x.Fault("load."+f.Name, "is %q: %v", v, err)
		}
	}
	return nil
}

func runCPUs(c *cli.Context, cfg *run.Config) error {
	threads := c.Int("threads")
	if threads < 1 {
		return usage("run: --threads %d: want 1 or more", threads)
	}
	balancer, rest, shared, err := run.SplitCPUs(threads)
	if err != nil {
		return err
	}
	for _, side := range []struct {
		flag string
		cpus *[]int
	}{{"balancer-cpus", &balancer}, {"load-cpus", &rest}} {
		if text := c.String(side.flag); text != "" {
			if *side.cpus, err = run.ParseCPUs(text); err != nil {
				return usage("--%s: %v", side.flag, err)
			}
		}
	}
	cfg.Place, cfg.LoadCPUs = target.Place{CPUs: balancer, Threads: threads}, rest
	if shared || slices.ContainsFunc(balancer, func(cpu int) bool { return slices.Contains(rest, cpu) }) {
		fmt.Fprintf(os.Stderr, "processors: %d threads on %s, load and backend on %s: too few for a processor each; costs still compare, rates say little\n",
			threads, run.CPUList(balancer), run.CPUList(rest))
	}
	return nil
}

// knownTargets are the program's own and the user's, or those of them that --targets names, and fixed backend addresses.
func knownTargets(c *cli.Context, self string) (all []target.Target, at []netip.AddrPort, err error) {
	if at, err = addrPorts(c.StringSlice("backend")); err != nil {
		return nil, nil, err
	}
	all = target.All(self, c.String("longsplice"))
	var given []target.Target
	for _, text := range c.StringSlice("target") {
		t, err := parseGiven(text)
		if err != nil {
			return nil, nil, err
		}
		if slices.ContainsFunc(append(all, given...), func(x target.Target) bool { return x.Name == t.Name }) {
			return nil, nil, usage("--target %s: there is a target of this name", text)
		}
		given = append(given, t)
	}
	if len(given) > 0 && len(at) == 0 {
		return nil, nil, usage("--target needs --backend: the addresses that the balancer sends its sessions to; run serves there")
	}
	all = append(all, given...)
	if c.String("targets") == "" {
		return all, at, nil
	}
	chosen, err := chosen(all, c.String("targets"))
	return chosen, at, err
}

// parseGiven reads NAME=ADDR:PORT[@PID].
func parseGiven(text string) (target.Target, error) {
	name, rest, _ := strings.Cut(text, "=")
	where, process, hasPID := strings.Cut(rest, "@")
	addr, err := netip.ParseAddrPort(where)
	pid := 0
	if hasPID && err == nil {
		pid, err = strconv.Atoi(process)
	}
	if err != nil || name == "" || hasPID && pid < 1 {
		return target.Target{}, usage("--target %q: want NAME=ADDR:PORT or NAME=ADDR:PORT@PID", text)
	}
	return target.Given(name, addr, pid), nil
}

// chosen keeps the named ones in their own order. An unknown name is an error that lists the known.
func chosen(all []target.Target, names string) ([]target.Target, error) {
	var known []string
	for _, t := range all {
		known = append(known, t.Name)
	}
	wanted := strings.Split(names, ",")
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, usage("unknown target %q; there are %s", w, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(t target.Target) bool { return !slices.Contains(wanted, t.Name) }), nil
}

// present sorts out the targets that are missing here. fixed: the backends' addresses are the user's.
func present(all []target.Target, p target.Place, fixed bool) (there []target.Target, missing []report.Missing) {
	for _, t := range all {
		why := t.Missing(p)
		if fixed && t.OwnNetwork() {
			why = "its backends are in a network of its own, not at --backend"
		}
		if why != "" {
			missing = append(missing, report.Missing{Target: t.Name, Why: why})
			continue
		}
		there = append(there, t)
	}
	return there, missing
}
