package admin

import (
	"context"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// View is what the admin API reads of a running balancer; *balancer.Balancer is one. Every method may be called from any
// goroutine, and what it returns belongs to the caller.
type View interface {
	Status() balancer.Status
	Frontends() []balancer.FrontendStatus
	Pools() []balancer.PoolStatus
	Workers() []balancer.WorkerStatus
	Host() balancer.HostStatus
	// Sessions and Explain wrap balancer.ErrBadQuery or balancer.ErrNotFound where the caller asked for the wrong thing.
	Sessions(ctx context.Context, q balancer.SessionQuery) (balancer.SessionPage, error)
	Explain(frontend, client string) (balancer.Explanation, error)
	// Subscribe returns a channel that is closed with ctx; a slow reader loses events.
	Subscribe(ctx context.Context) <-chan balancer.Event
	// Recent returns the last events, the oldest first.
	Recent() []balancer.Event
}

var _ View = (*balancer.Balancer)(nil)
