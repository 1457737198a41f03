package main

import "github.com/urfave/cli/v2"

func eventsCommand(*environment) *cli.Command { return laterCommand("events") }
