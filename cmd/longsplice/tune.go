package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/tuning"
)

// tuneCommand is the host companion: doctor and plan look, apply and revert change, verify compares.
func tuneCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "tune",
		Category: groupHost,
		Usage:    "make this host hold more sessions, and put it back (tune --help: how)",
		Subcommands: []*cli.Command{
			tuneDoctor(env), tunePlan(env), tuneApply(env), tuneVerify(env), tuneRevert(env),
		},
	}
}

// goalFlags go with commands that work out what the host has to hold.
func goalFlags() []cli.Flag {
	return append(configFlags(), jsonFlag(),
		&cli.IntFlag{Name: "sessions", Usage: "aim for `N` sessions", DefaultText: "[tuning] sessions"})
}

// goalOf is what -c and --sessions ask for. Without -c and without a file at its default there is no configuration: then a
// usual one is supposed.
func goalOf(env *environment, c *cli.Context) (tuning.Goal, tuning.Roots, error) {
	cfg, err := tunedConfig(env, c)
	if err != nil {
		return tuning.Goal{}, tuning.Roots{}, err
	}
	g, err := tuning.Suppose()
	if cfg != nil {
		g, err = tuning.GoalOf(cfg), nil
	}
	if err != nil {
		return tuning.Goal{}, tuning.Roots{}, err
	}
	if c.IsSet("sessions") {
		if g.Sessions = c.Int("sessions"); g.Sessions < 1 {
			return g, tuning.Roots{}, usage(c, fmt.Sprintf("--sessions %d: at least 1", g.Sessions))
		}
	}
	return g, tunedRoots(env, cfg), nil
}

// tunedConfig is nil if -c is not given and there is none. Keys that `run` does not support yet are no matter here.
func tunedConfig(env *environment, c *cli.Context) (*config.Config, error) {
	if !c.IsSet("config") {
		if _, err := os.Stat(defaultConfig); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	cfg, warnings, err := config.Load(c.StringSlice("config"), config.Options{
		IgnoreUnknownKeys: c.Bool("ignore-unknown-keys"), Env: env.lookupEnv,
	})
	l := loaded{config: cfg, warnings: warnings}
	if err != nil && !errors.As(err, &l.problems) {
		return nil, err
	}
	l.print(env)
	return cfg, l.err()
}

// tunedRoots are where the host is seen. The state is where the configuration has it.
func tunedRoots(env *environment, cfg *config.Config) tuning.Roots {
	r := env.host.Roots
	if r == (tuning.Roots{}) {
		r = tuning.Host()
	}
	if cfg != nil && cfg.Process.StateDir != tuning.Host().State {
		r.State = cfg.Process.StateDir
	}
	return r
}

// needRoot refuses what the kernel would refuse in the middle.
func needRoot(env *environment, c *cli.Context, what string) error {
	if env.euid == 0 {
		return nil
	}
	return cli.Exit(fmt.Sprintf("tune %s: needs root, and this is uid %d: it %s", c.Command.Name, env.euid, what), exitRefused)
}
