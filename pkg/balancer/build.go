package balancer

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/sys"
)

// ms turns a configured duration into what workers count in; off and forever are both 0.
func ms(d time.Duration) int64 {
	if d == config.Forever {
		return 0
	}
	return d.Milliseconds()
}

// build makes a snapshot of the configuration and of what names resolve to now. Live state (sessions, health) is that
// of the snapshot before. The caller holds b.mu.
func (b *Balancer) build() (*backend.Snapshot, error) {
	b.generation++
	b.book.Keep(pairsOf(b.snap.Load()))
	s := &backend.Snapshot{Generation: b.generation, Hasher: flow.NewHasher(b.hashKey)}
	s.Pools = make([]*backend.Pool, len(b.poolNumber))
	for i := range b.cfg.Pools {
		p, err := b.buildPool(&b.cfg.Pools[i])
		if err != nil {
			return nil, err
		}
		s.Pools[p.Number] = p
	}
	s.Frontends = make([]*backend.Frontend, len(b.frontendNumber))
	for i := range b.cfg.Frontends {
		f := b.buildFrontend(&b.cfg.Frontends[i], s)
		s.Frontends[f.Number] = f
	}
	s.Backends, s.Pairs = b.registry.All(), b.book.All()
	return s, nil
}

func (b *Balancer) buildPool(c *config.Pool) (*backend.Pool, error) {
	live := b.poolLive[c.Name]
	o := poolOptions(c)
	o.Number = b.poolNumber[c.Name]
	var members []backend.Member
	for i := range c.Backends {
		for _, at := range b.addresses(c, &c.Backends[i]) {
			at.Pool, at.PoolNumber, at.Live = c.Name, o.Number, live
			members = append(members, backend.Member{
				Backend: b.registry.Get(at), Weight: int64(c.Backends[i].Weight),
				MaxSessions: int64(c.Backends[i].MaxSessions), Backup: c.Backends[i].Backup,
				Ports: b.portsTowards(c, at.Addr),
			})
		}
	}
	p, err := backend.NewPool(o, members, live)
	if err != nil {
		return nil, err
	}
	p.Refresh(monotonicMs())
	return p, nil
}

func poolOptions(c *config.Pool) backend.PoolOptions {
	return backend.PoolOptions{
		Name:          c.Name,
		Algorithm:     map[string]backend.Algorithm{config.AlgorithmMaglev: backend.Maglev, config.AlgorithmLeastSessions: backend.LeastSessions, config.AlgorithmRoundRobin: backend.RoundRobin}[c.Algorithm],
		Hash:          map[string]backend.HashKey{config.HashTuple: backend.HashTuple, config.HashClient: backend.HashClient, config.HashClientPrefix: backend.HashClientPrefix}[c.Hash],
		BalanceFactor: c.BalanceFactor, TableSize: c.TableSize, ConnectRetries: c.ConnectRetries,
		EjectAfter: int64(c.Passive.ConsecutiveFailures), EjectForMs: ms(c.Passive.EjectFor), MaxEjected: c.Passive.MaxEjected,
		PanicThreshold: c.Health.PanicThreshold, ResetUnhealthy: c.OnUnhealthy == config.OnUnhealthyReset,
	}
}

// addresses is where a configured backend is: one place, or every answer for its host name, as NAME@IP.
func (b *Balancer) addresses(p *config.Pool, c *config.Backend) []backend.Identity {
	switch c.Address.Network {
	case config.Unix:
		to, err := sys.SockaddrUnix(c.Address.Path)
		if err != nil {
			return nil // the configuration has checked the length
		}
		return []backend.Identity{{Name: c.Name, Address: c.Address.String(), To: to}}
	case config.Host:
		var all []backend.Identity
		for _, ip := range b.answers[c.Address.Host] {
			if len(p.SourceAddresses) > 0 && len(sourcesFor(p, ip)) == 0 {
				continue // of the other family: no source reaches it
			}
			ap := netip.AddrPortFrom(ip, c.Address.Port)
			all = append(all, b.tcpIdentity(p, c.Name+"@"+ip.String(), ap))
		}
		return all
	}
	return []backend.Identity{b.tcpIdentity(p, c.Name, c.Address.AddrPort)}
}

func (b *Balancer) tcpIdentity(p *config.Pool, name string, ap netip.AddrPort) backend.Identity {
	ours := ports.Range{First: b.ephemeralFrom, Last: b.ephemeralTo}
	return backend.Identity{
		Name: name, Address: ap.String(), To: sys.SockaddrInet(ap), Addr: sys.AddrFrom(ap),
		MaySelfConnect: ours.Contains(ap.Port()) || ownPorts(p).Contains(ap.Port()),
	}
}

func (b *Balancer) buildFrontend(c *config.Frontend, s *backend.Snapshot) *backend.Frontend {
	number := b.frontendNumber[c.Name]
	t := &c.Timeouts
	return &backend.Frontend{
		Number: number, Name: c.Name, Pool: s.Pools[b.poolNumber[c.Pool]],
		MaxSessions: int64(c.MaxSessions), MaxSessionsPerClient: uint32(c.MaxSessionsPerClient),
		Prefix4: c.ClientPrefix.V4, Prefix6: c.ClientPrefix.V6, RefuseWhenFull: c.OnFull == config.OnFullRefuse,
		Allow: flow.NewNetworks(c.Allow), Deny: flow.NewNetworks(c.Deny),
		Timeouts: backend.Timeouts{
			Connect: ms(t.Connect), Idle: ms(t.Idle), HalfClose: ms(t.HalfClose), FirstByte: ms(t.FirstByte), Stall: ms(t.Stall),
		},
		Options: socketOptions(b.cfg, c),
		Live:    b.frontendLive[number],
	}
}

// number gives every pool and frontend of the configuration its number and live state.
func (b *Balancer) number() {
	for i := range b.cfg.Pools {
		name := b.cfg.Pools[i].Name
		b.poolNumber[name] = i
		b.poolLive[name] = &backend.PoolLive{}
	}
	for i := range b.cfg.Frontends {
		f := &b.cfg.Frontends[i]
		b.frontendNumber[f.Name] = backend.Number(i)
		live := &backend.FrontendLive{}
		if f.MaxSessionsPerClient > 0 {
			live.Clients = flow.NewClientTable(int(b.limits.sessions))
		}
		if f.AcceptRate > 0 {
			live.Rate = flow.NewRate(f.AcceptRate, max(f.AcceptRate/10, 1))
		}
		b.frontendLive = append(b.frontendLive, live)
	}
}

// apply builds a snapshot, gives it to every worker and waits until all have adopted it.
func (b *Balancer) apply() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.freeRetired()
	s, err := b.build()
	if err != nil {
		return fmt.Errorf("build generation %d: %w", b.generation, err)
	}
	b.snap.Store(s)
	b.adopt(s)
	b.checker.Apply(b.checks(s))
	b.retire(s)
	return nil
}

// retire notes which backends the snapshot no longer uses. Every worker has adopted s.
func (b *Balancer) retire(s *backend.Snapshot) {
	used := map[backend.Number]bool{}
	for _, p := range s.Pools {
		for _, m := range p.Members {
			used[m.Number] = true
		}
	}
	now := time.Now()
	for _, x := range s.Backends {
		switch {
		case x == nil:
		case used[x.Number]:
			delete(b.retired, x.Number)
		case b.retired[x.Number].IsZero():
			b.retired[x.Number] = now
		}
	}
}

// freeRetired gives the numbers of backends back that have been empty for a while. Every worker has adopted a snapshot
// that no longer picks them, so none can get a session again. A freed number may come back with another backend, whose
// counters then begin at what they were. The caller holds b.mu.
func (b *Balancer) freeRetired() {
	for _, x := range b.registry.All() {
		if x == nil {
			continue
		}
		since, retired := b.retired[x.Number]
		switch {
		case !retired:
		case x.Sessions() > 0:
			b.retired[x.Number] = time.Now() // its time begins when it is empty
		case time.Since(since) >= keepSeries:
			b.baseline[x.Number] = b.sum().BackendRow(int(x.Number))
			delete(b.retired, x.Number)
			b.watch.forget(x)
			b.registry.Free(x)
		}
	}
}

// keepSeries is how long a removed backend's series stay after it is empty. Only tests change it.
var keepSeries = 15 * time.Minute
