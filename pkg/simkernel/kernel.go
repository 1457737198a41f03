package simkernel

import (
	"fmt"
	"math/rand/v2"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Faults are the rates, in thousandths of the calls, of what may go wrong.
type Faults struct {
	AcceptEMFILE  int // the connection stays in the queue
	AcceptENFILE  int // the same
	AcceptENOMEM  int // ENOMEM or ENOBUFS; the same
	AcceptAborted int // ECONNABORTED; the connection is gone
	SocketEMFILE  int
	PipeEMFILE    int
	ConnectRefuse int // refused later; used where OnConnect is nil
	ConnectNow    int // ECONNREFUSED from Connect itself
	ConnectDead   int // ETIMEDOUT later
	ConnectNever  int // no answer at all
	ConnectNoPort int // EADDRNOTAVAIL from Connect, on a bound socket: TIME_WAIT, or no port is left
	BindInUse     int // EADDRINUSE: another program has the port
	BindGone      int // EADDRNOTAVAIL: the host has lost the address
	ShortSend     int // memory pressure: a part (or nothing) is taken, and SOCK_NOSPACE set
	FewEvents     int // EpollWait tells only some of what is ready
	Interrupt     int // EpollWait is an empty turn (EINTR)
	Shuffle       int // EpollWait does not begin with the oldest event
	Meanwhile     int // calls before which the network takes a step: nothing stands still while a program works
}

// Options shape the simulated machine. The zero value of a field means its default.
type Options struct {
	FDLimit    int  // RLIMIT_NOFILE (1024); numbers start at 3
	PipePages  int  // fs.pipe-user-pages-soft (16384): pipes beyond it have two slots
	MinBuffer  int  // smallest send or receive buffer, bytes (64)
	MaxBuffer  int  // largest (16384); each buffer's size is drawn between the two, small ones more often
	SharePorts bool // two open sockets may connect from one port to one backend, and get EADDRNOTAVAIL: else a violation
	Immediate  bool // the network delivers by itself after every call, as loopback does
	Faults     Faults
}

func (o *Options) fill() {
	fill := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	fill(&o.FDLimit, 1024)
	fill(&o.PipePages, 16384)
	fill(&o.MinBuffer, 64)
	fill(&o.MaxBuffer, 16384)
}

// Kernel is a simulated machine. Not safe for concurrent use.
type Kernel struct {
	Options
	// Refused is how many of the worker's connects came to ECONNREFUSED.
	Refused int
	// OnConnect answers the worker's connects; nil: by the rates in Faults.
	OnConnect func(to sys.Sockaddr) Answer

	seed uint64
	pcg  rand.PCG
	rng  *rand.Rand
	now  int64

	files   []file // by fd
	lowest  int    // no fd below it is free
	open    int
	conns   []*conn // all that were ever made; those from nconns on wait to be used again
	nconns  int
	live    []*conn // those on which something may still move
	pipes   []*pipe
	npipes  int
	slots   int // pages accounted to pipes
	clients []*Peer
	servers []*Peer
	options []option
	port    uint16          // the last local port handed out
	bound   map[tuple]*conn // by their addresses, the connections of bound sockets

	violations []string
	ring       [traceLen]call
	calls      int
	scratch    []byte
}

var _ sys.Kernel = (*Kernel)(nil)

// New makes a machine.
func New(seed uint64, o Options) *Kernel {
	k := &Kernel{Options: o, scratch: make([]byte, 4096), bound: map[tuple]*conn{}}
	k.rng = rand.New(&k.pcg)
	k.Restart(seed)
	return k
}

// startNs is the clock at the start: not zero, because a zero time often means "never" in a program.
const startNs = 1_000_000_000

// firstFD leaves room for the standard streams.
const firstFD = 3

// Restart takes the machine back to its start with another seed, options and OnConnect kept; it reuses the
// memory, so peers of the last run must not be used any more.
func (k *Kernel) Restart(seed uint64) {
	k.Options.fill()
	k.seed = seed
	k.pcg.Seed(seed, 0x9e3779b97f4a7c15)
	k.now = startNs
	clear(k.files)
	k.files, k.lowest, k.open = k.files[:0], firstFD, 0
	k.nconns, k.npipes, k.slots, k.calls = 0, 0, 0, 0
	k.live, k.clients, k.servers = k.live[:0], k.clients[:0], k.servers[:0]
	k.options, k.violations = k.options[:0], k.violations[:0]
	k.port, k.Refused = 40000, 0
	clear(k.bound)
	for range firstFD {
		k.files = append(k.files, file{kind: reserved})
	}
}

// Rand is the machine's source of randomness, for a driver that wants everything from one seed.
func (k *Kernel) Rand() *rand.Rand { return k.rng }

// Seed is the seed of this run.
func (k *Kernel) Seed() uint64 { return k.seed }

// Advance moves the clock by ns nanoseconds.
func (k *Kernel) Advance(ns int64) { k.now += ns }

// NowNs implements sys.Kernel.
func (k *Kernel) NowNs() int64 { return k.now }

// Nap implements sys.Kernel.
func (k *Kernel) Nap(us int) { k.now += int64(us) * 1000 }

// Violations lists what no correct program does: calls on closed descriptors, foreign or lost bytes at a peer.
func (k *Kernel) Violations() []string { return k.violations }

// violate records a violation.
func (k *Kernel) violate(format string, args ...any) {
	k.violations = append(k.violations, fmt.Sprintf("call %d: ", k.calls)+fmt.Sprintf(format, args...))
}

// fault tells whether one of the things that happen at this rate happens now.
func (k *Kernel) fault(perMille int) bool { return perMille > 0 && k.rng.IntN(1000) < perMille }

// bufferSize draws the capacity of a buffer: any power of two's neighbourhood is as likely as another.
func (k *Kernel) bufferSize() int {
	n := k.MinBuffer
	for n < k.MaxBuffer && k.rng.IntN(8) != 0 {
		n *= 2
	}
	return min(n+k.rng.IntN(n), k.MaxBuffer)
}
