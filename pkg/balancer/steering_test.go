package balancer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/longsplice/longsplice/bpf"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// noBPF is a kernel that does not take the program.
func noBPF(err error) func(int) (*bpf.Steering, error) {
	return func(int) (*bpf.Steering, error) { return nil, err }
}

// addButSteering keeps what is not about steering.
func (t *told) addButSteering(e Event) {
	if e.Name != "degraded" || e.Subject != FeatureSteering {
		t.add(e)
	}
}

// startSteered starts two workers, with load in place of bpf.Load.
func startSteered(t *testing.T, port int, text string, load func(int) (*bpf.Steering, error)) (*Balancer, *told) {
	t.Helper()
	c, _, err := config.Parse("test.toml", []byte(text), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var seen told
	b, err := Start(context.Background(), Options{Config: c, OnEvent: seen.add, loadBPF: load})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Shutdown(context.Background()) })
	for range 10 {
		echoed(t, port, 1000)
	}
	return b, &seen
}

// G4: without the program all is the same but who counts, and it is said once, for information.
func TestWithoutBPFTheKernelSpreads(t *testing.T) {
	testkit.LeakCheck(t)
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"no right to", fmt.Errorf("load: %w", syscall.EPERM), "not allowed to this process (load: operation not permitted)"},
		{"an old kernel", errors.New("no such helper"), "not on this kernel (no such helper)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := freePort(t)
			b, seen := startSteered(t, port, frontendTo(port, echoBackend(t).Addr(), "auto"), noBPF(c.err))
			degraded := seen.named("degraded")
			if len(degraded) != 1 || degraded[0].Level != "info" || degraded[0].Subject != FeatureSteering || !strings.HasPrefix(degraded[0].Message, c.says) {
				t.Errorf("degraded events %+v, want one that says %q", degraded, c.says)
			}
			eventually(t, "10 connections counted", func() bool {
				return b.Status().Steering == Steering{How: "kernel", Why: c.err.Error(), ByKernel: 10}
			})
		})
	}
}

// With the program each connection was its decision; the counts stay after the end.
func TestBPFSteersEachConnection(t *testing.T) {
	testkit.LeakCheck(t)
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	port := freePort(t)
	b, seen := startSteered(t, port, frontendTo(port, echoBackend(t).Addr(), "auto"), nil)
	if d := seen.named("degraded"); len(d) != 0 {
		t.Errorf("degraded events %+v", d)
	}
	want := b.Status().Steering
	if want.How != "bpf" || want.ByCPU+want.LeastLoaded != 10 || want.ByKernel != 0 {
		t.Errorf("steering %+v, want 10 connections by CPU or to the least loaded", want)
	}
	b.Shutdown(context.Background())
	if got := b.Status().Steering; got != want {
		t.Errorf("steering %+v after the end, %+v before", got, want)
	}
}

// There is nothing to choose for one worker: it runs without the program, and that is no shortage.
func TestOneWorkerIsNotSteered(t *testing.T) {
	testkit.LeakCheck(t)
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	port := freePort(t)
	text := strings.Replace(frontendTo(port, echoBackend(t).Addr(), "auto"), "workers = 2", "workers = 1", 1)
	b, seen := startSteered(t, port, text, nil)
	if s, d := b.Status().Steering, seen.named("degraded"); s.How != "kernel" || s.Why == "" || len(d) != 0 {
		t.Errorf("steering %+v, events %+v", s, d)
	}
}

// Where one address cannot be steered, none is: the kernel spreads, and everybody is served.
func TestSteeringIsAllOrNothing(t *testing.T) {
	testkit.LeakCheck(t)
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	port := freePort(t)
	small := func(workers int) (*bpf.Steering, error) { return bpf.Load(workers - 1) } // the second worker finds no slot
	b, seen := startSteered(t, port, frontendTo(port, echoBackend(t).Addr(), "auto"), small)
	eventually(t, "10 connections counted", func() bool { return b.Status().Steering.ByKernel == 10 })
	s, d := b.Status().Steering, seen.named("degraded")
	if s.How != "kernel" || len(d) != 1 || !strings.Contains(d[0].Message, "attach the program") {
		t.Errorf("steering %+v, events %+v", s, d)
	}
}
