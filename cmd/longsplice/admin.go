package main

import (
	"context"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// adminServer is a running admin API.
type adminServer interface{ Close(context.Context) error }

type noAdmin struct{}

func (noAdmin) Close(context.Context) error { return nil }

// startAdmin serves the admin API of b where its configuration says; onError is told of what goes wrong later.
func startAdmin(*balancer.Balancer, func(error)) (adminServer, error) {
	return noAdmin{}, nil
}
