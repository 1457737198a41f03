package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

func loadCommand() *cli.Command {
	return &cli.Command{
		Name:  "load",
		Usage: "generate load against an address; every byte is checked",
		Subcommands: []*cli.Command{
			workload("echo", "sessions that send messages and get them back", echo,
				&cli.IntFlag{Name: "sessions", Value: 200},
				&cli.IntFlag{Name: "message", Value: 64, Usage: "`BYTES` of a message"},
				&cli.Float64Flag{Name: "rate", Usage: "messages per second on a fixed schedule (open loop); 0 = closed loop"}),
			workload("bulk", "streams to a sink or from a source", bulk,
				&cli.IntFlag{Name: "streams", Value: 1},
				&cli.Uint64Flag{Name: "bytes", Value: 1 << 30, Usage: "`BYTES` of all streams together"},
				&cli.BoolFlag{Name: "up", Usage: "towards the server (serve --mode sink); else from it (source)"}),
			workload("churn", "connect, one message, close, again", churn,
				&cli.IntFlag{Name: "at-once", Value: 50, Usage: "sessions at any time"},
				&cli.IntFlag{Name: "message", Value: 64, Usage: "`BYTES` of a message"}),
			idleWorkload(), stormWorkload(), slowWorkload(), mixedWorkload(),
		},
	}
}

// workload makes a subcommand out of what all share and its own flags.
func workload(name, usage string, run func(*cli.Context, load.Config) (*load.Result, error), own ...cli.Flag) *cli.Command {
	shared := []cli.Flag{
		&cli.StringSliceFlag{Name: "to", Required: true, Usage: "`ADDR:PORT`, may repeat; used in turn"},
		&cli.StringSliceFlag{Name: "source", Usage: "local `ADDR` to connect from, may repeat; used in turn"},
		&cli.IntFlag{Name: "pid", Usage: "measure this process and its descendants"},
		&cli.DurationFlag{Name: "warm", Value: 500 * time.Millisecond, Usage: "load before the measurement"},
		&cli.DurationFlag{Name: "for", Value: 5 * time.Second, Usage: "length of the measurement (bulk ends by its bytes)"},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
	}
	return &cli.Command{Name: name, Usage: usage, Flags: append(own, shared...), Action: func(c *cli.Context) error {
		cfg, err := sharedConfig(c)
		if err != nil {
			return err
		}
		res, err := run(c, cfg)
		if err != nil {
			return err
		}
		return show(res, c.Bool("json"))
	}}
}

func sharedConfig(c *cli.Context) (load.Config, error) {
	to, err := addrPorts(c.StringSlice("to"))
	if err != nil {
		return load.Config{}, err
	}
	cfg := load.Config{To: to, PID: c.Int("pid"), Warm: c.Duration("warm"), For: c.Duration("for")}
	for _, text := range c.StringSlice("source") {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return cfg, cli.Exit(fmt.Sprintf("source %q: want an ip address", text), exitUsage)
		}
		cfg.Sources = append(cfg.Sources, a)
	}
	return cfg, nil
}

func echo(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Echo(load.EchoConfig{Config: cfg, Sessions: c.Int("sessions"), MessageBytes: c.Int("message"), Rate: c.Float64("rate")})
}

func bulk(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Bulk(load.BulkConfig{Config: cfg, Streams: c.Int("streams"), Bytes: c.Uint64("bytes"), Up: c.Bool("up")})
}

func churn(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Churn(load.ChurnConfig{Config: cfg, AtOnce: c.Int("at-once"), MessageBytes: c.Int("message")})
}

// show prints the result; one that is not sound ends the program with exitUnsound.
func show(res *load.Result, asJSON bool) error {
	if asJSON {
		if err := json.NewEncoder(os.Stdout).Encode(res); err != nil {
			return err
		}
	} else {
		fmt.Println(strings.Join(describe(res), "\n"))
	}
	if !res.Sound() {
		return cli.Exit(fmt.Sprintf("%d sessions with wrong bytes, %d failed: %s", res.Wrong, res.Failed, res.FirstError), exitUnsound)
	}
	return nil
}

func describe(r *load.Result) []string {
	var lines []string
	say := func(format string, a ...any) { lines = append(lines, fmt.Sprintf(format, a...)) }
	say("window       %.2f s", r.Seconds)
	if r.Messages > 0 {
		say("messages     %d, %.0f a second", r.Messages, float64(r.Messages)/r.Seconds)
	}
	if r.Sessions > 0 {
		say("sessions     %d, %.0f a second", r.Sessions, float64(r.Sessions)/r.Seconds)
	}
	if r.Bytes > 0 {
		say("bytes        %d, %.3f GB a second", r.Bytes, float64(r.Bytes)/r.Seconds/1e9)
	}
	if l := r.Latency; l != nil {
		say("latency      p50 %.0f us, p90 %.0f, p99 %.0f, p99.9 %.0f, max %.0f", l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	for _, m := range r.Memory {
		say("memory       %d bytes and %d fds at %d sessions; all of the kernel's slab %d bytes, TCP buffers %d", m.RSS, m.FDs, m.Sessions, m.Slab, m.TCP)
	}
	for i := range r.Classes {
		lines = append(lines, describeClass(&r.Classes[i]))
	}
	if r.Return != nil {
		lines = append(lines, describeReturn(r.Return)...)
	}
	say("CPU seconds  target %.2f, load generator %.2f, each processor %.2f", r.CPU.Target, r.CPU.Self, r.CPU.Busy)
	return lines
}
