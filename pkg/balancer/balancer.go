package balancer

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longsplice/longsplice/bpf"
	"github.com/longsplice/longsplice/pkg/accesslog"
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/health"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/resolve"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/worker"
)

// Build says what program this is.
type Build struct{ Version, Commit string }

// Options are what a balancer starts with.
type Options struct {
	Config  *config.Config // validated
	Build   Build
	OnEvent func(Event) // called for every event, one at a time; must not block for long
	Stdout  *os.File    // for access_log = "stdout"; nil: os.Stdout

	// Doors, if not nil, are what others reach this process by, beside the listeners.
	Doors Doors

	lookup  func(ctx context.Context, network, host string) ([]netip.Addr, error) // instead of the host's resolver; nil: that
	probe   func(pipeBytes int) []sys.Feature                                     // instead of sys.Probe; nil: that
	loadBPF func(workers int) (*bpf.Steering, error)                              // instead of bpf.Load; nil: that
}

// Doors are opened once it is sure that no other process has our admin socket, and before the first listener: nobody is
// let in by a process that cannot start. They are closed, if they were opened, when nothing is served any more and the
// last event was told, before another process may take our place.
type Doors interface {
	Open(tell func(Event)) error // tell may be called until Close has returned
	Close()
}

// Errors of queries.
var (
	ErrNotFound = errors.New("not found")
	ErrBadQuery = errors.New("bad query")
)

// Balancer is a running balancer.
type Balancer struct {
	Options
	cfg         *config.Config
	started     time.Time
	workerCount int
	limits      limits
	features    []sys.Feature
	hashKey     [16]byte

	ephemeralFrom, ephemeralTo uint16

	events     *hub
	listeners  []openListener
	listening  sync.RWMutex  // guards the listeners' descriptors
	steering   *bpf.Steering // nil: not steered, for the reason notSteered
	notSteered string
	lockFD     int
	doorsOpen  bool
	workers    []*worker.Worker
	ended      sync.WaitGroup // workers
	held       *worker.Limits
	pipes      *relay.PipeBudget
	checker    *health.Checker
	resolver   *resolve.Resolver
	logWriter  *accesslog.Writer
	rings      []*accesslog.Ring

	snap     atomic.Pointer[backend.Snapshot]
	draining atomic.Bool
	ready    atomic.Bool
	stopNow  chan struct{}
	stopOnce sync.Once
	endOnce  sync.Once          // Shutdown
	run      context.Context    // of everything beside the workers
	cancel   context.CancelFunc // ends run
	beside   sync.WaitGroup

	mu             sync.Mutex // guards what follows: building snapshots
	generation     uint64
	registry       *backend.Registry
	book           *ports.Book
	poolNumber     map[string]int
	poolLive       map[string]*backend.PoolLive
	frontendNumber map[string]backend.Number
	frontendLive   []*backend.FrontendLive
	answers        map[string][]netip.Addr // by host name
	retired        map[backend.Number]time.Time
	baseline       map[backend.Number][]uint64 // counters of a number's former backends

	watch watched // health and states as last reported; guarded by its own lock
}

// Start checks what the configuration asks for against this host, opens everything and begins to serve. It returns
// when the workers run; readiness comes after the first round of health checks. Errors name the thing and what would
// help.
func Start(ctx context.Context, o Options) (*Balancer, error) {
	if ps := o.Config.Unsupported(); len(ps) > 0 {
		return nil, ps
	}
	b := newBalancer(o)
	steps := []func(context.Context) error{b.checkHost, b.prepare, b.resolveNames, b.openDoors, b.listen, b.startWorkers, b.startBeside}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			b.StopNow()
			b.release()
			b.leave()
			return nil, explainShortage(err)
		}
	}
	debug.FreeOSMemory() // tables were built: what is left over goes back before sessions come
	b.Emit(Event{Name: "started", Level: "info", Message: fmt.Sprintf("%d workers, %d sessions at most (%s)", b.workerCount, b.limits.sessions, b.limits.bindsFirst)})
	return b, nil
}

// explainShortage adds what would help where descriptors ran out.
func explainShortage(err error) error {
	if errors.Is(err, sys.EMFILE) {
		return fmt.Errorf("%w: this process may open no more; raise its limit (ulimit -n, LimitNOFILE=)", err)
	}
	if errors.Is(err, sys.ENFILE) {
		return fmt.Errorf("%w: the host may open no more; raise fs.file-max", err)
	}
	return err
}

func newBalancer(o Options) *Balancer {
	b := &Balancer{
		Options: o, cfg: o.Config, started: time.Now(), lockFD: -1, events: newHub(o.OnEvent),
		stopNow: make(chan struct{}), registry: backend.NewRegistry(), book: ports.NewBook(),
		poolNumber: map[string]int{}, poolLive: map[string]*backend.PoolLive{},
		frontendNumber: map[string]backend.Number{}, answers: map[string][]netip.Addr{},
		retired: map[backend.Number]time.Time{}, baseline: map[backend.Number][]uint64{},
		watch: watched{checks: map[[2]string]map[string]uint64{}, state: map[*backend.Backend]seenState{}, ports: map[portsOf]*portTrend{}},
	}
	b.run, b.cancel = context.WithCancel(context.Background())
	b.resolver = resolve.New(resolve.Hooks{Changed: b.nameChanged, Failed: b.nameTroubled})
	if o.lookup != nil {
		b.resolver.Lookup = o.lookup
	}
	b.checker = health.New(health.Hooks{Changing: b.watch.changing, Changed: b.healthChanged, Checked: b.watch.checked})
	return b
}

// prepare derives limits and keys.
func (b *Balancer) prepare(context.Context) error {
	cpus, _ := sys.UsableCPUs()
	if b.workerCount = b.cfg.Process.Workers; b.workerCount == 0 {
		b.workerCount = cpus
	}
	runtime.GOMAXPROCS(b.workerCount + 2) // a worker's thread keeps a P; checks, admin and the collector need theirs
	if err := b.lock(); err != nil {
		return err
	}
	sockets := 0
	for i := range b.cfg.Frontends {
		sockets += len(b.cfg.Frontends[i].Listen) * (b.workerCount + bpf.Descriptors)
	}
	var err error
	if b.limits, err = deriveLimits(b.cfg, b.workerCount, sockets); err != nil {
		return err
	}
	if err := sys.GrowFDTable(b.limits.fdTableSize); err != nil {
		return err
	}
	b.selfTest()
	b.ephemeralFrom, b.ephemeralTo = sys.EphemeralPorts()
	b.noteKernelPorts()
	b.held = &worker.Limits{Max: b.limits.sessions}
	b.pipes = &relay.PipeBudget{Limit: b.limits.pipes}
	if b.hashKey, err = loadHashKey(b.cfg.Process.HashKeyFile); err != nil {
		return err
	}
	b.number()
	return nil
}

// loadHashKey reads 32 hex digits; no file means a random key.
func loadHashKey(path string) (key [16]byte, err error) {
	if path == "" {
		_, err = rand.Read(key[:])
		return key, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("read process.hash_key_file: %w; make one with: openssl rand -hex 16 > %s", err, path)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(raw) != len(key) {
		return key, fmt.Errorf("read process.hash_key_file %s: want 32 hexadecimal digits; make them with: openssl rand -hex 16 > %s", path, path)
	}
	return [16]byte(raw), nil
}

// listen opens the listeners and builds the first snapshot.
func (b *Balancer) listen(context.Context) error {
	if err := b.openListeners(); err != nil {
		return err
	}
	b.steer()
	return b.apply()
}

func (b *Balancer) openDoors(context.Context) error {
	if b.Doors == nil {
		return nil
	}
	if err := b.Doors.Open(b.Emit); err != nil {
		return err
	}
	b.doorsOpen = true
	return nil
}

// startWorkers makes the workers and lets each run at once, so that it frees what it holds when a later one cannot be
// made. They do not listen yet.
func (b *Balancer) startWorkers(context.Context) error {
	if err := b.openAccessLog(); err != nil {
		return err
	}
	var base [8]byte
	if _, err := rand.Read(base[:]); err != nil {
		return fmt.Errorf("make session ids: %w", err)
	}
	_, whole := sys.UsableCPUs()
	for i := range b.workerCount {
		w, err := worker.New(b.workerConfig(i, binary.LittleEndian.Uint64(base[:])))
		if err != nil {
			return fmt.Errorf("start worker %d: %w", i, err)
		}
		w.Adopt(b.snap.Load())
		b.workers = append(b.workers, w)
		b.ended.Add(1)
		go func() {
			defer b.ended.Done()
			w.Run(worker.Pin{CPU: i, On: whole && b.cfg.Process.Workers == 0})
		}()
	}
	return nil
}

func (b *Balancer) workerConfig(i int, idBase uint64) worker.Config {
	c := worker.Config{
		ID: i, Kernel: sys.Real{}, Limits: b.held, Pipes: b.pipes, PipeBytes: int(pipeBytes(b.cfg)),
		BufferBytes: int(b.cfg.Relay.BufferBytes), MaxBlocks: int(b.limits.blocks) / b.workerCount,
		Mode: b.relayMode(), ClientOptions: !b.has(sys.FeatureInherit),
		CheckPipes: os.Getenv("LONGSPLICE_DEBUG") != "",
		LogStart:   b.cfg.Process.AccessLogStart,
		WallMs:     func() int64 { return time.Now().UnixMilli() },
		FirstID:    idBase + uint64(i)<<48, // ranges of their own: 2^48 sessions a worker
	}
	if b.rings != nil {
		c.Log = b.rings[i]
	}
	if b.steering != nil {
		c.Steering = b.steering.Cell(i)
	}
	return c
}

const logRing = 4096 // lines a worker may be ahead of the writer

func (b *Balancer) openAccessLog() error {
	path := b.cfg.Process.AccessLog
	if path == "" {
		return nil
	}
	for range b.workerCount {
		b.rings = append(b.rings, accesslog.NewRing(logRing))
	}
	if path == config.AccessLogStdout {
		out := b.Stdout
		if out == nil {
			out = os.Stdout
		}
		b.logWriter = accesslog.NewWriter(out, b.node(), b.rings...)
	} else {
		w, err := accesslog.Open(path, b.node(), b.rings...)
		if err != nil {
			return fmt.Errorf("open process.access_log: %w", err)
		}
		b.logWriter = w
	}
	b.goBeside(func() { b.logWriter.Run(b.run) })
	return nil
}

// node is this instance's name in logs.
func (b *Balancer) node() string {
	if b.cfg.Process.Name != "" {
		return b.cfg.Process.Name
	}
	name, err := os.Hostname()
	if err != nil {
		return "longsplice"
	}
	return name
}

// startBeside starts what runs in ordinary goroutines, waits for the first round of checks, and opens the doors.
func (b *Balancer) startBeside(ctx context.Context) error {
	b.goBeside(func() { b.monitor(b.run) })
	b.watchNames()
	select {
	case <-b.checker.FirstRound():
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(firstRoundAtMost):
	}
	b.give()
	b.ready.Store(true)
	return nil
}

// firstRoundAtMost bounds how long a slow first check may keep clients waiting.
const firstRoundAtMost = 5 * time.Second

func (b *Balancer) goBeside(f func()) {
	b.beside.Add(1)
	go func() {
		defer b.beside.Done()
		f()
	}()
}

// adopt gives a snapshot to every worker and waits until all have it: from then on nobody uses the one before.
func (b *Balancer) adopt(s *backend.Snapshot) {
	b.orderAll(func(w *worker.Worker) bool {
		w.Adopt(s)
		return true
	})
}

// orderAll gives an order to every worker and waits until all have done it.
func (b *Balancer) orderAll(run func(*worker.Worker) bool) {
	orders := make([]*worker.Order, len(b.workers))
	for i, w := range b.workers {
		orders[i] = worker.NewOrder(run)
		w.Give(orders[i])
	}
	for _, o := range orders {
		<-o.Done()
	}
}

// sum is all workers' counters.
func (b *Balancer) sum() *stats.Copy {
	var c stats.Copy
	for _, w := range b.workers {
		w.Sheet().AddTo(&c)
	}
	return &c
}

// Config is the configuration in force.
func (b *Balancer) Config() *config.Config { return b.cfg }

// ReopenAccessLog opens the access log's path again, after it was rotated.
func (b *Balancer) ReopenAccessLog() error {
	if b.logWriter == nil {
		return nil
	}
	return b.logWriter.Reopen()
}

func monotonicMs() int64 { return sys.Real{}.NowNs() / 1e6 }
