package balancer

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/resolve"
)

// resolveAtMost bounds the first look-up of all host names.
const resolveAtMost = 10 * time.Second

// hostNames are the backends that are configured by name.
func (b *Balancer) hostNames() []resolve.Name {
	var all []resolve.Name
	for i := range b.cfg.Pools {
		p := &b.cfg.Pools[i]
		for j := range p.Backends {
			if a := p.Backends[j].Address; a.Network == config.Host {
				all = append(all, resolve.Name{Pool: p.Name, Backend: p.Backends[j].Name, Host: a.Host, Interval: p.Resolve})
			}
		}
	}
	return all
}

// resolveNames looks every host name up for the first time; one that has no address keeps the program from starting.
func (b *Balancer) resolveNames(ctx context.Context) error {
	names := b.hostNames()
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveAtMost)
	defer cancel()
	answers, err := b.resolver.Resolve(ctx, names)
	if err != nil {
		return err
	}
	for host, addrs := range answers {
		b.answers[host] = addrs
	}
	return nil
}

// watchNames looks the names up again and again.
func (b *Balancer) watchNames() {
	if names := b.hostNames(); len(names) > 0 {
		b.resolver.Watch(names, maps.Clone(b.answers))
	}
}

// nameChanged is told by the resolver: every answer becomes a backend, those that are gone take no new sessions.
func (b *Balancer) nameChanged(host string, addrs []netip.Addr) {
	b.mu.Lock()
	b.answers[host] = addrs
	b.mu.Unlock()
	if err := b.apply(); err != nil {
		b.Emit(Event{Name: "degraded", Level: "error", Subject: host, Message: err.Error()})
		return
	}
	b.Emit(Event{Name: "backends_changed", Level: "info", Subject: host, Message: fmt.Sprintf("%s resolves to %d addresses now", host, len(addrs))})
}

// nameTroubled is told when look-ups begin to fail; the last good answer is kept.
func (b *Balancer) nameTroubled(host string, err error) {
	if err == nil {
		return // it is over
	}
	b.Emit(Event{Name: "degraded", Level: "warn", Subject: host, Message: fmt.Sprintf("%v; the last good answer is kept", err)})
}
