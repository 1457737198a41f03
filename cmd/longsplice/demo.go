package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/admin"
	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/demo"
)

// demoCommand exits with 0 only if nothing was lost that should not be. Ctrl-C lets the story end in order.
func demoCommand(env *environment) *cli.Command {
	return &cli.Command{
		Name:     "demo",
		Category: groupServe,
		Usage:    "show it at work: WebSocket backends and clients in this process, the real data path between them",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "backends", Value: 3, Usage: "`N` echo backends"},
			&cli.IntFlag{Name: "clients", Value: 200, Usage: "`N` clients"},
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8080", Usage: "`ADDRESS` of the frontend; a busy port: the next free one"},
			&cli.StringFlag{Name: "http", Value: "127.0.0.1:8404", Usage: "`ADDRESS` of the status page; a busy port: the next free one"},
			&cli.DurationFlag{Name: "for", Usage: "end after `TIME`; 0s: at Ctrl-C", DefaultText: "0s"},
		},
		Action: func(c *cli.Context) error {
			if err := noArguments(c); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context, syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
			return demo.Run(ctx, demo.Options{
				Backends: c.Int("backends"), Clients: c.Int("clients"),
				Listen: c.String("listen"), HTTP: c.String("http"), For: c.Duration("for"),
				Out: env.stdout, Color: colourful(env, env.stdout), Build: build(),
				StartAdmin: startDemoAdmin,
			})
		},
	}
}

// startDemoAdmin serves the admin API of the demo's balancer; url is the status page's.
func startDemoAdmin(b *balancer.Balancer) (stop func(), url string, err error) {
	a, err := admin.Start(b, admin.Options{Process: b.Config().Process})
	if err != nil {
		return nil, "", err
	}
	if http := b.Config().Process.HTTP; !http.IsZero() {
		url = "http://" + http.String() + "/"
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), adminCloseAtMost)
		defer cancel()
		_ = a.Close(ctx) // whoever still asks is cut off
	}, url, nil
}
