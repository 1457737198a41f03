package main

import (
	"fmt"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

func stormWorkload() *cli.Command {
	return workload("storm", "a backend dies and its clients all come back at once", storm,
		&cli.IntFlag{Name: "sessions", Value: 1000, Usage: "sessions over all backends (serve --mode echo, two processes or more)"},
		&cli.IntFlag{Name: "message", Value: 64, Usage: "`BYTES` of a message"},
		&cli.Float64Flag{Name: "rate", Value: 1000, Usage: "messages per second of all sessions, before and meanwhile"},
		&cli.IntFlag{Name: "kill", Usage: "kill the process `PID`, a backend, when the time has come; 0: somebody else does"},
		&cli.DurationFlag{Name: "limit", Value: time.Minute, Usage: "for all clients to be back; HAProxy as shipped takes up to 25 s"})
}

func storm(c *cli.Context, cfg load.Config) (*load.Result, error) {
	own := load.StormConfig{Config: cfg, Sessions: c.Int("sessions"), MessageBytes: c.Int("message"), Rate: c.Float64("rate"), Limit: c.Duration("limit")}
	if pid := c.Int("kill"); pid != 0 {
		own.Victim = load.Process(pid)
	}
	return load.Storm(own)
}

func describeReturn(r *load.Return) []string {
	lines := []string{fmt.Sprintf("cut          %d sessions of %d that the backend held, the last after %.3f s", r.Cut, r.Held, r.LastCut)}
	if r.Held == 0 {
		lines[0] = fmt.Sprintf("cut          %d sessions, the last after %.3f s", r.Cut, r.LastCut)
	}
	lines = append(lines, fmt.Sprintf("back         %d within %.3f s: %d connections, %.0f a second, %d without an answer", r.Returned, r.Seconds, r.Attempts, r.PerSecond(), r.Refused))
	if a := r.Answer; a != nil {
		lines = append(lines, fmt.Sprintf("first answer p50 %.1f ms, p99 %.1f, max %.1f after the kill", a.P50/1e3, a.P99/1e3, a.Max/1e3))
	}
	if b := r.Before; b != nil {
		lines = append(lines, fmt.Sprintf("others       p99 %.0f us, max %.0f before it", b.P99, b.Max))
	}
	if e := r.Elsewhere; e != nil {
		lines = append(lines, fmt.Sprintf("             p99 %.0f us, max %.0f meanwhile", e.P99, e.Max))
	}
	return append(lines, fmt.Sprintf("CPU          %.3f s of the target meanwhile", r.CPU))
}
