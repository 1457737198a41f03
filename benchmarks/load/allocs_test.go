package load_test

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// mallocs runs a workload for that long; generator and backend share this process.
func mallocs(t *testing.T, to netip.AddrPort, long time.Duration, run func(cfg load.Config) (*load.Result, error), web bool) (made, messages uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cfg := config(to)
	cfg.For, cfg.Patience, cfg.WebSocket = long, 30*time.Second, web
	res, err := run(cfg)
	runtime.ReadMemStats(&after)
	if err != nil || !res.Sound() {
		t.Fatalf("%+v, %v", res, err)
	}
	return after.Mallocs - before.Mallocs, res.Messages
}

// What a longer run allocates beyond a shorter one is what its messages cost.
func TestMessagesCostNoAllocation(t *testing.T) {
	echo := func(rate float64) func(cfg load.Config) (*load.Result, error) {
		return func(cfg load.Config) (*load.Result, error) {
			return load.Echo(load.EchoConfig{Config: cfg, Sessions: 10, MessageBytes: 300, Rate: rate})
		}
	}
	push := func(cfg load.Config) (*load.Result, error) {
		return load.Push(load.PushConfig{Config: cfg, Sessions: 10, MessageBytes: 300, Rate: 10_000})
	}
	tests := []struct {
		name string
		mode serve.Mode
		web  bool
		run  func(cfg load.Config) (*load.Result, error)
	}{
		{"echo, closed loop", serve.Echo, false, echo(0)},
		{"echo, open loop", serve.Echo, false, echo(10_000)},
		{"WebSocket echo", serve.Echo, true, echo(0)},
		{"push", serve.Push, false, push},
		{"WebSocket push", serve.Push, true, push},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			to := framedBackend(t, tc.mode, tc.web)
			made1, messages1 := mallocs(t, to, 20*time.Millisecond, tc.run, tc.web)
			made2, messages2 := mallocs(t, to, 220*time.Millisecond, tc.run, tc.web)
			t.Logf("%d allocations for %d messages, %d for %d", made1, messages1, made2, messages2)
			const slack = 200 // what the runtime and this test do by themselves
			if extra := int64(made2) - int64(made1) - slack; messages2 > messages1+1000 && extra > int64(messages2-messages1)/10 {
				t.Errorf("%d more allocations for %d more messages", extra, messages2-messages1)
			}
		})
	}
}
