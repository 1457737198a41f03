package relay

import (
	"sync/atomic"

	"github.com/longsplice/longsplice/pkg/sys"
)

// PipeBudget bounds the pipes of all workers together.
type PipeBudget struct {
	Limit    int64
	Open     atomic.Int64
	Degraded atomic.Uint64 // pipes refused by the kernel, or granted too small to be of use
}

// Pipes is one worker's pool of empty pipes. A pipe is out only while bytes are in flight.
type Pipes struct {
	k      sys.Kernel
	size   int
	budget *PipeBudget
	// Check makes Put and Get verify that a pipe is empty, at the price of a system call each (tests, debugging).
	Check bool

	pipes  []sys.Pipe // by number - 1
	free   []uint32   // empty, open
	unused []uint32   // numbers without a pipe
	holdUp int        // Gets to refuse before the kernel is asked again
}

const (
	maxIdlePipes  = 64
	minPipeBytes  = 64 << 10 // 16 slots: below, recv and send are faster
	retryAfterGet = 1024     // after the kernel refused
)

// NewPipes makes a pool of pipes of size bytes within a budget.
func NewPipes(k sys.Kernel, size int, budget *PipeBudget) Pipes {
	return Pipes{k: k, size: size, budget: budget}
}

// Get takes an empty pipe; 0 when there is none to be had.
func (p *Pipes) Get() uint32 {
	if n := len(p.free); n > 0 {
		number := p.free[n-1]
		p.free = p.free[:n-1]
		p.verify(number, "get")
		return number
	}
	if p.holdUp > 0 {
		p.holdUp--
		return 0
	}
	return p.open()
}

// open makes a new pipe. The kernel gives an unprivileged user 16-slot pipes up to fs.pipe-user-pages-soft, then
// silently 2-slot ones: those are refused and counted.
func (p *Pipes) open() uint32 {
	if p.budget.Open.Add(1) > p.budget.Limit {
		p.budget.Open.Add(-1)
		p.holdUp = 0
		return 0
	}
	pipe, errno := p.k.Pipe(p.size)
	if errno == 0 && pipe.Size < min(minPipeBytes, p.size) {
		p.k.Close(pipe.R)
		p.k.Close(pipe.W)
		errno = sys.EPERM
	}
	if errno != 0 {
		p.budget.Open.Add(-1)
		p.budget.Degraded.Add(1)
		p.holdUp = retryAfterGet
		return 0
	}
	if n := len(p.unused); n > 0 {
		number := p.unused[n-1]
		p.unused = p.unused[:n-1]
		p.pipes[number-1] = pipe
		return number
	}
	p.pipes = append(p.pipes, pipe)
	return uint32(len(p.pipes))
}

// At is the pipe of a number that is out.
func (p *Pipes) At(number uint32) *sys.Pipe { return &p.pipes[number-1] }

// Put gives an empty pipe back.
func (p *Pipes) Put(number uint32) {
	if len(p.free) >= maxIdlePipes {
		p.Discard(number)
		return
	}
	p.verify(number, "put")
	p.free = append(p.free, number)
}

// Discard closes a pipe; the way of every pipe that may hold bytes.
func (p *Pipes) Discard(number uint32) {
	pipe := p.pipes[number-1]
	p.k.Close(pipe.R)
	p.k.Close(pipe.W)
	p.unused = append(p.unused, number)
	p.budget.Open.Add(-1)
}

// Idle is how many empty pipes are kept; Out how many are with a half.
func (p *Pipes) Idle() int { return len(p.free) }

// Out is how many pipes are with a half.
func (p *Pipes) Out() int { return len(p.pipes) - len(p.unused) - len(p.free) }

// Close closes the idle pipes, at the end of a worker.
func (p *Pipes) Close() {
	for _, number := range p.free {
		p.Discard(number)
	}
	p.free = p.free[:0]
}

func (p *Pipes) verify(number uint32, when string) {
	if !p.Check {
		return
	}
	if n, errno := p.k.Unread(p.At(number).R); errno != 0 || n != 0 {
		panic("relay: pipe is not empty at " + when) // bytes of one session would reach another
	}
}
