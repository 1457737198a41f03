package main

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/urfave/cli/v2"
)

// described adds the text that --help shows above the flags.
func described(c *cli.Command, text string) *cli.Command {
	c.Description = text
	return c
}

// webSocketFlags belong to the workloads that can speak it.
func webSocketFlags(own ...cli.Flag) []cli.Flag {
	return append(own,
		&cli.BoolFlag{Name: "websocket", Usage: "each session is a WebSocket (RFC 6455), each message a frame"},
		&cli.StringFlag{Name: "path", Value: "/", Usage: "`PATH` that the WebSocket request asks for"})
}

func echoWorkload() *cli.Command {
	return described(workload("echo", "sessions that send messages and get them back", echo, webSocketFlags(
		&cli.IntFlag{Name: "sessions", Value: 200},
		&cli.IntFlag{Name: "message", Value: 64, Usage: "`BYTES` of a message"},
		&cli.Float64Flag{Name: "rate", Usage: "messages per second of all sessions on a fixed schedule (open loop); 0 = closed loop"})...),
		`Server: serve --mode echo, or any echo server. Each session has one message under way at a time.

Without --rate the loop is closed: each session sends as soon as its answer is there. That shows what messages cost;
latencies count from the sending, and hide what a target that stalls kept from being sent.

With --rate the loop is open: messages are due on a schedule that does not wait for answers, and latency counts from
when a message was due (coordinated omission is accounted for). How late the schedule itself ran is in the result.`)
}

func echo(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Echo(load.EchoConfig{Config: cfg, Sessions: c.Int("sessions"), MessageBytes: c.Int("message"), Rate: c.Float64("rate")})
}

func pushWorkload() *cli.Command {
	return described(workload("push", "a server sends messages to many clients, as feeds do", push, webSocketFlags(
		&cli.IntFlag{Name: "sessions", Value: 1000},
		&cli.IntFlag{Name: "message", Value: 256, Usage: "`BYTES` of a message, 24 or more"},
		&cli.Float64Flag{Name: "rate", Value: 10_000, Usage: "messages per second of all sessions"},
		&cli.BoolFlag{Name: "together", Usage: "all sessions' messages at the same moment, as one event of a feed; else evenly apart"})...),
		`Server: serve --mode push, on this machine, since messages carry its monotonic clock. The schedule does not wait for
anybody (open loop): latency counts from when a message was due at the server to its last byte at the client. Messages
are numbered: one that is lost or comes twice is seen. How late the server's own schedule ran is in the result.`)
}

func push(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Push(load.PushConfig{
		Config: cfg, Sessions: c.Int("sessions"), MessageBytes: c.Int("message"), Rate: c.Float64("rate"), Together: c.Bool("together"),
	})
}

func bulkWorkload() *cli.Command {
	return described(workload("bulk", "streams to a server, from it, or both ways at once", bulk,
		&cli.IntFlag{Name: "streams", Value: 1},
		&cli.Uint64Flag{Name: "bytes", Value: 1 << 30, Usage: "`BYTES` of all streams together, both ways"},
		&cli.StringFlag{Name: "direction", Value: "down", Usage: "down (from the server), up (to it) or both"},
		&cli.BoolFlag{Name: "up", Usage: "the same as --direction up"}),
		`Server: serve --mode source for down, sink for up, both for both. The measurement lasts from the first connect to the last
byte confirmed.`)
}

func bulk(c *cli.Context, cfg load.Config) (*load.Result, error) {
	own := load.BulkConfig{Config: cfg, Streams: c.Int("streams"), Bytes: c.Uint64("bytes")}
	switch direction := c.String("direction"); direction {
	case "down":
		own.Up = c.Bool("up")
	case "up":
		own.Up = true
	case "both":
		own.Both = true
	default:
		return nil, cli.Exit(fmt.Sprintf("direction %q: want down, up or both", direction), exitUsage)
	}
	return load.Bulk(own)
}

func churnWorkload() *cli.Command {
	return described(workload("churn", "connect, one message, close, again", churn, webSocketFlags(
		&cli.IntFlag{Name: "at-once", Value: 50, Usage: "sessions at any time"},
		&cli.IntFlag{Name: "message", Value: 64, Usage: "`BYTES` of a message"})...),
		`Server: serve --mode echo, or any echo server. The loop is closed: latency is a session's, from the connect to the last
byte of its message. A client address has some 28,000 ports towards one address: give several --source, or short runs.`)
}

func churn(c *cli.Context, cfg load.Config) (*load.Result, error) {
	return load.Churn(load.ChurnConfig{Config: cfg, AtOnce: c.Int("at-once"), MessageBytes: c.Int("message")})
}
