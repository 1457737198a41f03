package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/tuning"
)

func persistFlag() cli.Flag {
	return &cli.BoolFlag{Name: "persist", Usage: "also write files, so that it is so after the next boot: sysctl.d, modules-load.d, a drop-in of the unit"}
}

func tunePlan(env *environment) *cli.Command {
	return &cli.Command{
		Name:        "plan",
		Usage:       "show what apply would change, with a reason for each",
		Description: "Changes nothing.",
		Flags:       append(goalFlags(), persistFlag()),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			_, goal, plan, err := planOf(env, c)
			switch {
			case err != nil:
				return err
			case c.Bool("json"):
				return printJSON(env, plan)
			}
			printPlan(env, goal, plan)
			return nil
		},
	}
}

// planOf inspects the host and plans for the goal.
func planOf(env *environment, c *cli.Context) (*tuning.Tuner, tuning.Goal, *tuning.Plan, error) {
	goal, roots, err := goalOf(env, c)
	if err != nil {
		return nil, goal, nil, err
	}
	report, err := tuning.Inspect(roots, goal)
	if err != nil {
		return nil, goal, nil, err
	}
	t := &tuning.Tuner{Roots: roots, Links: env.host.Links}
	plan, err := t.Plan(report.Needs, c.Bool("persist"))
	return t, goal, plan, err
}

// printPlan writes a diff with a reason on each line.
func printPlan(env *environment, g tuning.Goal, p *tuning.Plan) {
	for _, change := range p.Changes {
		printChange(env, change)
	}
	if len(p.Changes) == 0 {
		fmt.Fprintf(env.stdout, "nothing to change for %s\n", plural(g.Sessions, "session"))
	}
	if len(p.Skipped) > 0 {
		fmt.Fprintln(env.stdout, "\nonly with --persist:")
		for _, change := range p.Skipped {
			printChange(env, change)
		}
	}
	if len(p.Notes) > 0 {
		fmt.Fprintln(env.stdout)
		bullet(env.stdout, p.Notes)
	}
}

func printChange(env *environment, ch tuning.Change) {
	had, what := "", ch.Name
	switch ch.Kind {
	case tuning.Sysctl:
		had, what = ch.Name+" = "+or(ch.From, "(empty)"), ch.Name+" = "+or(ch.To, "(empty)")
	case tuning.File:
		if ch.From != tuning.NoFile {
			had = ch.Name + " (" + ch.From + ")"
		}
	}
	if had != "" {
		fmt.Fprintln(env.stdout, coloured(env, "31", "- "+had))
	}
	fmt.Fprintf(env.stdout, "%s    # %s\n", coloured(env, "32", "+ "+what), ch.Why)
	if ch.Kind == tuning.File {
		for line := range strings.Lines(ch.Text) {
			fmt.Fprint(env.stdout, "    | "+line)
		}
	}
}

func coloured(env *environment, colour, text string) string {
	if !colourful(env, env.stdout) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// applyReport is what `tune apply --json` prints.
type applyReport struct {
	Changed []tuning.Outcome `json:"changed"`
	Stuck   []tuning.Outcome `json:"stuck"` // after an error: what could not be undone
	Skipped []tuning.Change  `json:"skipped"`
	Notes   []string         `json:"notes"`
	Error   string           `json:"error,omitempty"`
}

func tuneApply(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "apply",
		Usage: "change the host, remembering what was there",
		Description: "Shows the plan and asks. What was there before the first apply is kept in process.state_dir, and\n" +
			"`longsplice tune revert` puts it back. If one change fails, those before it are undone.",
		Flags: append(goalFlags(), persistFlag(), &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"}),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			if err := mayApply(env, c); err != nil {
				return err
			}
			t, goal, plan, err := planOf(env, c)
			if err != nil {
				return err
			}
			if !c.Bool("json") {
				printPlan(env, goal, plan)
			}
			if len(plan.Changes) > 0 && !c.Bool("yes") && !agreed(env, len(plan.Changes)) {
				return cli.Exit("tune apply: nothing was changed", exitFailed)
			}
			return apply(env, c, t, plan)
		},
	}
}

// mayApply refuses to change a host that nobody has agreed to.
func mayApply(env *environment, c *cli.Context) error {
	if err := needRoot(env, c, "writes /proc/sys and adds addresses (CAP_NET_ADMIN, CAP_SYS_ADMIN), with --persist also /etc"); err != nil {
		return err
	}
	switch {
	case c.Bool("yes"):
		return nil
	case c.Bool("json"):
		return usage(c, "--json leaves no room for a question: give --yes too")
	case !isTerminal(env.stdin):
		return usage(c, "there is no terminal to ask on: give --yes")
	}
	return nil
}

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// agreed asks. Anything but a yes is a no.
func agreed(env *environment, changes int) bool {
	fmt.Fprintf(env.stderr, "apply these %s? [y/N] ", plural(changes, "change"))
	answer, _ := bufio.NewReader(env.stdin).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// apply goes on line by line; Ctrl-C undoes what is done so far.
func apply(env *environment, c *cli.Context, t *tuning.Tuner, plan *tuning.Plan) error {
	ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if !c.Bool("json") {
		t.Tell = func(o tuning.Outcome) { printOutcome(env, o) }
	}
	changed, err := t.Apply(ctx, plan)
	if errors.Is(err, context.Canceled) {
		err = fmt.Errorf("interrupted: %w", err)
	}
	if !c.Bool("json") {
		if len(changed) > 0 {
			fmt.Fprintf(env.stdout, "%s made; `longsplice tune revert` puts back what was there\n", plural(len(changed), "change"))
		}
		return err
	}
	r := applyReport{
		Changed: append([]tuning.Outcome{}, changed...), Stuck: []tuning.Outcome{}, Skipped: plan.Skipped, Notes: plan.Notes,
	}
	if err != nil {
		r.Error = err.Error()
	}
	if failure := new(tuning.ApplyError); errors.As(err, &failure) {
		r.Stuck = append(r.Stuck, failure.Stuck...)
	}
	return errors.Join(printJSON(env, r), err)
}

// printOutcome writes what became of one thing.
func printOutcome(env *environment, o tuning.Outcome) {
	what := or(o.From, "(empty)") + " -> " + or(o.To, "(empty)")
	if o.Result == tuning.Already || o.From == o.To {
		what = or(o.To, "(empty)")
	}
	colour := map[tuning.Result]string{
		tuning.Changed: "32", tuning.Restored: "32", tuning.Undone: "33", tuning.Left: "31", tuning.Failed: "31", tuning.Drifted: "31",
	}[o.Result]
	line := coloured(env, colour, fmt.Sprintf("%-8s", o.Result)) + "  " + o.Name + ": " + what
	if o.Why != "" && o.Result != tuning.Changed {
		line += " (" + o.Why + ")"
	}
	fmt.Fprintln(env.stdout, line)
}
