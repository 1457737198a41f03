package main

import (
	"github.com/urfave/cli/v2"
)

// runCommand serves until a signal ends it. It exits with 0 after a stop that was asked for, 2 for a configuration that
// cannot be used, 5 where a right is missing and 1 for anything else that keeps it from serving.
func runCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "run",
		Category: groupServe,
		Usage:    "balance, in the foreground",
		Description: "SIGTERM, SIGINT  drain and stop; a second one: at once\n" +
			"SIGUSR1          reopen the access log\n" +
			"SIGQUIT          write goroutines and worker states to the log and go on\n" +
			"SIGHUP, SIGUSR2  reload, upgrade: " + notSupported,
		Flags: configFlags(),
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			l := loadConfig(env, c)
			l.print(env)
			if err := l.err(); err != nil {
				return err
			}
			return newService(env, l.config).run()
		},
	}
}
