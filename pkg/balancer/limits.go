package balancer

import (
	"fmt"
	"slices"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Descriptors and memory that limits are computed with.
const (
	reserveFDs       = 64       // admin connections, checks, logs, look-ups
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

// deriveLimits raises RLIMIT_NOFILE and works out what the host allows. workers and listeners are numbers of sockets.
func deriveLimits(c *config.Config, workers, listeners int) (limits, error) {
	var l limits
	memory := sys.MemoryTotal()
	byMemory := memory / kernelPerSession
	wanted := int64(c.Process.MaxSessions)
	if wanted == 0 {
		wanted = byMemory
	}
	fds, hard, err := sys.RaiseNoFile(uint64(min(sessionFDs*wanted+int64(listeners)+reserveFDs+pipeFDs*maxPipes, mostFDs)))
	if err != nil {
		return l, fmt.Errorf("raise the limit of open files: %w", err)
	}
	l.fds, l.fdTableSize = int64(fds), fds
	l.pipes = pipeLimit(c, l.fds)
	l.blocks = max(memory/blockShare/c.Relay.BufferBytes, 64)
	fixed := int64(listeners+3*workers) + reserveFDs + pipeFDs*l.pipes
	byFDs := max((l.fds-fixed)/sessionFDs, 0)
	l.all = []Limit{
		{"open files", byFDs, fmt.Sprintf("RLIMIT_NOFILE %d (hard %d): %d a session, %d for pipes, listeners and a reserve", fds, hard, sessionFDs, fixed)},
		{"memory", byMemory, fmt.Sprintf("%d MiB, %d KiB a session in the kernel", memory>>20, kernelPerSession>>10)},
	}
	if n := int64(c.Process.MaxSessions); n > 0 {
		l.all = append(l.all, Limit{"max_sessions", n, "process.max_sessions of the configuration"})
	}
	slices.SortStableFunc(l.all, func(a, b Limit) int { return int(a.Sessions - b.Sessions) })
	l.sessions = l.all[0].Sessions
	l.bindsFirst = l.all[0].Resource + ": " + l.all[0].Why
	if l.sessions < 1 {
		return l, fmt.Errorf("no session fits: %s; raise it (ulimit -n, LimitNOFILE=)", l.bindsFirst)
	}
	return l, nil
}

// pipeLimit is max_pipes, or what descriptors and the user's pipe quota allow.
func pipeLimit(c *config.Config, fds int64) int64 {
	n := int64(c.Relay.MaxPipes)
	if n == 0 {
		n = min(max(fds/fdsPerPipe, minPipes), maxPipes)
	}
	if quota := sys.PipeLimit(pipeBytes(c)); quota >= 0 {
		n = min(n, quota)
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
