package tuning

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/longsplice/longsplice/pkg/config"
)

// Goal is how many sessions a host shall hold, and for which configuration.
type Goal struct {
	Sessions  int            `json:"sessions"`
	Interface string         `json:"interface"` // where source addresses that the host lacks are added; "": that of the route
	Supposed  bool           `json:"supposed"`  // there is no configuration: one frontend, one backend, all defaults
	Files     []string       `json:"files"`     // of the configuration
	Config    *config.Config `json:"-"`         // never nil
}

// GoalOf is what [tuning] of a configuration asks for.
func GoalOf(c *config.Config) Goal {
	return Goal{Sessions: c.Tuning.Sessions, Interface: c.Tuning.Interface, Files: c.Files, Config: c}
}

// supposed stands for the configuration that is not there yet. 192.0.2.1 is of a network for documentation: any address
// that is not loopback serves.
const supposed = `[[frontend]]
name = "supposed"
listen = ["0.0.0.0:443"]
backends = ["192.0.2.1:80"]
`

// Suppose is the goal of a host without a configuration: its defaults, one frontend and one backend.
func Suppose() (Goal, error) {
	c, _, err := config.Parse("supposed", []byte(supposed), config.Options{})
	if err != nil {
		return Goal{}, fmt.Errorf("parse the supposed configuration: %w", err)
	}
	g := GoalOf(c)
	g.Supposed, g.Files = true, []string{}
	return g, nil
}

// What the program takes for itself: pkg/balancer/limits.go has the same figures, and a test of cmd/longsplice compares
// what the two come to.
const (
	sessionFDs = 2  // client and backend
	pipeFDs    = 2  // both ends
	steerFDs   = 2  // of each address: a BPF program that steers and its map
	workerFDs  = 3  // an epoll set and an eventfd, with one to spare
	reserveFDs = 64 // admin connections, logs, look-ups
	fdsPerPipe = 128
	minPipes   = 8
	maxPipes   = 4096
)

// pipes is how many pipes the program makes where it has so many descriptors.
func (g *Goal) pipes(fds int64) int64 {
	n := int64(g.Config.Relay.MaxPipes)
	if n == 0 {
		n = min(max(fds/fdsPerPipe, minPipes), maxPipes)
	}
	return min(n, fds/(2*pipeFDs))
}

// fixedFDs is what is open whatever the number of sessions, beside the pipes.
func (g *Goal) fixedFDs(workers int64) int64 {
	return g.listeners()*(workers+steerFDs) + workerFDs*workers + g.checks() + reserveFDs
}

// listeners are the configured addresses: each worker has a socket for each.
func (g *Goal) listeners() (n int64) {
	for i := range g.Config.Frontends {
		n += int64(len(g.Config.Frontends[i].Listen))
	}
	return n
}

// checks are the health checks that may all run at the same time.
func (g *Goal) checks() (n int64) {
	for i := range g.Config.Pools {
		if p := &g.Config.Pools[i]; p.Health.Type != config.HealthNone {
			n += int64(len(p.Backends))
		}
	}
	return n
}

// sessionsWithin is how many sessions fit into so many descriptors.
func (g *Goal) sessionsWithin(fds, workers int64) int64 {
	return max((fds-g.fixedFDs(workers)-pipeFDs*g.pipes(fds))/sessionFDs, 0)
}

// fdsFor is how many descriptors the goal takes.
func (g *Goal) fdsFor(workers int64) int64 {
	without := sessionFDs*int64(g.Sessions) + g.fixedFDs(workers)
	pipes := int64(g.Config.Relay.MaxPipes)
	if pipes == 0 { // a share of all descriptors, their own included
		pipes = min(max(without/(fdsPerPipe-pipeFDs)+1, minPipes), maxPipes)
	}
	return without + pipeFDs*pipes
}

// pipeBytes is the size of one pipe.
func (g *Goal) pipeBytes() int64 {
	const lowMemoryPipe = 64 << 10
	if g.Config.Relay.LowMemory {
		return min(g.Config.Relay.PipeBytes, lowMemoryPipe)
	}
	return g.Config.Relay.PipeBytes
}

// ownPorts are the local_ports of all pools.
func (g *Goal) ownPorts() (all []config.PortRange) {
	for i := range g.Config.Pools {
		if r := g.Config.Pools[i].LocalPorts; r != (config.PortRange{}) {
			all = append(all, r)
		}
	}
	return all
}

// kernelPools says whether the kernel chooses the ports of some pool.
func (g *Goal) kernelPools() bool { return len(g.ownPorts()) < len(g.Config.Pools) }

// mostSources bounds how many addresses of one pool are looked at one by one.
const mostSources = 1 << 14

// sources are the source_addresses of all pools, each once, in the configuration's order.
func (g *Goal) sources() (all []netip.Addr) {
	seen := map[netip.Addr]bool{}
	for i := range g.Config.Pools {
		for _, a := range poolSources(&g.Config.Pools[i]) {
			if !seen[a] {
				seen[a] = true
				all = append(all, a)
			}
		}
	}
	return all
}

func poolSources(p *config.Pool) (all []netip.Addr) {
	for _, r := range p.SourceAddresses {
		for a := r.From; a.IsValid() && a.Compare(r.To) <= 0 && len(all) < mostSources; a = a.Next() {
			all = append(all, a)
		}
	}
	return all
}

// frontendPorts are the TCP ports that frontends listen on.
func (g *Goal) frontendPorts() (all []uint16) {
	for i := range g.Config.Frontends {
		for _, a := range g.Config.Frontends[i].Listen {
			if a.Network != config.Unix {
				all = append(all, a.AddrPort.Port())
			}
		}
	}
	return all
}

// backendPorts are the TCP ports of backends.
func (g *Goal) backendPorts() (all []uint16) {
	for i := range g.Config.Pools {
		for _, b := range g.Config.Pools[i].Backends {
			switch b.Address.Network {
			case config.TCP4, config.TCP6:
				all = append(all, b.Address.AddrPort.Port())
			case config.Host:
				all = append(all, b.Address.Port)
			}
		}
	}
	return all
}

// silence is for how many seconds a living session may send nothing: until its first keepalive probe, or without those
// until the idle timeout; MaxInt32 if there is neither.
func (g *Goal) silence() int64 {
	t := &g.Config.Timeouts
	quiet := t.Keepalive
	if quiet == 0 {
		quiet = t.Idle
	}
	if quiet == 0 {
		quiet = config.Forever
	}
	return min(int64(quiet.Seconds()), math.MaxInt32)
}
