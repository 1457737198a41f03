package truth

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// An effect is how the harness must count the sessions that a flaw struck. It strikes each of them once.
type effect int

const (
	wrong  effect = iota // a byte was not what was sent
	ended                // the session ended before it should
	silent               // nothing more came, which only Patience can tell
	lost                 // messages are missing between others
)

// short is the patience of runs in which silence is the flaw: all of their sessions fall silent, so it need not be long.
const short = 2 * time.Second

type flawCase struct {
	flaw string // "up " before it: in the bytes to the backend
	is   effect
}

// workloads are all of them in small. Each must count every session that these flaws struck as what happened to it.
var workloads = []struct {
	name  string
	mode  serve.Mode
	run   func(load.Config) (*load.Result, error)
	flaws []flawCase
}{
	{"echo, closed loop", serve.Echo, echoes(0), []flawCase{
		{"flip=640", wrong},
		{"up flip=640", wrong},
		{"drop=640", wrong},
		{"twice=640", wrong},
		{"swap=640", wrong},
		{"drop=703", silent}, // the last byte of a message
		{"lose=640", silent},
		{"up lose=640", silent},
		{"hang=640", silent},
		{"end=640", ended},
		{"reset=3", ended},
	}},
	{"echo, open loop", serve.Echo, echoes(2000), []flawCase{
		{"flip=640", wrong},
		{"swap=640", wrong},
		{"lose=640", silent},
		{"end=640", ended},
	}},
	{"echo, WebSocket", serve.Echo, framed(echoes(0)), []flawCase{
		{"flip=1000", wrong},
		{"up flip=1000", wrong},
		{"drop=1000", wrong},
		{"swap=1000", wrong},
		{"hang=1000", silent},
		{"end=1000", ended},
	}},
	{"churn", serve.Echo, churns, []flawCase{
		{"flip=20", wrong},
		{"up drop=20", wrong},
		{"twice=20", wrong},
		{"swap=20", wrong},
		{"hang=20", silent},
		{"end=20", ended},
		{"reset=7", ended},
	}},
	{"churn, WebSocket", serve.Echo, framed(churns), []flawCase{
		{"flip=140", wrong},
		{"end=140", ended},
		{"reset=7", ended},
	}},
	{"push", serve.Push, pushes, []flawCase{
		{"flip=640", wrong},
		{"flip=663", wrong},
		{"drop=650", wrong},
		{"twice=640", wrong},
		{"swap=640", wrong},
		{"lose=128", lost},
		{"hang=640", silent},
		{"end=640", ended},
		{"reset=3", ended},
	}},
	{"push, WebSocket", serve.Push, framed(pushes), []flawCase{
		{"flip=1000", wrong},
		{"end=1000", ended},
	}},
	{"bulk down", serve.Source, streams(load.BulkConfig{}), []flawCase{
		{"flip=1_000_000", wrong},
		{"drop=1_000_000", wrong},
		{"lose=1_000_000", wrong},
		{"twice=1_000_000", wrong},
		{"swap=1_000_000", wrong},
		{"hang=1_000_000", silent},
		{"end=1_000_000", ended},
		{"reset=2", ended},
	}},
	{"bulk up", serve.Sink, streams(load.BulkConfig{Up: true}), []flawCase{
		{"up flip=1_000_000", wrong},
		{"up twice=1_000_000", wrong},
		{"up swap=1_000_000", wrong},
		{"up drop=1_000_000", silent}, // the sink waits for the last byte
		{"up hang=1_000_000", silent},
		{"up end=1_000_000", ended},
		{"reset=2", ended},
	}},
	{"bulk both ways", serve.Both, streams(load.BulkConfig{Both: true}), []flawCase{
		{"flip=500_000", wrong},
		{"drop=500_000", wrong},
		{"swap=500_000", wrong},
		{"up flip=500_000", wrong},
		{"up hang=500_000", silent},
		{"end=500_000", ended},
	}},
	{"idle", serve.Echo, func(c load.Config) (*load.Result, error) {
		return load.Idle(load.IdleConfig{Config: c, Steps: []int{10, 20}})
	}, []flawCase{
		{"flip=4", wrong},
		{"drop=4", wrong},
		{"swap=4", wrong},
		{"drop=7", silent},
		{"hang=4", silent},
		{"end=4", ended},
		{"reset=6", ended},
	}},
	{"slow", serve.Source, func(c load.Config) (*load.Result, error) {
		return load.Slow(load.SlowConfig{Config: c, Fast: 2, Stalled: 2, FastBytes: 1 << 20, StalledBytes: 12 << 20})
	}, []flawCase{
		{"flip=1_000_000", wrong},  // in the fast ones and the stalled
		{"drop=12_000_000", wrong}, // in the stalled ones, of bytes that waited for long
		{"hang=12_000_000", silent},
		{"end=12_000_000", ended},
	}},
	{"mixed", serve.Echo, func(c load.Config) (*load.Result, error) {
		return load.Mixed(load.MixedConfig{Config: c, Sessions: 200, MessageBytes: 64, Rate: 1000, BulkRate: 50e6})
	}, []flawCase{
		{"flip=12", wrong}, // the silent ones too, in their second message
		{"swap=4", wrong},
		{"drop=1_000_000", wrong},
		{"hang=80", silent},
		{"end=80", ended},
		{"reset=9", ended},
	}},
}

func echoes(rate float64) func(load.Config) (*load.Result, error) {
	return func(c load.Config) (*load.Result, error) {
		return load.Echo(load.EchoConfig{Config: c, Sessions: 10, MessageBytes: 64, Rate: rate})
	}
}

func churns(c load.Config) (*load.Result, error) {
	return load.Churn(load.ChurnConfig{Config: c, AtOnce: 6, MessageBytes: 64})
}

func pushes(c load.Config) (*load.Result, error) {
	return load.Push(load.PushConfig{Config: c, Sessions: 10, MessageBytes: 64, Rate: 4000})
}

func streams(way load.BulkConfig) func(load.Config) (*load.Result, error) {
	return func(c load.Config) (*load.Result, error) {
		cfg := way
		cfg.Config, cfg.Streams, cfg.Bytes = c, 4, 4*1_500_000
		return load.Bulk(cfg)
	}
}

func framed(run func(load.Config) (*load.Result, error)) func(load.Config) (*load.Result, error) {
	return func(c load.Config) (*load.Result, error) {
		c.WebSocket = true
		return run(c)
	}
}

func TestEveryWorkloadSeesEveryFlaw(t *testing.T) {
	t.Parallel()
	for _, w := range workloads {
		for _, f := range w.flaws {
			t.Run(w.name+"/"+f.flaw, func(t *testing.T) {
				t.Parallel()
				to := backend(t, w.mode, strings.HasSuffix(w.name, "WebSocket"))
				// On a busy machine sessions may not get to the flaw's place within a short window: then a longer one.
				for window := 200 * time.Millisecond; window < patient; window *= 4 {
					p := proxy(t, to, f.flaw)
					res, err := w.run(flawedConfig(p.Addr, f.is, window))
					if err != nil {
						t.Fatal(err)
					}
					t.Logf("%d struck; %d wrong, %d failed, %d lost: %s", p.Struck(), res.Wrong, res.Failed, res.Lost, res.FirstError)
					if p.Struck() > 0 || !res.Sound() {
						check(t, res, f.is, p.Struck())
						return
					}
				}
				t.Error("the flaw struck no session")
			})
		}
	}
}

func flawedConfig(to netip.AddrPort, is effect, window time.Duration) load.Config {
	cfg := config(to)
	cfg.For = window
	if is == silent {
		cfg.Patience = short
	}
	return cfg
}

// check says whether as many sessions as were struck are counted as what happened to them, and no other.
func check(t *testing.T, res *load.Result, is effect, struck uint64) {
	t.Helper()
	want := map[effect][3]uint64{wrong: {struck, 0, 0}, ended: {0, struck, 0}, silent: {0, struck, 0}, lost: {0, 0, struck}}[is]
	got := [3]uint64{res.Wrong, res.Failed, res.Lost}
	if is == lost { // a session whose last message it was has not ended
		want[1], want[2] = got[1], want[2]-got[1]
	}
	if got != want || res.Sound() {
		t.Errorf("%d wrong, failed and lost, want %d of %d sessions that were struck (%s)", got, want, struck, res.FirstError)
	}
}

// One byte of 10^9 is lost: nothing but a comparison of all bytes can see that.
func TestAByteLostInABillionIsFound(t *testing.T) {
	testkit.LeakCheck(t)
	every := uint64(1e9)
	if underRace() {
		every = 5e7
	}
	to := proxy(t, backend(t, serve.Source, false), fmt.Sprintf("drop=%d", every)).Addr
	began := time.Now()
	res, err := bulkDown(to, every+every/10)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s after %s", res.FirstError, time.Since(began))
	var at uint64
	if _, err := fmt.Sscanf(res.FirstError, "wrong byte at position %d", &at); err != nil || res.Wrong != 1 || res.Failed != 0 {
		t.Fatalf("%d wrong, %d failed: %q; want the wrong byte and its place", res.Wrong, res.Failed, res.FirstError)
	}
	if at < every || at > every+4 { // bytes behind the lost one may happen to be equal
		t.Errorf("the fault was found at %d, want %d", at, every)
	}
	// The byte before it is the last one that is right: a stream that ends there is sound.
	if res, err = bulkDown(to, every/20); err != nil || !res.Sound() {
		t.Errorf("a stream that ends before the flaw: %+v, %v", res, err)
	}
}

func bulkDown(to netip.AddrPort, bytes uint64) (*load.Result, error) {
	return load.Bulk(load.BulkConfig{Config: config(to), Streams: 1, Bytes: bytes})
}
