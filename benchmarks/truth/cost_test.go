package truth

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// cost is a run of echo against a process of its own with this flaw.
func cost(t *testing.T, p *target, window time.Duration) *load.Result {
	t.Helper()
	cfg := load.EchoConfig{Config: config(p.addr), Sessions: 4, MessageBytes: 64}
	cfg.For, cfg.PID = window, p.pid
	res, err := load.Echo(cfg)
	return sound(t, res, err)
}

func perMessage(r *load.Result) float64 { return r.CPU.Target / float64(r.Messages) }

// The proxy burns two milliseconds per message more than the plain one beside it does, by its own threads' clocks.
func TestBurntProcessorTimeShows(t *testing.T) {
	testkit.LeakCheck(t)
	const burnt = 2e-3
	to := backend(t, serve.Echo, false)
	plain := cost(t, start(t, to, ""), 300*time.Millisecond)
	burner := cost(t, start(t, to, "burn=2ms"), 800*time.Millisecond)
	extra := burner.CPU.Target - perMessage(plain)*float64(burner.Messages)
	want := burnt * float64(burner.Messages)
	t.Logf("%d messages, each %.3f ms more; %.3f s in all, want %.3f; all processors %.2f s, the load %.2f", burner.Messages,
		1e3*extra/float64(burner.Messages), extra, want, burner.CPU.Busy, burner.CPU.Self)
	if math.Abs(extra-want) > 0.15*want+0.02 { // 10 ms at each end of the window
		t.Errorf("%.3f s of processor time more, want %.3f", extra, want)
	}
	busy := 0.0
	for _, b := range burner.CPU.Busy {
		busy += b
	}
	if busy < 0.85*want {
		t.Errorf("all processors together were busy for %.3f s: less than one process on them, %.3f", busy, want)
	}
}

// A session of the proxy has two sockets; what the harness finds beyond them is what was opened on purpose, to the last one.
func TestMemoryAndFilesPerSessionShow(t *testing.T) {
	testkit.LeakCheck(t)
	const leaked, opened = 256 << 10, 3
	to := backend(t, serve.Echo, false)
	leaker := perSession(t, start(t, to, fmt.Sprintf("leak=%d", leaked)), 2)
	opener := perSession(t, start(t, to, fmt.Sprintf("fds=%d", opened)), 2+opened)
	t.Logf("per session: %.0f bytes and %.3f fds with the leak, %.0f bytes and %.3f fds with files", leaker.bytes, leaker.fds, opener.bytes, opener.fds)
	if extra := leaker.bytes - opener.bytes; math.Abs(extra-leaked) > 0.2*leaked {
		t.Errorf("%.0f bytes per session more, want %d", extra, leaked)
	}
	if leaker.fds != 2 || opener.fds != 2+opened {
		t.Errorf("%v and %v fds per session, want 2 and %d", leaker.fds, opener.fds, 2+opened)
	}
}

type slope struct{ bytes, fds float64 }

// perSession is what a session more costs, between two numbers of them. A proxy that a busy machine keeps from its
// processor for long looks quiet before it has accepted all: where the fds are not what they must be, look again.
func perSession(t *testing.T, p *target, fds float64) (s slope) {
	t.Helper()
	for range 3 {
		cfg := load.IdleConfig{Config: config(p.addr), Steps: []int{100, 400}}
		cfg.PID = p.pid
		res, err := load.Idle(cfg)
		m := sound(t, res, err).Memory
		if len(m) != 2 {
			t.Fatalf("footprints %+v, want one for each step", m)
		}
		sessions := float64(m[1].Sessions - m[0].Sessions)
		s = slope{float64(m[1].RSS-m[0].RSS) / sessions, float64(m[1].FDs-m[0].FDs) / sessions}
		if s.fds == fds {
			break
		}
	}
	return s
}

// The window of bulk is the whole run, so that every call falls into it.
func TestSystemCallsAreCountedExactly(t *testing.T) {
	testkit.LeakCheck(t)
	testkit.Privileged(t, "root: a BPF program on a tracepoint")
	p := start(t, backend(t, serve.Source, false), "calls=7")
	cfg := load.BulkConfig{Config: config(p.addr), Streams: 3, Bytes: 10_000_000}
	cfg.PID, cfg.Syscalls = p.pid, true
	res, err := load.Bulk(cfg)
	if sound(t, res, err).Syscalls == nil {
		t.Fatalf("not counted: %q", res.Notes)
	}
	got, want := res.Syscalls.Calls["getppid"], p.stop(t)
	sum := uint64(0)
	for _, n := range res.Syscalls.Calls {
		sum += n
	}
	t.Logf("%d getppid of %d calls, %d in fact", got, res.Syscalls.Total, want)
	if got != want || want == 0 || sum != res.Syscalls.Total {
		t.Errorf("%d calls of getppid, want %d; %d calls in all, their sum is %d", got, want, res.Syscalls.Total, sum)
	}
}
