package load_test

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Patience of the tests: with sessions that all do what they should nobody has to be quick; faults need not wait.
const (
	patient   = 30 * time.Second
	impatient = 300 * time.Millisecond
)

func mixed(to netip.AddrPort, bulkRate float64, patience time.Duration) (*load.Result, error) {
	cfg := load.MixedConfig{Config: config(to), Sessions: 200, MessageBytes: 64, Rate: 500, BulkRate: bulkRate}
	cfg.For, cfg.Patience = 200*time.Millisecond, patience
	return load.Mixed(cfg)
}

func slow(to netip.AddrPort, rate float64, patience time.Duration) (*load.Result, error) {
	cfg := load.SlowConfig{Config: config(to), Fast: 2, Stalled: 4, FastBytes: 1 << 20, StalledBytes: 12 << 20, ReadRate: rate}
	cfg.For, cfg.Patience = 400*time.Millisecond, patience
	return load.Slow(cfg)
}

func TestMixedTellsItsClassesApart(t *testing.T) {
	testkit.LeakCheck(t)
	res, err := mixed(backend(t, serve.Echo), 0, patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", res.Classes)
	if !res.Sound() || len(res.Classes) != 3 || res.Sessions != 200 {
		t.Fatalf("not sound, or classes are missing: %+v", *res)
	}
	for i, want := range []int{180, 18, 2} {
		if n := res.Classes[i].Sessions; n != want {
			t.Errorf("%d sessions are %s, want %d", n, res.Classes[i].Name, want)
		}
	}
	if c := res.Classes[1]; c.Messages == 0 || c.Latency.Count != c.Messages || c.Bytes != 64*c.Messages {
		t.Errorf("chatty: %+v", c)
	}
	if res.Classes[2].Bytes == 0 {
		t.Error("no bulk was moved")
	}
}

// The amount follows from the rate and the length of the window, and is no more on a machine that is late.
func TestMixedBulkKeepsToItsRate(t *testing.T) {
	const rate = 10e6
	res, err := mixed(backend(t, serve.Echo), rate, patient)
	if err != nil {
		t.Fatal(err)
	}
	c := res.Classes[2]
	t.Logf("%+v", c)
	if most := rate*(c.Seconds+0.1) + 2<<20; !res.Sound() || c.Bytes == 0 || float64(c.Bytes) > most {
		t.Errorf("%d bytes in %.3f s at a rate of %.0f: %+v", c.Bytes, c.Seconds, rate, *res)
	}
}

func TestSlowReadersEndWithAllTheirBytes(t *testing.T) {
	for name, rate := range map[string]float64{"stalled": 0, "reading a little": 1e6} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			res, err := slow(backend(t, serve.Source), rate, patient)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", res.Classes)
			if !res.Sound() || len(res.Classes) != 3 || res.Bytes == 0 || len(res.Memory) != 2 {
				t.Fatalf("not sound, or classes are missing: %+v", *res)
			}
			c := res.Classes[2]
			if all := uint64(4 * 12 << 20); c.Sessions != 4 || c.Bytes == 0 || (c.Bytes < all) != (rate > 0) || c.Bytes > all {
				t.Errorf("%d bytes of %d were left at the end: %+v", c.Bytes, all, c)
			}
		})
	}
}

// Neither a stalled stream's fault nor a silent session's may hide behind those that work.
func TestFaultsInEachClassAreCaught(t *testing.T) {
	tests := []struct {
		name   string
		breaks fault
	}{
		{"a flipped bit", func(p []byte) ([]byte, bool) { p[len(p)/2] ^= 1; return p, true }},
		{"a lost byte", func(p []byte) ([]byte, bool) { return p[1:], true }},
		{"an early end", func(p []byte) ([]byte, bool) { return p[:len(p)/2], false }},
	}
	for _, tc := range tests {
		for size, workload := range map[string]struct {
			mode serve.Mode
			run  func(netip.AddrPort) (*load.Result, error)
			hits func(n int) bool
		}{
			"mixed, all":    {serve.Echo, func(to netip.AddrPort) (*load.Result, error) { return mixed(to, 0, impatient) }, func(int) bool { return true }},
			"mixed, silent": {serve.Echo, func(to netip.AddrPort) (*load.Result, error) { return mixed(to, 0, impatient) }, func(n int) bool { return n == 8 }},
			"mixed, chatty": {serve.Echo, func(to netip.AddrPort) (*load.Result, error) { return mixed(to, 0, impatient) }, func(n int) bool { return n == 64 }},
			"slow":          {serve.Source, func(to netip.AddrPort) (*load.Result, error) { return slow(to, 0, impatient) }, func(int) bool { return true }},
		} {
			t.Run(size+", "+tc.name, func(t *testing.T) {
				to := faultyProxy(t, backend(t, workload.mode), workload.mode, func(p []byte) ([]byte, bool) {
					if !workload.hits(len(p)) {
						return p, true
					}
					return tc.breaks(p)
				})
				res, err := workload.run(to)
				if err != nil {
					t.Fatal(err)
				}
				if res.Sound() {
					t.Errorf("the fault was not seen: %+v", *res)
				}
			})
		}
	}
}

// A silent session that was good at the start may be dead at the end: each is asked twice.
func TestSilentSessionsAreAskedAtTheEndToo(t *testing.T) {
	testkit.LeakCheck(t)
	var answers atomic.Int64
	to := faultyProxy(t, backend(t, serve.Echo), serve.Echo, func(p []byte) ([]byte, bool) {
		if len(p) == 8 {
			answers.Add(1)
		}
		return p, true
	})
	res, err := mixed(to, 1e6, patient)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Sound() || answers.Load() < 2*180 {
		t.Errorf("%d answers to 180 silent sessions: %+v", answers.Load(), *res)
	}
}

// Bulk is under way at the end of the window; what does not arrive after it is lost.
func TestBulkThatDoesNotComeBackIsCaught(t *testing.T) {
	testkit.LeakCheck(t)
	to := faultyProxy(t, backend(t, serve.Echo), serve.Echo, func(p []byte) ([]byte, bool) {
		if len(p) > 64 {
			return nil, true
		}
		return p, true
	})
	res, err := mixed(to, 0, impatient)
	if err != nil {
		t.Fatal(err)
	}
	if res.Failed < 2 || res.Wrong != 0 {
		t.Errorf("want the 2 bulk sessions to have failed: %+v", *res)
	}
}
