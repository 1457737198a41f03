package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/tuning"
)

// tuneDoctor says how many sessions this host holds, and what binds first.
func tuneDoctor(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "how many sessions this host holds, what binds first, and what moves it",
		Description: "Changes nothing. Without a configuration one frontend and one backend are supposed.\n" +
			"Exit codes: 0 the goal is held, 2 the configuration is wrong, 3 something falls short of the goal.",
		Flags: append(goalFlags(), &cli.BoolFlag{Name: "all", Usage: "give formula and reason of each limit that is fine too"}),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			return doctor(env, c)
		},
	}
}

// doctorCommand is the same at the top, where people look for it.
func doctorCommand(env *environment) *cli.Command {
	c := tuneDoctor(env)
	c.Category = groupHost
	c.Usage = "short for tune doctor: " + c.Usage
	return c
}

func doctor(env *environment, c *cli.Context) error {
	goal, roots, err := goalOf(env, c)
	if err != nil {
		return err
	}
	r, err := tuning.Inspect(roots, goal)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		if err := printJSON(env, r); err != nil {
			return err
		}
	} else {
		printReport(env, r, c.Bool("all"))
	}
	if r.Verdict.Short > 0 {
		return cli.Exit(noMoreToSay, exitShort)
	}
	return nil
}

// printReport writes the verdict, every limit on one line, what moves those that are not fine, and notes.
func printReport(env *environment, r *tuning.Report, all bool) {
	colour := "32"
	if r.Verdict.Short > 0 {
		colour = "31"
	}
	fmt.Fprintln(env.stdout, coloured(env, colour, r.Verdict.Text))
	fmt.Fprintf(env.stdout, "goal: %s\n%s\n\n", goalText(r), r.Verdict.Outlook)
	t := newTable(env, "LIMIT", "NOW", "NEEDED", "SESSIONS", "STATE")
	for i := range r.Limits {
		l := &r.Limits[i]
		t.add(l.Name, l.Current, l.Needed, sessionsText(l.Sessions), string(l.State))
	}
	t.print()
	for i := range r.Limits {
		if l := &r.Limits[i]; all || l.State != tuning.Fine {
			printLimit(env, l)
		}
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(env.stdout, "\n"+coloured(env, "1", "NOTES"))
	}
	for _, n := range r.Notes {
		printIndented(env, "- ", n.About+": "+n.Text)
		printCommand(env, n.Command)
	}
}

func goalText(r *tuning.Report) string {
	text := tuning.Count(int64(r.Goal.Sessions)) + " sessions"
	if r.Goal.Supposed {
		return text + " over one backend (no configuration was read)"
	}
	return text + " for " + strings.Join(r.Goal.Files, ", ")
}

// sessionsText is empty for a limit that bounds no number.
func sessionsText(n int64) string {
	if n == tuning.Unbounded {
		return ""
	}
	return tuning.Count(n)
}

var stateColours = map[tuning.State]string{tuning.Short: "31", tuning.Warn: "33", tuning.Fine: "32"}

// printLimit writes the reason and what moves the limit.
func printLimit(env *environment, l *tuning.Limit) {
	fmt.Fprintf(env.stdout, "\n%s  %s\n", coloured(env, stateColours[l.State], string(l.State)), coloured(env, "1", l.Name))
	printIndented(env, "", l.Why)
	printIndented(env, "= ", l.Formula)
	if l.SetBy != "" {
		printIndented(env, "", "set at boot by "+l.SetBy)
	}
	printCommand(env, l.Command)
}

func printCommand(env *environment, command string) {
	if command != "" {
		fmt.Fprintln(env.stdout, "       "+coloured(env, "36", "$ "+command))
	}
}

// printIndented wraps a text below the state of its limit. A text of several lines is left as it is.
func printIndented(env *environment, mark, text string) {
	const width, indent = 100, "       "
	line := indent + mark
	for n, part := range strings.Split(text, "\n") {
		if n > 0 {
			fmt.Fprintln(env.stdout, line)
			line = indent + "  " + part
			continue
		}
		for _, word := range strings.Fields(part) {
			if len(line)+len(word) > width {
				fmt.Fprintln(env.stdout, strings.TrimRight(line, " "))
				line = indent + strings.Repeat(" ", len(mark))
			}
			line += word + " "
		}
	}
	fmt.Fprintln(env.stdout, strings.TrimRight(line, " "))
}
