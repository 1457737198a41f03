package main

import (
	"fmt"
	"net/netip"

	"github.com/longsplice/longsplice/benchmarks/iocopy"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/urfave/cli/v2"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "be a backend: echo, sink, source, both or push",
		Description: `Listens, says on one line where ("listening ADDR:PORT ..."), and serves until it is interrupted. One thread does it all.

  echo    every byte goes back; with --websocket every frame. For load echo, churn, idle, storm and mixed.
  sink    checks a stream and says what came. For load bulk --direction up.
  source  sends a stream. For load bulk (--direction down) and slow.
  both    sink and source at once. For load bulk --direction both.
  push    sends each client messages on the schedule that it asks for. For load push.`,
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "listen", Value: cli.NewStringSlice("127.0.0.1:9000"), Usage: "`ADDR:PORT`, may repeat; port 0 = any, the same for all"},
			&cli.StringFlag{Name: "mode", Value: string(serve.Echo), Usage: "echo, sink, source, both or push"},
			&cli.BoolFlag{Name: "websocket", Usage: "sessions are WebSockets (RFC 6455): echo and push"},
		},
		OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			addrs, err := addrPorts(c.StringSlice("listen"))
			if err != nil {
				return err
			}
			mode := serve.Mode(c.String("mode"))
			if c.Bool("websocket") && !mode.Framed() {
				return cli.Exit(fmt.Sprintf("serve: mode %s has no --websocket; echo and push have", mode), exitUsage)
			}
			s, err := serve.Open(mode, addrs)
			if err != nil {
				return err
			}
			s.WebSocket = c.Bool("websocket")
			fmt.Print("listening")
			for _, a := range s.Addrs {
				fmt.Print(" ", a)
			}
			fmt.Println()
			return s.Run(func() bool { return c.Context.Err() != nil })
		},
	}
}

func iocopyCommand() *cli.Command {
	return &cli.Command{
		Name:  "iocopy",
		Usage: "be the simplest Go proxy (io.Copy), as something to compare with",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Required: true, Usage: "`ADDR:PORT`"},
			&cli.StringSliceFlag{Name: "to", Required: true, Usage: "backend `ADDR:PORT`, may repeat; used in turn"},
		},
		Action: func(c *cli.Context) error {
			return iocopy.Run(c.Context, c.String("listen"), c.StringSlice("to"))
		},
	}
}

func addrPorts(texts []string) ([]netip.AddrPort, error) {
	var addrs []netip.AddrPort
	for _, text := range texts {
		a, err := netip.ParseAddrPort(text)
		if err != nil {
			return nil, cli.Exit(fmt.Sprintf("address %q: want ip:port", text), exitUsage)
		}
		addrs = append(addrs, a)
	}
	return addrs, nil
}
