package matrix

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// TestMoreClientsThanPorts is T14: 2,000 clients of a backend towards which there are 1,000 ports. 1,000 sessions live; the
// others are refused at once, as no_ports, and the backend's health is not blamed. Another backend is reached as before: a
// port is used up towards one address alone. When sessions end, their ports are used again.
func TestMoreClientsThanPorts(t *testing.T) {
	r := newPortsRig(t)
	before, early := r.come(r.fronts[1], scaled(200))
	turns, offered := r.p.turns(), 2*r.ports
	all, refused := r.come(r.fronts[0], offered)
	if n := r.p.turns() - turns; n > uint64(30*offered) {
		t.Errorf("%d turns for %d clients", n, offered)
	}
	more, tries := r.fill(all) // a check of the backend's health may have had the last port just then
	all = append(all, more...)
	r.wantRefused(refused.failed() + tries.failed())
	t.Logf("%d of %d live at once, %d after some more had tried", offered-refused.failed(), offered, len(all))

	r.p.rest("without ports")
	after, late := r.come(r.fronts[1], scaled(200))
	if late.failed() > 0 {
		t.Errorf("%d sessions of another backend refused", late.failed())
	}
	atMost(t, "refused in, 99th percentile", refused.p99(true), 5*time.Millisecond)
	atMost(t, "other sessions later by, 99th percentile", late.p99(false)-early.p99(false), time.Millisecond)
	r.p.await("health checks to want for ports too", func() bool { return r.checks("local") > 0 })
	wantNone(t, "sessions went wrong while others were refused", slices.Concat(all, before, after).say(100))
	r.p.wantHealthy()
	before.leave()
	after.leave()
	r.reuse(all)
}

// reuse ends sessions in both ways and wants as many again after each.
func (r *portsRig) reuse(all crowd) {
	r.p.t.Helper()
	// A backend that is killed closes first: TIME_WAIT is at its end, and our ports are free at once.
	r.backend.kill()
	for _, v := range all {
		_ = v.endOf()
	}
	all.leave()
	r.p.await("the sessions to end", func() bool { return r.p.status().Sessions.Held == 0 })
	spawn(r.p.t, nil, "echo", r.address)
	r.p.await("the new backend to be healthy", func() bool { return r.p.pools()[0].Backends[0].State == "healthy" })
	began := time.Now()
	all, _ = r.fill(nil)
	r.p.t.Logf("%d sessions again %v after a backend had closed them", len(all), time.Since(began))

	// Clients that leave make us close first: TIME_WAIT is at our end, and tcp_tw_reuse = 1 frees the ports after a second.
	all.leave()
	r.p.await("the sessions to end", func() bool { return r.p.status().Sessions.Held == 0 })
	began = time.Now()
	all, _ = r.fill(nil)
	r.p.t.Logf("%d sessions again %v after clients had closed them", len(all), time.Since(began))
	wantNone(r.p.t, "sessions on ports used before went wrong", all.say(100))
	all.leave()
}

// portsRig is a program on a host with few ports, and two frontends, each with a backend on the test's side.
type portsRig struct {
	p       *program
	ports   int
	fronts  [2]string
	backend *child // of the first frontend
	address string // the backend's
}

func newPortsRig(t *testing.T) *portsRig {
	t.Helper()
	h, r := testkit.NewHost(t, "ports"), &portsRig{ports: 2 * scaled(500)}
	h.Sysctl("net.ipv4.ip_local_port_range", fmt.Sprintf("40000 %d", 40_000+r.ports-1))
	h.Sysctl("net.ipv4.tcp_tw_reuse", "1")
	r.address = freeAddress(t, h.Here4().String())
	other := freeAddress(t, h.Here4().String())
	r.backend = spawn(t, nil, "echo", r.address)
	spawn(t, nil, "echo", other)
	r.fronts = [2]string{freeAddressOn(h, 0), freeAddressOn(h, 1)}
	checks := []string{"[pool.health]", `interval = "100ms"`}
	r.p = run(t, setup{host: h, config: frontend("one", r.fronts[0], "one") + frontend("two", r.fronts[1], "two") +
		pool("one", []string{r.address}, checks...) + pool("two", []string{other}, checks...)})
	return r
}

// freeAddressOn is one of a host's addresses to listen on: nobody else listens there.
func freeAddressOn(h *testkit.Host, n int) string { return fmt.Sprintf("%s:%d", h.Addr4(), 8001+n) }

// attempts is how the visits of some clients went.
type attempts []attempt

type attempt struct {
	took    time.Duration
	refused bool
}

func (a attempts) failed() (n int) {
	for _, x := range a {
		if x.refused {
			n++
		}
	}
	return n
}

// p99 is the time that 99 % of those refused, or not, took at most.
func (a attempts) p99(refused bool) time.Duration {
	var times []time.Duration
	for _, x := range a {
		if x.refused == refused {
			times = append(times, x.took)
		}
	}
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)*99/100]
}

// come brings n clients, some at a time. They get a session or a RST; anything else fails the test.
func (r *portsRig) come(address string, n int) (in crowd, all attempts) {
	r.p.t.Helper()
	var mu sync.Mutex
	var wg sync.WaitGroup
	share := make(chan struct{}, 20)
	for range n {
		share <- struct{}{}
		wg.Go(func() {
			defer func() { <-share }()
			began := time.Now()
			v, err := visit(address)
			took := time.Since(began)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, attempt{took, err != nil})
			if err == nil {
				in = append(in, v)
			} else if !isReset(err) {
				r.p.t.Errorf("a client ended with %v, want a session or a RST", err)
			}
		})
	}
	wg.Wait()
	r.p.t.Cleanup(in.leave)
	return in, all
}

// fill brings clients until the sessions of the first frontend are as many as there are ports. It returns the new ones.
func (r *portsRig) fill(there crowd) (in crowd, all attempts) {
	r.p.t.Helper()
	eventually(r.p.t, "a session for each port", func() bool {
		more, tried := r.come(r.fronts[0], r.ports-len(there)-len(in))
		in, all = append(in, more...), append(all, tried...)
		return len(there)+len(in) == r.ports
	})
	return in, all
}

// wantRefused checks how n refusals were counted: as ends of that reason, after the attempts that are allowed, all of them
// local failures.
func (r *portsRig) wantRefused(n int) {
	r.p.t.Helper()
	r.p.await("every refusal to be counted", func() bool { return r.p.endReasons()["no_ports"] == uint64(n) })
	one := r.p.pools()[0]
	if failed := one.Backends[0].Failures["local"]; failed != uint64(n)+one.Retries || one.Retries > uint64(2*n) {
		r.p.t.Errorf("%d clients refused, %d connect failures with %d retries, want a failure for each of both", n, failed, one.Retries)
	}
	r.p.wantNoFailures()
}

// checks is how many health checks of the first pool ended so.
func (r *portsRig) checks(result string) uint64 { return r.p.pools()[0].Backends[0].Checks[result] }
