package main

import "github.com/urfave/cli/v2"

func statusCommand(*environment) *cli.Command { return laterCommand("status") }
