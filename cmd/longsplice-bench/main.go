// Command longsplice-bench loads TCP balancers, measures what they cost and sets them side by side.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"
)

// Exit codes are longsplice's own: 1 failed while running, 2 usage, 3 a run was not sound (wrong bytes, lost sessions).
const (
	exitFailed  = 1
	exitUsage   = 2
	exitUnsound = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	app := &cli.App{
		Name:     "longsplice-bench",
		Usage:    "load TCP balancers and measure what they cost",
		Version:  version,
		Commands: []*cli.Command{runCommand(), listCommand(), reportCommand(), serveCommand(), loadCommand(), scaleCommand(), holdCommand(), iocopyCommand()},
		Action:   noCommand,
		// cli would exit by itself, before the deferred calls of the commands above it.
		ExitErrHandler: func(*cli.Context, error) {},
	}
	if err := app.RunContext(ctx, os.Args); err != nil {
		fmt.Fprintln(os.Stderr, "longsplice-bench:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	var coded cli.ExitCoder
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return exitFailed
}

func noCommand(c *cli.Context) error {
	if c.Args().Present() {
		return cli.Exit(fmt.Sprintf("unknown command %q; see longsplice-bench help", c.Args().First()), exitUsage)
	}
	return cli.ShowAppHelp(c)
}
