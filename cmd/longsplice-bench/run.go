package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/run"
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
			&cli.IntFlag{Name: "processes", Usage: "with -s idle: so many longsplice processes that share one port, as many sessions as memory allows (or --sessions); 0 = as many processes as they need. See scale"},
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

func runScenarios(c *cli.Context) error {
	if c.IsSet("processes") {
		if !slices.Equal(c.StringSlice("scenario"), []string{"idle"}) {
			return usage("run: --processes goes with -s idle alone")
		}
		return runScale(c)
	}
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
	announce(cfg, missing, c.String("reference"), out)
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

func announce(cfg run.Config, missing []report.Missing, reference, out string) {
	if !slices.ContainsFunc(cfg.Targets, func(t target.Target) bool { return t.Name == reference }) {
		fmt.Fprintf(os.Stderr, "reference: %s takes no part: no ratios to it\n", reference)
	}
	for _, m := range missing {
		fmt.Fprintf(os.Stderr, "left out: %s: %s\n", m.Target, m.Why)
	}
	n := len(cfg.Cases) * len(cfg.Targets) * cfg.Rounds
	fmt.Fprintf(os.Stderr, "%s, %s, %s: %s, about %s; results in %s\n", count(len(cfg.Cases), "case"), count(len(cfg.Targets), "target"),
		count(cfg.Rounds, "round"), count(n, "measurement"), cfg.Estimate().Round(10*time.Second), out)
}

func count(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
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
