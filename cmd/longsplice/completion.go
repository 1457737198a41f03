package main

import "github.com/urfave/cli/v2"

func completionCommand(*environment) *cli.Command { return laterCommand("completion") }
