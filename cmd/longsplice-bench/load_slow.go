package main

import (
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

func slowWorkload() *cli.Command {
	return workload("slow", "fast streams alone, and then beside clients that do not read", slow,
		&cli.IntFlag{Name: "fast", Value: 4, Usage: "streams without a pause (serve --mode source)"},
		&cli.IntFlag{Name: "stalled", Value: 32, Usage: "streams whose client does not read; each may fill 10 MB of TCP buffers on its way"},
		&cli.Uint64Flag{Name: "fast-bytes", Value: 64 << 20, Usage: "`BYTES` of a fast stream; the next one takes its place"},
		&cli.Uint64Flag{Name: "stalled-bytes", Value: 16 << 20, Usage: "`BYTES` of a stalled stream: more than all buffers hold"},
		&cli.Float64Flag{Name: "read-rate", Usage: "bytes per second that each stalled client reads; 0 = none"})
}

func slow(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Slow(load.SlowConfig{
		Config: cfg, Fast: c.Int("fast"), Stalled: c.Int("stalled"),
		FastBytes: c.Uint64("fast-bytes"), StalledBytes: c.Uint64("stalled-bytes"), ReadRate: c.Float64("read-rate"),
	})
}
