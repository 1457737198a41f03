package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/target"
	"github.com/urfave/cli/v2"
)

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
	if name := c.String("reference"); name != "" { // list has none
		if _, err := chosen(slices.Clone(all), name); err != nil {
			return nil, nil, fmt.Errorf("--reference: %w", err)
		}
	}
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
