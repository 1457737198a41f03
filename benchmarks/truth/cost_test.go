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
func cost(t *testing.T, p target, window time.Duration) *load.Result {
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
	to := backend(t, serve.Echo)
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

// slope is bytes, or fds, per session between two numbers of sessions.
func TestLeakedMemoryShows(t *testing.T) {
	testkit.LeakCheck(t)
	const leaked = 256 << 10
	to := backend(t, serve.Echo)
	plain := bytesPerSession(t, start(t, to, ""))
	leaker := bytesPerSession(t, start(t, to, fmt.Sprintf("leak=%d", leaked)))
	t.Logf("%.0f bytes per session; with the leak %.0f, %d more wanted", plain, leaker, leaked)
	if extra := leaker - plain; math.Abs(extra-leaked) > 0.2*leaked {
		t.Errorf("%.0f bytes per session more, want %d", extra, leaked)
	}
}

func bytesPerSession(t *testing.T, p target) float64 {
	t.Helper()
	m := footprints(t, p)
	return float64(m[1].RSS-m[0].RSS) / float64(m[1].Sessions-m[0].Sessions)
}

func footprints(t *testing.T, p target) []load.Footprint {
	t.Helper()
	cfg := load.IdleConfig{Config: config(p.addr), Steps: []int{100, 400}}
	cfg.PID = p.pid
	res, err := load.Idle(cfg)
	m := sound(t, res, err).Memory
	if len(m) != 2 {
		t.Fatalf("footprints %+v, want one for each step", m)
	}
	return m
}
