package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/scale"
	"github.com/urfave/cli/v2"
)

func scaleCommand() *cli.Command {
	return &cli.Command{
		Name:  "scale",
		Usage: "hold as many silent sessions as memory allows, over several longsplice processes",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "longsplice", Value: "bin/longsplice", Usage: "the balancer's `PATH`"},
			&cli.IntFlag{Name: "processes", Usage: "longsplice processes; 0 = as many as the sessions need"},
			&cli.IntFlag{Name: "sessions", Usage: "of all processes; 0 = as many as memory and descriptors allow"},
			&cli.IntFlag{Name: "steps", Value: 5, Usage: "measurements on the way there"},
			&cli.Float64Flag{Name: "budget", Value: scale.DefaultBudget, Usage: "share of the available memory that may go"},
			&cli.DurationFlag{Name: "rest", Value: 3 * time.Second, Usage: "how long processors are watched at each step"},
			&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		},
		Action: runScale,
	}
}

func runScale(c *cli.Context) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	res, err := scale.Run(c.Context, scale.Config{
		Self: self, Longsplice: c.String("longsplice"), Processes: c.Int("processes"), Sessions: c.Int("sessions"),
		Steps: c.Int("steps"), Budget: c.Float64("budget"), Rest: c.Duration("rest"),
		Progress: func(line string) { fmt.Fprintln(os.Stderr, line) },
	})
	if err != nil {
		return err
	}
	if c.Bool("json") {
		err = json.NewEncoder(os.Stdout).Encode(res)
	} else {
		_, err = fmt.Println(strings.Join(res.Lines(), "\n"))
	}
	if err == nil && !res.Sound() {
		err = cli.Exit(fmt.Sprintf("%d sessions of %d echoed; %d with wrong bytes, %d failed: %s", res.Checked, res.Sessions, res.Wrong, res.Failed, res.FirstError), exitUnsound)
	}
	return err
}

// holdCommand is what scale starts as clients.
func holdCommand() *cli.Command {
	return &cli.Command{
		Name:   "hold",
		Usage:  "hold silent sessions on commands from standard input: open N, check",
		Hidden: true,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "to", Required: true, Usage: "`ADDR:PORT`, may repeat; used in turn"},
			&cli.StringSliceFlag{Name: "source", Usage: "local `ADDR` to connect from, may repeat; used in turn"},
			&cli.IntFlag{Name: "first", Usage: "number of the first session"},
			&cli.DurationFlag{Name: "patience", Value: time.Minute, Usage: "for a connection or an answer"},
		},
		Action: func(c *cli.Context) error {
			cfg, err := sharedConfig(c)
			if err != nil {
				return err
			}
			cfg.Patience = c.Duration("patience")
			return load.Hold(cfg, c.Int("first"), os.Stdin, os.Stdout)
		},
	}
}
