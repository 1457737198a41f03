package main

import (
	"os"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/urfave/cli/v2"
)

func reportCommand() *cli.Command {
	return &cli.Command{
		Name:      "report",
		Usage:     "show the results of a run again, or compare those of two",
		ArgsUsage: "DIR | --compare OLD NEW",
		Description: "DIR is a folder that `run` has written, finished or not. What is printed goes to standard output.\n" +
			"Exit code 3, with --fail-on-worse: the first figure of a case got worse, of longsplice if both have it.",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "markdown", Usage: "print the tables as Markdown"},
			&cli.BoolFlag{Name: "html", Usage: "print the page with plots"},
			&cli.BoolFlag{Name: "json", Usage: "print the report, or the comparison, for programs"},
			&cli.BoolFlag{Name: "write", Usage: "write DIR's report.md and index.html again from its report.json"},
			&cli.BoolFlag{Name: "compare", Usage: "say what moved beyond the noise from OLD to NEW"},
			&cli.BoolFlag{Name: "fail-on-worse", Usage: "with --compare: exit code 3 if a case got worse"},
		},
		Action: func(c *cli.Context) error {
			folders, err := flagsAnywhere(c)
			if err != nil {
				return err
			}
			if c.Bool("compare") {
				return compareReports(c, folders)
			}
			return showReport(c, folders)
		},
	}
}

// flagsAnywhere sets the flags that stand behind the folders, too, and returns the folders.
func flagsAnywhere(c *cli.Context) (folders []string, err error) {
	for _, arg := range c.Args().Slice() {
		name := strings.TrimLeft(arg, "-")
		if name == arg {
			folders = append(folders, arg)
			continue
		}
		if err := c.Set(name, "true"); err != nil {
			return nil, usage("report: unknown flag %q", arg)
		}
	}
	return folders, nil
}

func showReport(c *cli.Context, folders []string) error {
	ways := 0
	for _, way := range []string{"markdown", "html", "json", "write"} {
		if c.Bool(way) {
			ways++
		}
	}
	if len(folders) != 1 || ways > 1 || c.Bool("fail-on-worse") {
		return usage("report: want one DIR and at most one of --markdown, --html, --json and --write, or --compare OLD NEW")
	}
	r, err := report.Load(folders[0])
	if err != nil {
		return err
	}
	switch {
	case c.Bool("markdown"):
		return r.Markdown(os.Stdout)
	case c.Bool("html"):
		return r.HTML(os.Stdout)
	case c.Bool("json"):
		return printed(r.JSON())
	case c.Bool("write"):
		return r.Save(folders[0])
	}
	return r.Table(os.Stdout, report.StyleOf(os.Stdout))
}

func compareReports(c *cli.Context, folders []string) error {
	if len(folders) != 2 || c.Bool("markdown") || c.Bool("html") || c.Bool("write") {
		return usage("report: want --compare OLD NEW, with --json or --fail-on-worse at most")
	}
	from, err := report.Load(folders[0])
	if err != nil {
		return err
	}
	to, err := report.Load(folders[1])
	if err != nil {
		return err
	}
	found := report.Compare(from, to)
	if c.Bool("json") {
		err = printed(found.JSON())
	} else {
		err = found.Table(os.Stdout, report.StyleOf(os.Stdout))
	}
	if worse := found.Worse(); err == nil && c.Bool("fail-on-worse") && len(worse) > 0 {
		return cli.Exit("report: worse beyond the noise in a first figure: "+namesOf(worse), exitUnsound)
	}
	return err
}

func namesOf(moves []report.Move) string {
	var names []string
	for _, m := range moves {
		names = append(names, m.Case+" of "+m.Target)
	}
	return strings.Join(names, ", ")
}

func printed(text []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}
