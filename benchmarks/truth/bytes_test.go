package truth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// An effect is how the harness must count the sessions that a flaw struck. Each is struck once.
type effect int

const (
	wrong  effect = iota // a byte was not what was sent
	ended                // the session ended before it should
	silent               // nothing more came, which only Patience can tell
)

// patience of runs in which silence is the flaw: all of their sessions fall silent, so it need not be long.
const short = 2 * time.Second

type flawCase struct {
	flaw string // "up " before it: in the bytes to the backend
	is   effect
}

// workloads are all of them in small, each with flaws that no figure of its may survive.
var workloads = []struct {
	name  string
	mode  serve.Mode
	run   func(load.Config) (*load.Result, error)
	flaws []flawCase
}{
	{"echo, closed loop", serve.Echo, func(c load.Config) (*load.Result, error) {
		return load.Echo(load.EchoConfig{Config: c, Sessions: 10, MessageBytes: 64})
	}, []flawCase{
		{"flip=640", wrong},
		{"up flip=640", wrong},
		{"twice=640", wrong},
		{"swap=640", wrong},
		{"drop=640", wrong},
		{"drop=703", silent},
		{"lose=640", silent},
		{"up lose=640", silent},
		{"end=640", ended},
		{"hang=640", silent},
		{"reset=3", ended},
	}},
	{"echo, open loop", serve.Echo, func(c load.Config) (*load.Result, error) {
		return load.Echo(load.EchoConfig{Config: c, Sessions: 10, MessageBytes: 64, Rate: 2000})
	}, []flawCase{
		{"flip=640", wrong},
		{"lose=640", silent},
		{"end=640", ended},
	}},
	{"churn", serve.Echo, func(c load.Config) (*load.Result, error) {
		return load.Churn(load.ChurnConfig{Config: c, AtOnce: 6, MessageBytes: 64})
	}, []flawCase{
		{"flip=20", wrong},
		{"twice=20", wrong},
		{"swap=20", wrong},
		{"up drop=20", wrong},
		{"end=20", ended},
		{"hang=20", silent},
		{"reset=7", ended},
	}},
	{"bulk down", serve.Source, func(c load.Config) (*load.Result, error) {
		return load.Bulk(load.BulkConfig{Config: c, Streams: 4, Bytes: 4 * 1_500_000})
	}, []flawCase{
		{"flip=1_000_000", wrong},
		{"drop=1_000_000", wrong},
		{"lose=1_000_000", wrong},
		{"twice=1_000_000", wrong},
		{"swap=1_000_000", wrong},
		{"end=1_000_000", ended},
		{"hang=1_000_000", silent},
		{"reset=2", ended},
	}},
	{"bulk up", serve.Sink, func(c load.Config) (*load.Result, error) {
		return load.Bulk(load.BulkConfig{Config: c, Streams: 4, Bytes: 4 * 1_500_000, Up: true})
	}, []flawCase{
		{"up flip=1_000_000", wrong},
		{"up twice=1_000_000", wrong},
		{"up swap=1_000_000", wrong},
		{"up drop=1_000_000", silent},
		{"up end=1_000_000", ended},
		{"up hang=1_000_000", silent},
		{"reset=2", ended},
	}},
	{"idle", serve.Echo, func(c load.Config) (*load.Result, error) {
		return load.Idle(load.IdleConfig{Config: c, Steps: []int{10, 20}})
	}, []flawCase{
		{"flip=4", wrong},
		{"swap=4", wrong},
		{"drop=4", wrong},
		{"drop=7", silent},
		{"hang=4", silent},
		{"end=4", ended},
		{"reset=6", ended},
	}},
}

func TestEveryWorkloadSeesEveryFlaw(t *testing.T) {
	for _, w := range workloads {
		for _, f := range w.flaws {
			t.Run(w.name+"/"+f.flaw, func(t *testing.T) {
				t.Parallel()
				p := proxy(t, backend(t, w.mode), f.flaw)
				cfg := config(p.Addr)
				if f.is == silent {
					cfg.Patience = short
				}
				res, err := w.run(cfg)
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d struck; %d wrong, %d failed: %s", p.Struck(), res.Wrong, res.Failed, res.FirstError)
				check(t, res, f.is, p.Struck())
			})
		}
	}
}

// check says whether as many sessions as were struck are counted as what happened to them, and no other.
func check(t *testing.T, res *load.Result, is effect, struck uint64) {
	t.Helper()
	wantWrong, wantFailed := uint64(0), struck
	if is == wrong {
		wantWrong, wantFailed = struck, 0
	}
	if res.Wrong != wantWrong || res.Failed != wantFailed || struck == 0 || res.Sound() {
		t.Errorf("%d wrong, %d failed; %d sessions were struck (%s)", res.Wrong, res.Failed, struck, res.FirstError)
	}
}

// One byte of 10^9 is lost: nothing but a comparison of all bytes can see that.
func TestAByteLostInABillionIsFound(t *testing.T) {
	testkit.LeakCheck(t)
	every := uint64(1e9)
	if underRace() {
		every = 5e7
	}
	to := proxy(t, backend(t, serve.Source), fmt.Sprintf("drop=%d", every)).Addr
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
