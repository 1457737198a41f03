package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// groups are what help sorts commands by, in its order.
var groups = []string{groupServe, groupAsk, groupHost}

const (
	groupServe = "Balance"
	groupAsk   = "Ask a running process"
	groupHost  = "The host"
)

// helpCommand answers `help COMMAND` as `COMMAND --help`, so that a mistyped one is complained about in the same way.
func helpCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:  "help",
		Usage: "tell more of a command", ArgsUsage: "[COMMAND]",
		Category: groupServe,
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return cli.ShowAppHelp(c)
			}
			words := append([]string{programName}, c.Args().Slice()...)
			return newApp(env).Run(append(words, "--help"))
		},
	}
}

// appHelp is what `longsplice` alone prints. It is a template without any action.
func appHelp(commands []*cli.Command) string {
	var b strings.Builder
	b.WriteString(`longsplice splices very many long-lived TCP connections to their backends.

  longsplice demo            see it work: backends, clients and a status page in one process
  longsplice check -c FILE   see whether a configuration is right
  longsplice run -c FILE     balance
`)
	var later []string
	for _, group := range groups {
		fmt.Fprintf(&b, "\n%s:\n", group)
		for _, c := range commands {
			if c.Category == group {
				fmt.Fprintf(&b, "  %-12s %s\n", c.Name, c.Usage)
			}
		}
	}
	for _, c := range commands {
		if c.Hidden {
			later = append(later, c.Name)
		}
	}
	fmt.Fprintf(&b, "\nNot supported yet: %s\n\n%s COMMAND --help tells more.\n", strings.Join(later, ", "), programName)
	return b.String()
}
