package worker

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// The whole way from accept to finish under random schedules; -seed N plays one. From the environment:
//
//	LONGSPLICE_SIM_SEEDS  how many seeds (100,000 where no time is given)
//	LONGSPLICE_SIM_FOR    for how long, "10m"; what comes first ends the run
//	LONGSPLICE_SIM_FIRST  the first seed (1), or "random"
func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		m := newSim()
		if why := m.run(*oneSeed); why != "" {
			t.Fatalf("seed %d: %s\n%s", *oneSeed, why, m.k.Trace())
		}
		return
	}
	r := wantedRun(t)
	t.Logf("seeds from %d on", r.next)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() { r.play(t) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-time.After(10 * time.Second):
			t.Log(r.progress())
		}
	}
	t.Log(r.summary())
}

func newSim() *sim {
	k := simkernel.New(0, simOptions)
	return &sim{k: k, calls: &tallied{Kernel: k, errnos: map[callErrno]uint64{}, fills: map[int]bool{}}}
}

// simRun is what all goroutines of a run share.
type simRun struct {
	began time.Time
	first uint64
	limit time.Duration // 0: none

	mu    sync.Mutex // guards what follows
	next  uint64
	left  uint64 // seeds that nobody has taken
	total tally
}

func wantedRun(t *testing.T) *simRun {
	r := &simRun{began: time.Now(), first: 1, left: 100_000}
	number := func(name string, to *uint64) {
		if s := os.Getenv(name); s != "" {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			*to = n
		}
	}
	if s := os.Getenv("LONGSPLICE_SIM_FOR"); s != "" {
		var err error
		if r.limit, err = time.ParseDuration(s); err != nil {
			t.Fatalf("LONGSPLICE_SIM_FOR: %v", err)
		}
		r.left = math.MaxUint64
	}
	number("LONGSPLICE_SIM_SEEDS", &r.left)
	if os.Getenv("LONGSPLICE_SIM_FIRST") == "random" {
		r.first = rand.Uint64() >> 8 // room behind it
	} else {
		number("LONGSPLICE_SIM_FIRST", &r.first)
	}
	if testing.Short() {
		r.left = min(r.left, 3000)
	}
	r.next = r.first
	return r
}

// play takes one seed after the other.
func (r *simRun) play(t *testing.T) {
	m := newSim()
	for {
		seed, ok := r.take()
		if !ok || t.Failed() {
			return
		}
		if why := m.run(seed); why != "" {
			t.Errorf("seed %d (repeat with -run TestSimulation -args -seed %d): %s\n%s", seed, seed, why, m.k.Trace())
			return
		}
		r.add(m)
	}
}

func (r *simRun) take() (seed uint64, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left == 0 || r.limit > 0 && time.Since(r.began) >= r.limit {
		return 0, false
	}
	r.left--
	r.next++
	return r.next - 1, true
}

func (r *simRun) add(m *sim) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.total.add(m)
}

// tally is what seeds have exercised.
type tally struct {
	seeds, steps, calls, sessions uint64
	bytes, urgent, spliced        uint64 // that peers have read; spliced: that the worker moved so
	resets                        uint64 // read by peers
	full                          uint64 // times that a pipe was full and the socket was not empty
	ends                          [stats.NumReasons]uint64
	errnos                        map[string]uint64 // by call and errno
}

func (y *tally) add(m *sim) {
	y.seeds++
	y.steps += uint64(m.steps)
	y.calls += uint64(m.k.Calls())
	y.sessions += m.counts.Value(stats.Frontend, 0, stats.Accepted)
	for reason := range y.ends {
		y.ends[reason] += m.counts.Value(stats.Frontend, 0, stats.EndedBase+reason)
	}
	y.spliced += m.w.mover.Spliced
	for _, p := range m.peers() {
		y.bytes += uint64(p.Received)
		y.urgent += uint64(len(p.Urgent))
		if p.End == simkernel.RST {
			y.resets++
		}
	}
	y.full += m.calls.full
	if y.errnos == nil {
		y.errnos = map[string]uint64{}
	}
	for e, n := range m.calls.errnos {
		y.errnos[e.call+" "+sys.Name(e.errno)] += n
	}
	m.calls.clear()
}

func (r *simRun) progress() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	y, s := &r.total, time.Since(r.began).Seconds()
	return fmt.Sprintf("%5.0f s: %d seeds (%.0f a second), %d sessions, %d bytes, %s; errnos: %s",
		s, y.seeds, float64(y.seeds)/s, y.sessions, y.bytes, y.endings(), y.shortages())
}

func (r *simRun) summary() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	y, took := &r.total, time.Since(r.began)
	var b strings.Builder
	line := func(name string, value any) { fmt.Fprintf(&b, "\n  %-28s %v", name, value) }
	line("seeds", fmt.Sprintf("%d, from %d on", y.seeds, r.first))
	line("time", fmt.Sprintf("%s on %d CPUs, %.0f seeds a second", took.Round(time.Millisecond), runtime.GOMAXPROCS(0), float64(y.seeds)/took.Seconds()))
	line("steps, calls", fmt.Sprintf("%d, %d", y.steps, y.calls))
	line("sessions", fmt.Sprintf("%d: %s", y.sessions, y.endings()))
	line("bytes read by peers", fmt.Sprintf("%d, of them %d urgent; %d went by splice", y.bytes, y.urgent, y.spliced))
	line("resets read by peers", y.resets)
	line("pipe full, socket not empty", y.full)
	line("EAGAIN", y.only(true))
	line("other errnos", y.shortages())
	return b.String()
}

// endings lists how sessions ended.
func (y *tally) endings() string {
	var words []string
	for reason, n := range y.ends {
		if n > 0 {
			words = append(words, fmt.Sprintf("%s %d", stats.Reason(reason), n))
		}
	}
	return strings.Join(words, " ")
}

func (y *tally) shortages() string { return y.only(false) }

// only lists errnos: EAGAIN of each call, or all others.
func (y *tally) only(eagain bool) string {
	var words []string
	for what, n := range y.errnos {
		if strings.HasSuffix(what, " EAGAIN") == eagain {
			words = append(words, fmt.Sprintf("%s %d", strings.TrimSuffix(what, " EAGAIN"), n))
		}
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// tallied is the simulated kernel with a count of the errnos that the worker meets.
type tallied struct {
	*simkernel.Kernel
	errnos map[callErrno]uint64
	full   uint64
	fills  map[int]bool // descriptors: true: the end of a pipe that is written to
}

type callErrno struct {
	call  string
	errno sys.Errno
}

func (k *tallied) clear() {
	clear(k.errnos)
	k.full = 0
}

func (k *tallied) count(call string, errno sys.Errno) {
	if errno == 0 {
		return
	}
	k.errnos[callErrno{call, errno}]++
}

func (k *tallied) Accept(fd int) (int, sys.Addr, sys.Errno) {
	conn, peer, errno := k.Kernel.Accept(fd)
	k.count("accept", errno)
	k.fills[conn] = false
	return conn, peer, errno
}

func (k *tallied) Socket(family int) (int, sys.Errno) {
	fd, errno := k.Kernel.Socket(family)
	k.count("socket", errno)
	k.fills[fd] = false
	return fd, errno
}

func (k *tallied) Connect(fd int, to *sys.Sockaddr) sys.Errno {
	errno := k.Kernel.Connect(fd, to)
	if errno != sys.EINPROGRESS {
		k.count("connect", errno)
	}
	return errno
}

func (k *tallied) Bind(fd int, from *sys.Sockaddr, port uint16) sys.Errno {
	errno := k.Kernel.Bind(fd, from, port)
	k.count("bind", errno)
	return errno
}

func (k *tallied) SockError(fd int) sys.Errno {
	errno := k.Kernel.SockError(fd)
	k.count("SO_ERROR", errno)
	return errno
}

func (k *tallied) Recv(fd int, p []byte, flags int) (int, sys.Errno) {
	n, errno := k.Kernel.Recv(fd, p, flags)
	k.count("recv", errno)
	return n, errno
}

func (k *tallied) Send(fd int, p []byte, flags int) (int, sys.Errno) {
	n, errno := k.Kernel.Send(fd, p, flags)
	k.count("send", errno)
	return n, errno
}

func (k *tallied) Pipe(size int) (sys.Pipe, sys.Errno) {
	p, errno := k.Kernel.Pipe(size)
	k.count("pipe", errno)
	k.fills[p.R], k.fills[p.W] = false, true
	return p, errno
}

func (k *tallied) Splice(from, to, n int) (int, sys.Errno) {
	moved, errno := k.Kernel.Splice(from, to, n)
	k.count("splice", errno)
	if k.fills[to] && moved > 0 && moved < n && k.HasInput(from) && !k.HasUrgent(from) {
		k.full++
	}
	return moved, errno
}
