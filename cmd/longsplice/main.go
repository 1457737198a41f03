// Command longsplice balances TCP connections; `longsplice help` lists what it does.
//
// It is the command line and no more: each file is one command, and what the commands do is done by the packages below
// pkg. Besides these there are main.go (from arguments to an exit code), config.go (-c), client.go and table.go (for the
// commands that ask a running process), service.go, signals.go, log.go and notify.go (for `run`).
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/tuning"
)

// Set by the linker: see LDFLAGS in the Makefile.
var (
	version = "dev"
	commit  = "unknown"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailed   = 1 // while running
	exitUsage    = 2 // usage, or an invalid configuration
	exitShort    = 3 // a check found something short
	exitNobody   = 4 // nothing answers on the admin socket
	exitRefused  = 5 // rights
	programName  = "longsplice"
	noMoreToSay  = "" // the message of an error that was printed already
	notSupported = "not supported yet"
)

// environment is all that a command knows of the process it runs in, so that tests run commands in their own.
type environment struct {
	args           []string // the first is the program's name
	stdin          io.Reader
	stdout, stderr io.Writer
	lookupEnv      func(name string) (value string, set bool)
	euid           int
	host           tuning.Tuner // what `tune` works on; the zero value is this machine
}

func main() {
	os.Exit(run(&environment{
		args: os.Args, stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, lookupEnv: os.LookupEnv, euid: os.Geteuid(),
	}))
}

// run runs the command that the arguments name and returns the exit code. Errors are printed here and nowhere else.
func run(env *environment) int {
	app := newApp(env)
	err := app.Run(flagsFirst(app, env.args))
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != noMoreToSay {
		fmt.Fprintf(env.stderr, "%s: %s\n", programName, text)
	}
	return exitCode(err)
}

// exitCode tells what an error means to the caller of the program.
func exitCode(err error) int {
	var coded cli.ExitCoder
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.As(err, new(config.Problems)):
		return exitUsage
	case errors.Is(err, fs.ErrPermission): // EACCES and EPERM of any system call
		return exitRefused
	}
	return exitFailed
}

func (e *environment) getenv(name string) string {
	value, _ := e.lookupEnv(name)
	return value
}

func build() balancer.Build { return balancer.Build{Version: version, Commit: commit} }
