package balancer

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Descriptors and memory that limits are computed with.
const (
	reserveFDs       = 64       // admin connections, logs, look-ups
	sessionFDs       = 2        // client and backend
	pipeFDs          = 2        // both ends
	kernelPerSession = 16 << 10 // bytes: two idle sockets take about 9.2 KiB, measured; the rest is for those that move
	mostFDs          = 4 << 20  // a larger descriptor table serves nobody
	blockShare       = 8        // an eighth of the memory may be waiting for stalled receivers
	fdsPerPipe       = 128      // one pipe for so many descriptors: pipes are out only while bytes are in flight
	minPipes         = 8
	maxPipes         = 4096
)

// limits is what this process may use on this host.
type limits struct {
	fds         int64 // soft RLIMIT_NOFILE now
	sessions    int64
	pipes       int64
	blocks      int64
	all         []Limit // by resource, the nearest first
	bindsFirst  string
	fdTableSize uint64
}

// host is what limits are worked out from.
type host struct {
	fds, hard uint64 // RLIMIT_NOFILE, after it was raised
	wanted    int64  // descriptors that would be enough for all
	memory    int64  // bytes
	pipeQuota int64  // of the user, -1: none
	sockets   int64  // listening
	workers   int64
	checks    int64 // backends that are checked: at worst all at the same time
}

// deriveLimits raises RLIMIT_NOFILE and works out what the host allows. workers and listeners are numbers of sockets.
func deriveLimits(c *config.Config, workers, listeners int) (limits, error) {
	h := host{memory: sys.MemoryTotal(), pipeQuota: sys.PipeLimit(pipeBytes(c)), sockets: int64(listeners), workers: int64(workers), checks: checkedBackends(c)}
	h.wanted = wantedFDs(c, &h)
	var err error
	if h.fds, h.hard, err = sys.RaiseNoFile(uint64(h.wanted)); err != nil {
		return limits{}, fmt.Errorf("raise the limit of open files: %w", err)
	}
	return h.limits(c)
}

// fixedFDs is what is open whatever the number of sessions: listeners, an epoll set and an eventfd of each worker with
// one to spare, health checks, the reserve.
func (h *host) fixedFDs() int64 { return h.sockets + 3*h.workers + h.checks + reserveFDs }

// checkedBackends counts the configured backends that have health checks; a name counts once, whatever it resolves to.
func checkedBackends(c *config.Config) (n int64) {
	for i := range c.Pools {
		if p := &c.Pools[i]; p.Health.Type != config.HealthNone {
			n += int64(len(p.Backends))
		}
	}
	return n
}

// wantedFDs is how many descriptors would be enough for max_sessions, or else for all sessions that memory can hold.
func wantedFDs(c *config.Config, h *host) int64 {
	sessions := int64(c.Process.MaxSessions)
	if sessions == 0 {
		sessions = h.memory / kernelPerSession
	}
	return min(sessionFDs*sessions+h.fixedFDs()+pipeFDs*max(int64(c.Relay.MaxPipes), maxPipes), mostFDs)
}

// limits shares out what the host has.
func (h *host) limits(c *config.Config) (limits, error) {
	l := limits{fds: int64(h.fds), pipes: h.pipes(c)}
	l.fdTableSize = uint64(min(l.fds, h.wanted)) // where the limit is a thousand million, a table for it is 8 GiB
	l.blocks = max(h.memory/blockShare/c.Relay.BufferBytes, 64)
	fixed := h.fixedFDs() + pipeFDs*l.pipes
	if n := int64(c.Process.MaxSessions); n > 0 {
		l.all = append(l.all, Limit{"max_sessions", n, "process.max_sessions of the configuration"})
	}
	l.all = append(l.all,
		Limit{"memory", h.memory / kernelPerSession, fmt.Sprintf("%d MiB, %d KiB a session in the kernel", h.memory>>20, kernelPerSession>>10)},
		Limit{"open files", max((l.fds-fixed)/sessionFDs, 0), fmt.Sprintf("RLIMIT_NOFILE %d (hard %d): %d a session, %d for pipes, listeners, checks and a reserve", h.fds, h.hard, sessionFDs, fixed)},
	)
	slices.SortStableFunc(l.all, func(a, b Limit) int { return cmp.Compare(a.Sessions, b.Sessions) })
	l.sessions = l.all[0].Sessions
	l.bindsFirst = l.all[0].Resource + ": " + l.all[0].Why
	if l.sessions < 1 {
		return l, fmt.Errorf("no session fits: %s; raise it (ulimit -n, LimitNOFILE=)", l.bindsFirst)
	}
	return l, nil
}

// pipes is max_pipes, or what descriptors and the user's pipe quota allow. However many are asked for, half of the
// descriptors are left for sessions.
func (h *host) pipes(c *config.Config) int64 {
	fds := int64(h.fds)
	n := int64(c.Relay.MaxPipes)
	if n == 0 {
		n = min(max(fds/fdsPerPipe, minPipes), maxPipes)
	}
	n = min(n, fds/(2*pipeFDs))
	if h.pipeQuota >= 0 {
		n = min(n, h.pipeQuota)
	}
	return n
}

// pipeBytes is the size of one pipe.
func pipeBytes(c *config.Config) int64 {
	const lowMemoryPipe = 64 << 10
	if c.Relay.LowMemory {
		return min(c.Relay.PipeBytes, lowMemoryPipe)
	}
	return c.Relay.PipeBytes
}
