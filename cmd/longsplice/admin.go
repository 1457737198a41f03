package main

import (
	"context"

	"github.com/longsplice/longsplice/pkg/admin"
	"github.com/longsplice/longsplice/pkg/balancer"
)

// adminServer is a running admin API.
type adminServer interface{ Close(context.Context) error }

// startAdmin serves the admin API of b where its configuration says; onError is told of what goes wrong later.
func startAdmin(b *balancer.Balancer, onError func(error)) (adminServer, error) {
	s, err := admin.Start(b, admin.Options{Process: b.Config().Process, OnError: onError})
	if err != nil {
		return nil, err
	}
	return s, nil
}
