package main

import (
	"fmt"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/tuning"
)

// stateFlags go with commands that ask what apply has done.
func stateFlags() []cli.Flag {
	return append(configFlags(), jsonFlag(),
		&cli.StringFlag{Name: "state-dir", Usage: "`PATH` of the folder in which apply remembers", DefaultText: "process.state_dir"})
}

// applied is a Tuner for what was applied. A configuration that went wrong since is no reason not to put things back.
func applied(env *environment, c *cli.Context) (*tuning.Tuner, error) {
	t := &tuning.Tuner{Roots: tunedRoots(env, nil), Links: env.host.Links}
	if dir := c.String("state-dir"); dir != "" {
		var err error
		t.Roots.State, err = filepath.Abs(dir)
		return t, err
	}
	cfg, err := tunedConfig(env, c)
	switch {
	case err == nil:
		t.Roots = tunedRoots(env, cfg)
	case c.IsSet("config"):
		return nil, err
	default:
		fmt.Fprintf(env.stderr, "%s cannot be read; looking for what was applied in %s (--state-dir names another)\n", defaultConfig, t.Roots.State)
	}
	return t, nil
}

// verifyReport is what `tune verify --json` prints.
type verifyReport struct {
	OK    bool             `json:"ok"`
	Held  int              `json:"held"` // how many things are as apply has made them
	Drift []tuning.Outcome `json:"drift"`
}

func tuneVerify(env *environment) *cli.Command {
	return &cli.Command{
		Name:        "verify",
		Usage:       "check that what was applied still holds",
		Description: "Exit codes: 0 it holds or nothing was applied, 3 something has drifted.",
		Flags:       stateFlags(),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			t, err := applied(env, c)
			if err != nil {
				return err
			}
			drift, n, err := t.Verify()
			if err != nil {
				return err
			}
			r := verifyReport{OK: len(drift) == 0, Held: n - len(drift), Drift: append([]tuning.Outcome{}, drift...)}
			if c.Bool("json") {
				err = printJSON(env, r)
			} else {
				r.print(env)
			}
			if err == nil && !r.OK {
				err = cli.Exit(noMoreToSay, exitShort)
			}
			return err
		},
	}
}

func (r verifyReport) print(env *environment) {
	for _, o := range r.Drift {
		printOutcome(env, o)
	}
	switch {
	case r.Held == 0 && r.OK:
		fmt.Fprintln(env.stdout, "nothing was applied")
	case r.OK:
		fmt.Fprintf(env.stdout, "ok: %s as applied\n", plural(r.Held, "thing"))
	default:
		fmt.Fprintf(env.stdout, "%d of %d drifted; `longsplice tune apply` sets them again\n", len(r.Drift), len(r.Drift)+r.Held)
	}
}

// revertReport is what `tune revert --json` prints.
type revertReport struct {
	OK       bool             `json:"ok"`
	Outcomes []tuning.Outcome `json:"outcomes"`
	State    string           `json:"state,omitempty"` // the file that remembers what is not put back
}

func tuneRevert(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "revert",
		Usage: "put back what was there before the first apply",
		Description: "What somebody else has changed since is left as it is and named, exit code 1.\n" +
			"Sessions over a source address that apply has added end with it.",
		Flags: stateFlags(),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if err := needRoot(env, c, "writes what `tune apply` has changed"); err != nil {
				return err
			}
			t, err := applied(env, c)
			if err != nil {
				return err
			}
			return revert(env, c, t)
		},
	}
}

func revert(env *environment, c *cli.Context, t *tuning.Tuner) error {
	if !c.Bool("json") {
		t.Tell = func(o tuning.Outcome) { printOutcome(env, o) }
	}
	outcomes, err := t.Revert()
	if err != nil {
		return err
	}
	r := revertReport{OK: true, Outcomes: append([]tuning.Outcome{}, outcomes...)}
	kept := 0
	for _, o := range outcomes {
		if o.Result == tuning.Left || o.Result == tuning.Failed {
			r.OK, r.State = false, t.StatePath()
			kept++
		}
	}
	switch {
	case c.Bool("json"):
		err = printJSON(env, r)
	case len(outcomes) == 0:
		fmt.Fprintln(env.stdout, "nothing to revert: nothing was applied")
	case r.OK:
		fmt.Fprintln(env.stdout, "all is as it was before")
	default:
		fmt.Fprintf(env.stdout, "%d not put back; what they were is kept in %s: revert again once they are put right, or remove it\n", kept, r.State)
	}
	if err == nil && !r.OK {
		err = cli.Exit(noMoreToSay, exitFailed)
	}
	return err
}
