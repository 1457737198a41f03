package main

import (
	"context"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// adminServer is a running admin API.
type adminServer interface{ Close(context.Context) error }

// startAdmin serves the admin API over b.
func startAdmin(*balancer.Balancer, *config.Config, func(error)) (adminServer, error) {
	return nil, nil
}
