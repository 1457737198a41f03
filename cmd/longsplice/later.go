package main

import (
	"strings"

	"github.com/urfave/cli/v2"
)

// laterCommands are those whose names are agreed on and that are not built yet. They are never silently accepted.
func laterCommands() []*cli.Command {
	var all []*cli.Command
	for _, name := range []string{
		"reload", "upgrade", "drain", "undrain", "backend", "frontend", "rebalance", "deny", "log-level", "support", "top",
	} {
		all = append(all, laterCommand(name))
	}
	return all
}

// laterCommand takes any flags and arguments, so that the answer is never about them.
func laterCommand(name string) *cli.Command {
	return &cli.Command{
		Name:            name,
		Hidden:          true,
		Usage:           notSupported,
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			own := strings.TrimPrefix(c.Command.HelpName, programName+" ")
			return cli.Exit(own+": "+notSupported, exitUsage)
		},
	}
}
