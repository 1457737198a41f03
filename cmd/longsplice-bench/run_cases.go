package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/scenarios"
	"github.com/urfave/cli/v2"
)

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
		if !change(cases, name, func(x *scenarios.Case) { x.Give(name, value); remark(x, name, value) }) {
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
	if !change(cases, "sessions", func(x *scenarios.Case) { x.Scale("sessions", n); remark(x, "sessions", strconv.Itoa(n)) }) {
		return errors.New("none of the chosen cases gives --sessions")
	}
	return nil
}

// remark says in the case's words that it is not as they tell.
func remark(x *scenarios.Case, flag, value string) {
	x.About += fmt.Sprintf("; here --%s=%s", flag, value)
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
