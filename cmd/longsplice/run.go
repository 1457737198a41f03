package main

import (
	"github.com/urfave/cli/v2"
)

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
