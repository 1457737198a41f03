package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/compare"
	"github.com/urfave/cli/v2"
)

func compareCommand() *cli.Command {
	return &cli.Command{
		Name:  "compare",
		Usage: "run targets side by side and print medians",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "longsplice", Value: "bin/longsplice", Usage: "the balancer's `PATH`"},
			&cli.StringFlag{Name: "targets", Usage: "`NAMES`, comma-separated; default all that are there"},
			&cli.StringFlag{Name: "scenarios", Usage: "`NAMES`, comma-separated; default the short set"},
			&cli.BoolFlag{Name: "full", Usage: "all scenarios"},
			&cli.IntFlag{Name: "rounds", Value: 3},
			&cli.DurationFlag{Name: "window", Value: 1500 * time.Millisecond, Usage: "length of a timed measurement"},
			&cli.Uint64Flag{Name: "bulk-bytes", Value: 1536 << 20, Usage: "`BYTES` of a bulk measurement"},
			&cli.IntFlag{Name: "backends", Value: 4, Usage: "loopback addresses of the backend"},
			&cli.IntFlag{Name: "balancer-cpu", Value: 0},
			&cli.IntFlag{Name: "load-cpu", Value: 1, Usage: "processor of load generator and backend"},
			&cli.StringFlag{Name: "out", Usage: "write `PATH`.json and PATH.md"},
		},
		Action: runCompare,
	}
}

func runCompare(c *cli.Context) error {
	cfg, err := compareConfig(c)
	if err != nil {
		return err
	}
	rep, err := compare.Compare(c.Context, cfg)
	if err != nil {
		return err
	}
	if err := rep.Markdown(os.Stdout); err != nil {
		return err
	}
	if path := c.String("out"); path != "" {
		if err := write(rep, path); err != nil {
			return err
		}
	}
	if n := rep.Unsound(); n > 0 {
		return cli.Exit(fmt.Sprintf("compare: %d measurements failed, had wrong bytes or lost sessions", n), exitUnsound)
	}
	return nil
}

func compareConfig(c *cli.Context) (compare.Config, error) {
	self, err := os.Executable()
	if err != nil {
		return compare.Config{}, fmt.Errorf("find this program: %w", err)
	}
	targets, err := chosen(compare.Targets(self, c.String("longsplice")), c.String("targets"), func(t compare.Target) string { return t.Name })
	if err != nil {
		return compare.Config{}, err
	}
	scenarios, err := chosenScenarios(c)
	if err != nil {
		return compare.Config{}, err
	}
	if c.Int("rounds") < 1 || c.Int("backends") < 1 || c.Int("backends") > 250 {
		return compare.Config{}, cli.Exit("compare: rounds >= 1, backends 1 to 250", exitUsage)
	}
	loadCPU := c.Int("load-cpu")
	if loadCPU >= runtime.NumCPU() {
		fmt.Fprintln(os.Stderr, "one processor only: balancer, load and backend share it, throughput says little")
		loadCPU = 0
	}
	return compare.Config{
		Self: self, Targets: targets, Scenarios: scenarios, Rounds: c.Int("rounds"), Backends: c.Int("backends"),
		BalancerCPU: c.Int("balancer-cpu"), LoadCPU: loadCPU, Progress: func(line string) { fmt.Fprintln(os.Stderr, line) },
	}, nil
}

func chosenScenarios(c *cli.Context) ([]compare.Scenario, error) {
	all := compare.Scenarios(int(c.Duration("window").Milliseconds()), c.Uint64("bulk-bytes"))
	if c.String("scenarios") == "" && !c.Bool("full") {
		all = slices.DeleteFunc(all, func(s compare.Scenario) bool { return s.Full })
	}
	return chosen(all, c.String("scenarios"), func(s compare.Scenario) string { return s.Name })
}

// chosen keeps the named ones, in their own order; no names: all. An unknown name is an error that lists the known.
func chosen[T any](all []T, names string, name func(T) string) ([]T, error) {
	if names == "" {
		return all, nil
	}
	var known []string
	for _, x := range all {
		known = append(known, name(x))
	}
	wanted := strings.Split(names, ",")
	for _, w := range wanted {
		if !slices.Contains(known, w) {
			return nil, cli.Exit(fmt.Sprintf("unknown name %q; there are %s", w, strings.Join(known, ", ")), exitUsage)
		}
	}
	return slices.DeleteFunc(all, func(x T) bool { return !slices.Contains(wanted, name(x)) }), nil
}

func write(rep *compare.Report, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder of results: %w", err)
	}
	text, err := json.MarshalIndent(rep, "", " ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.WriteFile(path+".json", append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	var md strings.Builder
	if err := rep.Markdown(&md); err != nil {
		return err
	}
	return os.WriteFile(path+".md", []byte(md.String()), 0o644)
}
