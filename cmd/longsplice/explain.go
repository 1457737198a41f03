package main

import "github.com/urfave/cli/v2"

func explainCommand(*environment) *cli.Command { return laterCommand("explain") }
