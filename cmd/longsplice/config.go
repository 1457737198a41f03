package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/config"
)

const defaultConfig = "/etc/longsplice/longsplice.toml"

// configFlags go with commands that read a configuration.
func configFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{
			Name: "config", Aliases: []string{"c"}, Value: cli.NewStringSlice(defaultConfig),
			Usage: "`PATH` of a TOML file, or of a folder whose *.toml are read by name; may repeat",
		},
		&cli.BoolFlag{Name: "ignore-unknown-keys", Usage: "warn of unknown keys instead of refusing them"},
	}
}

// loaded is what reading a configuration came to.
type loaded struct {
	config   *config.Config // nil if there are problems
	warnings []config.Warning
	problems config.Problems // what is wrong, or not supported yet
}

// loadConfig reads what -c names. ${NAME} in it is looked up in env.
func loadConfig(env *environment, c *cli.Context) loaded {
	cfg, warnings, err := config.Load(c.StringSlice("config"), config.Options{
		IgnoreUnknownKeys: c.Bool("ignore-unknown-keys"), Env: env.lookupEnv,
	})
	l := loaded{config: cfg, warnings: warnings}
	if err == nil {
		l.problems = cfg.Unsupported()
	} else if !errors.As(err, &l.problems) {
		l.problems = config.Problems{{What: err.Error()}}
	}
	if len(l.problems) > 0 {
		l.config = nil
	}
	return l
}

// print writes warnings and problems, one per line.
func (l loaded) print(env *environment) {
	for _, w := range l.warnings {
		fmt.Fprintf(env.stderr, "%s (warning)\n", w.Error())
	}
	for _, p := range l.problems {
		fmt.Fprintln(env.stderr, p.Error())
	}
}

// err is nil if the configuration can be used.
func (l loaded) err() error {
	if len(l.problems) == 0 {
		return nil
	}
	return cli.Exit(noMoreToSay, exitUsage)
}
