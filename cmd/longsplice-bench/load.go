package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/progress"
	"github.com/urfave/cli/v2"
)

const loadDescription = `Opens sessions to one or more addresses, loads them and says what came of it. Every byte that comes back
is compared with what was sent: exit code 3 says that one was wrong or a session was lost.

On the other side runs "longsplice-bench serve", or for echo and churn any echo server. With --pid the costs of the
balancer between the two are measured. One thread generates the load; where that was the limit, the result says so.`

func loadCommand() *cli.Command {
	return &cli.Command{
		Name:        "load",
		Usage:       "generate load against an address; every byte is checked",
		Description: loadDescription,
		Action:      noWorkload,
		Subcommands: []*cli.Command{
			echoWorkload(), pushWorkload(), bulkWorkload(), churnWorkload(),
			idleWorkload(), stormWorkload(), slowWorkload(), mixedWorkload(),
		},
	}
}

// usageError is what cli calls for flags that it does not understand.
func usageError(_ *cli.Context, err error, _ bool) error { return cli.Exit(err, exitUsage) }

func noWorkload(c *cli.Context) error {
	if c.Args().Present() {
		return cli.Exit(fmt.Sprintf("unknown workload %q; see longsplice-bench load --help", c.Args().First()), exitUsage)
	}
	return cli.ShowSubcommandHelp(c)
}

// workload makes a subcommand out of what all share and its own flags.
func workload(name, usage string, run func(*cli.Context, load.Config) (*load.Result, error), own ...cli.Flag) *cli.Command {
	shared := []cli.Flag{
		&cli.StringSliceFlag{Name: "to", Usage: "`ADDR:PORT` to load, may repeat; used in turn"},
		&cli.StringSliceFlag{Name: "source", Usage: "local `ADDR` to connect from, may repeat; used in turn"},
		&cli.IntFlag{Name: "pid", Usage: "measure this process and its descendants"},
		&cli.BoolFlag{Name: "syscalls", Usage: "count the system calls of --pid by BPF; needs root, and costs every call of the machine something"},
		&cli.DurationFlag{Name: "warm", Value: 500 * time.Millisecond, Usage: "load before the measurement"},
		&cli.DurationFlag{Name: "for", Value: 5 * time.Second, Usage: "length of the measurement (bulk ends by its bytes)"},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
	}
	return &cli.Command{Name: name, Usage: usage, Flags: append(own, shared...), OnUsageError: usageError, Action: func(c *cli.Context) error {
		if c.Args().Present() {
			return cli.Exit(fmt.Sprintf("load %s: unknown argument %q", name, c.Args().First()), exitUsage)
		}
		cfg, err := sharedConfig(c)
		if err != nil {
			return err
		}
		tell, clear := progress.Bar(os.Stderr)
		cfg.Progress, cfg.Stop = tell, c.Context.Done()
		res, err := run(c, cfg)
		clear()
		if bad := load.BadConfig(""); errors.As(err, &bad) {
			return cli.Exit(err, exitUsage)
		}
		if err != nil {
			return err
		}
		return show(res, c.Bool("json"))
	}}
}

func sharedConfig(c *cli.Context) (load.Config, error) {
	to, err := addrPorts(c.StringSlice("to"))
	if err == nil && len(to) == 0 {
		err = cli.Exit("load "+c.Command.Name+": needs --to ADDR:PORT", exitUsage)
	}
	if err != nil {
		return load.Config{}, err
	}
	cfg := load.Config{
		To: to, PID: c.Int("pid"), Syscalls: c.Bool("syscalls"), Warm: c.Duration("warm"), For: c.Duration("for"),
		WebSocket: c.Bool("websocket"), Path: c.String("path"), // of the workloads that have these flags
	}
	for _, text := range c.StringSlice("source") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return cfg, cli.Exit(fmt.Sprintf("source %q: want an ip address", text), exitUsage)
		}
		cfg.Sources = append(cfg.Sources, a)
	}
	return cfg, nil
}
