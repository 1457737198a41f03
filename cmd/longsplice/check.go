package main

import (
	"bytes"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/config"
)

// checkReport is what `check --json` prints.
type checkReport struct {
	OK        bool             `json:"ok"`
	Files     []string         `json:"files"`
	Problems  []config.Problem `json:"problems"`
	Warnings  []config.Warning `json:"warnings"`
	Frontends int              `json:"frontends"`
	Pools     int              `json:"pools"`
	Backends  int              `json:"backends"`
	Effective string           `json:"effective,omitempty"` // with --print: the whole configuration as TOML
	Live      []config.Problem `json:"live,omitempty"`      // with --live: what this host lacks
}

// checkCommand validates without opening anything. What `run` would refuse, it refuses: keys that are understood and not
// supported yet are problems too.
func checkCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "check",
		Category: groupServe,
		Usage:    "validate a configuration; nothing is opened",
		Description: "Prints every problem as FILE:LINE: key: what is wrong; what would be right.\n" +
			"Exit codes: 0 right, 2 wrong, 3 right, but --live found that something is missing here.",
		Flags: append(configFlags(), jsonFlag(),
			&cli.BoolFlag{Name: "print", Usage: "print the effective configuration with its defaults marked"},
			&cli.BoolFlag{Name: "live", Usage: "look at this host too: addresses, ports, rights, names, files"},
			&cli.BoolFlag{Name: "diff", Usage: "compare with the running process (" + notSupported + ")"}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage(c, fmt.Sprintf("takes no argument; did you mean -c %s?", c.Args().First()))
			}
			if c.Bool("diff") {
				return cli.Exit("check --diff: "+notSupported, exitUsage)
			}
			return check(env, c)
		},
	}
}

// check prints its findings in one of three forms (text, JSON, the effective configuration) and returns the exit code.
func check(env *environment, c *cli.Context) error {
	l := loadConfig(env, c)
	r := newCheckReport(l)
	if l.config != nil && c.Bool("print") {
		var text bytes.Buffer
		if err := l.config.Print(&text); err != nil {
			return fmt.Errorf("print the configuration: %w", err)
		}
		r.Effective = text.String()
	}
	if l.config != nil && c.Bool("live") {
		r.Live = lookAround(c.Context, l.config)
		r.OK = len(r.Live) == 0
	}
	if c.Bool("json") {
		if err := printJSON(env, r); err != nil {
			return err
		}
	} else {
		l.print(env)
		r.print(env)
	}
	if err := l.err(); err != nil {
		return err
	}
	if len(r.Live) > 0 {
		return cli.Exit(noMoreToSay, exitShort)
	}
	return nil
}

func newCheckReport(l loaded) checkReport {
	r := checkReport{
		OK: l.config != nil, Files: []string{},
		Problems: append([]config.Problem{}, l.problems...), Warnings: append([]config.Warning{}, l.warnings...),
	}
	if l.config == nil {
		return r
	}
	r.Files, r.Frontends, r.Pools = l.config.Files, len(l.config.Frontends), len(l.config.Pools)
	for i := range l.config.Pools {
		r.Backends += len(l.config.Pools[i].Backends)
	}
	return r
}

// print writes what was found, beside the problems. With --print nothing but the configuration goes to stdout, so that it
// can be kept in a file.
func (r checkReport) print(env *environment) {
	for _, p := range r.Live {
		fmt.Fprintln(env.stderr, p.Error())
	}
	switch {
	case r.Effective != "":
		fmt.Fprint(env.stdout, r.Effective)
	case r.OK:
		fmt.Fprintf(env.stdout, "ok: %s, %s, %s\n", plural(r.Frontends, "frontend"), plural(r.Pools, "pool"), plural(r.Backends, "backend"))
	}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
