package main

import "github.com/urfave/cli/v2"

func sessionsCommand(*environment) *cli.Command { return laterCommand("sessions") }
