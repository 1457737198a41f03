package main

import (
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

func idleWorkload() *cli.Command {
	return workload("idle", "silent sessions", idle,
		&cli.IntSliceFlag{Name: "sessions", Value: cli.NewIntSlice(1000, 4000), Usage: "rising `NUMBERS`; memory is read at each"})
}

func idle(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Idle(load.IdleConfig{Config: cfg, Steps: c.IntSlice("sessions")})
}
