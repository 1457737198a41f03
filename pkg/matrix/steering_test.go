package matrix

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/testkit"
)

const nobody = 65534

// T27, G4: sessions are spread over the workers by the program in the kernel, and without the right to it by the kernel's
// hash. Everything else is the same, and the counters say which it was.
func TestSessionsAreSpread(t *testing.T) {
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	for _, workers := range []int{2, 4} {
		for how, uid := range map[string]uint32{"bpf": 0, "kernel": nobody} {
			t.Run(fmt.Sprintf("%d workers, %s", workers, how), func(t *testing.T) {
				_, backends := echoBackends(t, "127.0.0.1", 2)
				front := freeAddress(t, "127.0.0.1")
				p := run(t, setup{
					process: fmt.Sprintf("workers = %d", workers), uid: uid,
					config: frontend("front", front, "pool") + pool("pool", backends),
				})
				all := gather(t, front, scaled(4000))
				p.expectSteered(how, len(all))
				all = append(all, p.expectSpread(how, front, len(all))...)
				if n, first := failures(all.say(100)); n > 0 {
					t.Errorf("%d sessions failed: %v", n, first)
				}
				all.leave()
				p.await("every session to end", func() bool { return p.endReasons()["client_fin"] == uint64(len(all)) })
			})
		}
	}
}

// expectSteered wants n connections to have been steered that way, and the other way said to be missing.
func (p *program) expectSteered(how string, n int) {
	p.t.Helper()
	p.await("the counters", func() bool { return p.accepted() == uint64(n) })
	s, degraded := p.status().Steering, p.degraded(balancer.FeatureSteering)
	p.t.Logf("%+v", s)
	byProgram, byKernel := p.metric("longsplice_steered_total", `how="cpu"`)+p.metric("longsplice_steered_total", `how="least_loaded"`), p.metric("longsplice_steered_total", `how="kernel"`)
	switch {
	case s.How != how:
		p.t.Errorf("the workers are chosen by %s, want %s", s.How, how)
	case how == "bpf" && (byKernel != 0 || byProgram < float64(n) || len(degraded) != 0):
		p.t.Errorf("%v by the program, %v by the kernel, want %d and 0; events %v", byProgram, byKernel, n, degraded)
	case how == "kernel" && (byKernel != float64(n) || byProgram != 0 || len(degraded) != 1):
		p.t.Errorf("%v by the kernel, %v by the program, want %d and 0; events %v, want one", byKernel, byProgram, n, degraded)
	case how == "kernel" && (degraded[0]["level"] != "info" || !strings.Contains(fmt.Sprint(degraded[0]["message"]), "CAP_BPF")):
		p.t.Errorf("the event is %v", degraded[0])
	}
}

// degraded is the events about one subject.
func (p *program) degraded(subject string) (found []map[string]any) {
	for _, e := range p.events("degraded") {
		if e["subject"] == subject {
			found = append(found, e)
		}
	}
	return found
}

// expectSpread wants the worker with the most sessions to have at most a tenth more than the mean. Where a busy machine has
// kept workers from running to the end, the next to come have to even that out; they are returned.
func (p *program) expectSpread(how, front string, n int) (more crowd) {
	p.t.Helper()
	for round := 0; ; round++ {
		most, allowed := p.unevenness(n+len(more)), p.allowedUnevenness(how, n+len(more))
		p.t.Logf("%d sessions: the worker with the most has %.3f of the mean", n+len(more), most)
		if most <= allowed {
			return more
		}
		if round == 3 {
			p.t.Errorf("a worker has %.3f of the mean, want at most %.2f", most, allowed)
			return more
		}
		more = append(more, gather(p.t, front, n/30)...)
	}
}

// unevenness is what the worker with the most of n sessions has, over the mean.
func (p *program) unevenness(n int) float64 {
	most, workers := int64(0), p.workers()
	for _, w := range workers {
		most = max(most, w.Sessions)
	}
	return float64(most) * float64(len(workers)) / float64(n)
}

// allowedUnevenness is 1.10, as far as so few sessions can do it: the program lets workers be 8 apart, and a hash has a
// standard deviation.
func (p *program) allowedUnevenness(how string, n int) float64 {
	share := 1 / float64(p.status().Workers)
	mean := float64(n) * share
	if how == "kernel" {
		return max(1.10, 1+5*math.Sqrt(mean*(1-share))/mean)
	}
	return max(1.10, 1.04+8/mean)
}

// T27: the program in the kernel goes and comes back, and its slots are emptied, while clients connect all the time. Nobody
// is lost, and the counters say who chose.
func TestSteeringGoesAndComesUnderLoad(t *testing.T) {
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	_, backends := echoBackends(t, "127.0.0.1", 1)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{process: "workers = 4", config: frontend("front", front, "pool") + pool("pool", backends)})
	s := p.steerer()
	c := call(t, front, nil)
	some := int64(scaled(200))
	for range 5 {
		c.awaitMore(some)
		s.detach()
		before := p.status().Steering
		c.awaitMore(some)
		if after := p.status().Steering; after != before {
			t.Errorf("it is detached, and went on from %+v to %+v", before, after)
		}
		s.attach()
	}
	c.awaitMore(some)
	if n := p.status().Steering.ByKernel; n != 0 {
		t.Errorf("%d connections went by the kernel while every slot had its listener", n)
	}
	for worker := range uint32(4) {
		s.empty(worker)
		c.awaitMore(some)
	}
	before := p.status().Steering
	c.awaitMore(some)
	after := p.status().Steering
	c.stop()
	t.Logf("%d clients were served; %+v", c.served.Load(), after)
	if after.ByCPU != before.ByCPU || after.LeastLoaded != before.LeastLoaded || after.ByKernel < before.ByKernel+uint64(some)/2 { // some were on their way before
		t.Errorf("without any slot %+v became %+v", before, after)
	}
	p.await("every session to end", func() bool { return p.endReasons()["client_fin"] == uint64(c.served.Load()) })
}

// T27: clients are there before the program is. Whoever gets a connection is served, though the program that steers is
// attached while they come.
func TestSteeringStartsUnderLoad(t *testing.T) {
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	_, backends := echoBackends(t, "127.0.0.1", 1)
	for range 3 {
		front := freeAddress(t, "127.0.0.1")
		c := call(t, front, func(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) })
		p := run(t, setup{process: "workers = 4", config: frontend("front", front, "pool") + pool("pool", backends)})
		c.awaitMore(int64(scaled(400)))
		c.stop()
		t.Logf("%d clients were served; %+v", c.served.Load(), p.status().Steering)
	}
}

// callers connect again and again, say a byte and leave.
type callers struct {
	t      testing.TB
	served atomic.Int64
	enough chan struct{}
	once   sync.Once
	gone   sync.WaitGroup
	failed atomic.Pointer[error]
}

// call sends callers to address, a few at a time, until stop. None may fail but by an error that is forgiven.
func call(t testing.TB, address string, forgiven func(error) bool) *callers {
	c := &callers{t: t, enough: make(chan struct{})}
	for range 4 {
		c.gone.Go(func() { c.goOn(address, forgiven) })
	}
	t.Cleanup(c.stop)
	return c
}

func (c *callers) goOn(address string, forgiven func(error) bool) {
	for c.failed.Load() == nil {
		select {
		case <-c.enough:
			return
		default:
		}
		v, err := visit(address)
		switch {
		case err == nil:
			v.leave()
			c.served.Add(1)
		case forgiven != nil && forgiven(err):
			time.Sleep(time.Millisecond)
		default:
			c.failed.Store(&err)
		}
	}
}

// awaitMore waits until n more were served.
func (c *callers) awaitMore(n int64) {
	c.t.Helper()
	want := c.served.Load() + n
	eventually(c.t, "callers to be served", func() bool {
		if err := c.failed.Load(); err != nil {
			c.t.Fatalf("after %d callers: %v", c.served.Load(), *err)
		}
		return c.served.Load() >= want
	})
}

func (c *callers) stop() {
	c.once.Do(func() { close(c.enough) })
	c.gone.Wait()
	if err := c.failed.Load(); err != nil {
		c.t.Errorf("after %d callers: %v", c.served.Load(), *err)
	}
}
