package worker

import (
	"runtime"
	"sync/atomic"

	"github.com/longsplice/longsplice/pkg/accesslog"
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/timer"
)

// Limits is what all workers of a process may hold together.
type Limits struct {
	Max  int64        // sessions
	Held atomic.Int64 // sessions
	Peak atomic.Int64 // the most that were held; two workers at once may miss one
	_    [40]byte
}

// take reserves a place.
func (l *Limits) take() bool {
	n := l.Held.Add(1)
	if n > l.Max {
		return false
	}
	if n > l.Peak.Load() {
		l.Peak.Store(n)
	}
	return true
}

// Config is what a worker is made with; it stays for the worker's life.
type Config struct {
	ID          int
	Kernel      sys.Kernel
	Limits      *Limits
	Pipes       *relay.PipeBudget
	PipeBytes   int
	BufferBytes int
	MaxBlocks   int // buffers for stalled sinks
	Mode        relay.Mode
	CheckPipes  bool            // verify that pooled pipes are empty (tests, debugging)
	Log         *accesslog.Ring // nil: off
	LogStart    bool
	WallMs      func() int64 // wall clock in ms, for the log
	FirstID     uint64       // session ids count up from here
	// ClientOptions: accepted sockets do not inherit their listener's options here, so they are set as backends' are.
	ClientOptions bool
	Steering      Steering // nil: the kernel spreads connections
}

// Steering chooses the workers of new connections. It is told after every turn how many sessions the worker holds: one that
// has a connection and says nothing does not run. Tell must cost next to nothing.
type Steering interface{ Tell(sessions int) }

// Worker is one event loop. All fields but orders and wakefd belong to its thread.
type Worker struct {
	Config
	k      sys.Kernel
	epfd   int
	wakefd int

	snap      *backend.Snapshot
	cursors   []backend.Cursor // by pool number
	listeners []listener
	paused    int // listeners whose accepting is paused

	slots slab
	wheel *timer.Wheel
	mover relay.Mover
	sheet *stats.Sheet
	own   *stats.Row

	nowNs, nowMs int64
	skippedMs    int64 // time that did not count: the machine stood still
	turns        uint32
	streamed     uint32 // the turn behind the last one in which a stream was carried
	talkedMs     int64  // when bytes last passed that were no stream's
	publishedMs  int64

	ready   queue // sessions with work left after their turn's budget
	starved queue // sessions waiting for a block
	fresh   freshList
	dead    []uint32 // sessions that ended in this batch
	freed   bool     // descriptors were closed since accepting was last looked at
	spare   spare

	sourceTurn uint32 // which source comes next

	nextID  uint64
	sources map[uint32]sys.Addr // by slot: what the log will want of backends' connections that are closed already
	sheds   []shedding
	stop    bool

	orders  atomic.Pointer[Order]
	pending *Order // orders taken and not finished

	events [512]sys.Event
}

// New makes a worker. What it holds is freed when Run ends.
func New(c Config) (*Worker, error) {
	w := &Worker{Config: c, k: c.Kernel, nextID: c.FirstID, sheet: stats.NewSheet(), dead: make([]uint32, 0, 1024)}
	var errno sys.Errno
	if w.epfd, errno = w.k.EpollCreate(); errno != 0 {
		return nil, callError{"epoll_create1", errno}
	}
	if w.wakefd, errno = w.k.EventFD(); errno != 0 {
		w.k.Close(w.epfd)
		return nil, callError{"eventfd2", errno}
	}
	if errno = w.k.EpollAdd(w.epfd, w.wakefd, sys.EPOLLIN, token(0, 0, kindWake)); errno != 0 {
		w.k.Close(w.epfd)
		w.k.Close(w.wakefd)
		return nil, callError{"epoll_ctl add", errno}
	}
	if c.Log != nil {
		w.sources = map[uint32]sys.Addr{}
	}
	w.ready.mark, w.starved.mark = inReady, inStarved
	w.readClock()
	w.own = w.sheet.Row(stats.Own, 0)
	w.wheel = timer.New(maxSlots, w.nowMs)
	w.mover = relay.Mover{
		K: w.k, Mode: c.Mode,
		Pipes:  relay.NewPipes(w.k, c.PipeBytes, c.Pipes),
		Blocks: relay.NewBlocks(c.BufferBytes, c.MaxBlocks),
	}
	w.mover.Pipes.Check = c.CheckPipes
	w.sourceTurn = uint32(c.ID)
	w.spare = spare{fd: -1, family: sys.AF_INET}
	w.refill() // else before the first accept
	return w, nil
}

// callError is a system call that failed while a worker was made.
type callError struct {
	call  string
	errno sys.Errno
}

func (e callError) Error() string { return e.call + ": " + e.errno.Error() }
func (e callError) Unwrap() error { return e.errno }

// Sheet is the worker's counters, for readers.
func (w *Worker) Sheet() *stats.Sheet { return w.sheet }

// Pin says whether a worker's thread is bound to a CPU.
type Pin struct {
	CPU int
	On  bool
}

// Run works on a thread of its own until an order ends it, and then closes everything it holds. The thread ends with
// it if it was pinned.
func (w *Worker) Run(p Pin) {
	runtime.LockOSThread()
	if p.On {
		_ = sys.PinThread(p.CPU) // a CPU that went away: the scheduler's choice will do
	}
	for !w.stop {
		w.turn()
	}
	w.closeAll()
	if !p.On {
		runtime.UnlockOSThread()
	}
}

// closeAll ends what is left and gives every descriptor back but the listeners, which are the balancer's.
func (w *Worker) closeAll() {
	w.endAll(stats.Shutdown)
	w.bury()
	w.sheet.Publish()
	w.finishOrders()
	w.mover.Pipes.Close()
	w.dropSpare()
	w.k.Close(w.wakefd)
	w.k.Close(w.epfd)
}
