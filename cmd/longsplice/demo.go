package main

import "github.com/urfave/cli/v2"

func demoCommand(*environment) *cli.Command { return laterCommand("demo") }
