package main

import (
	"github.com/longsplice/longsplice/pkg/admin"
	"github.com/longsplice/longsplice/pkg/balancer"
)

// startAdmin serves the admin API of b where its configuration says; onError is told of what goes wrong later.
func startAdmin(b *balancer.Balancer, onError func(error)) (*admin.Server, error) {
	return admin.Start(b, admin.Options{Process: b.Config().Process, OnError: onError})
}
