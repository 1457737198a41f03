package main

import (
	"context"

	"github.com/longsplice/longsplice/pkg/config"
)

// lookAround tells what this host lacks for cfg.
func lookAround(context.Context, *config.Config) []config.Problem { return nil }
