package main

import (
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/longsplice/longsplice/benchmarks/run"
	"github.com/longsplice/longsplice/benchmarks/scenarios"
	"github.com/longsplice/longsplice/benchmarks/target"
	"github.com/urfave/cli/v2"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "scenarios with their cases, and targets with what is missing here",
		Flags: targetFlags(),
		Action: func(c *cli.Context) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find this program: %w", err)
			}
			all, at, err := knownTargets(c, self)
			if err != nil {
				return err
			}
			if err := listScenarios(c.App.Writer); err != nil {
				return err
			}
			return listTargets(c.App.Writer, all, max(c.Int("threads"), 1), len(at) > 0)
		},
	}
}

func listScenarios(w io.Writer) error {
	all, err := scenarios.All()
	if err != nil {
		return err
	}
	for _, s := range all {
		fmt.Fprintf(w, "%s: %s\n", s.Name, s.Purpose)
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for i := range s.Cases {
			x := &s.Cases[i]
			fmt.Fprintf(tw, "  %s\t%s\t%s\n", x.ID(), x.Set, x.About)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	return nil
}

func listTargets(w io.Writer, all []target.Target, threads int, fixed bool) error {
	cpus, _, _, err := run.SplitCPUs(threads)
	if err != nil {
		return err
	}
	place := target.Place{CPUs: cpus, Threads: threads}
	there, missing := present(all, place, fixed)
	fmt.Fprintln(w, "targets:")
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range there {
		d := there[i].Describe(place)
		fmt.Fprintf(tw, "  %s\t%s\t%s\n", d.Name, d.About, d.Version)
	}
	for _, m := range missing {
		fmt.Fprintf(tw, "  %s\tmissing: %s\t\n", m.Target, m.Why)
	}
	return tw.Flush()
}
