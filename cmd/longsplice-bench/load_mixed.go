package main

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

func mixedWorkload() *cli.Command {
	return workload("mixed", "90 % silent sessions, 9 % that talk, 1 % that move bulk", mixed,
		&cli.IntFlag{Name: "sessions", Value: 1000, Usage: "all of them (serve --mode echo)"},
		&cli.IntFlag{Name: "message", Value: 64, Usage: "`BYTES` of a message"},
		&cli.Float64Flag{Name: "rate", Value: 1000, Usage: "messages per second of all that talk, on a fixed schedule"},
		&cli.Float64Flag{Name: "bulk-rate", Value: 100e6, Usage: "bytes per second of all bulk sessions, each way; 0 = as fast as they can"})
}

func mixed(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Mixed(load.MixedConfig{
		Config: cfg, Sessions: c.Int("sessions"), MessageBytes: c.Int("message"), Rate: c.Float64("rate"), BulkRate: c.Float64("bulk-rate"),
	})
}

func describeClass(c *load.Class) string {
	text := fmt.Sprintf("%-12s %d sessions", c.Name, c.Sessions)
	if c.Messages > 0 {
		text += fmt.Sprintf(", %d messages", c.Messages)
	}
	if c.Bytes > 0 {
		text += fmt.Sprintf(", %.3f GB", float64(c.Bytes)/1e9)
	}
	if c.Bytes > 0 && c.Seconds > 0 {
		text += fmt.Sprintf(", %.3f GB a second", float64(c.Bytes)/c.Seconds/1e9)
	}
	if l := c.Latency; l != nil {
		text += fmt.Sprintf(", p50 %.0f us, p99 %.0f, p99.9 %.0f, max %.0f", l.P50, l.P99, l.P999, l.Max)
	}
	return text
}
