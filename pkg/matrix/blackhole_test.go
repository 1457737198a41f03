package matrix

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// T7: one of ten backends is behind a cable that loses every packet from one moment to the next. Whoever comes is served by
// another backend, one connect timeout later; fall checks later nobody is sent there any more; the sessions that were there
// end as a reset, never as if they were complete.
func TestBlackholedBackend(t *testing.T) {
	host := testkit.NewHost(t, "dark")
	dark := netip.AddrPortFrom(host.Addr4(), 7777)
	darkChild := spawn(t, host, "echo", dark.String())
	_, addresses := echoBackends(t, "127.0.0.1", 9)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: "[timeouts]\nconnect = \"1s\"\nstall = \"3s\"\nkeepalive = \"2s\"\nkeepalive_interval = \"1s\"\nkeepalive_probes = 2\nuser_timeout = \"0s\"\n" +
		frontend("front", front, "pool") + pool("pool", append([]string{dark.String()}, addresses...),
		"[pool.passive]\nconsecutive_failures = 0", "[pool.health]\ninterval = \"1s\"\ntimeout = \"500ms\"\nrise = 1\nfall = 3")})
	seats := gather(t, front, scaled(4000)).byBackend(p)
	lost := seats["b0"]
	delete(seats, "b0")
	others := seats.all()

	host.Drop(dark.Port())
	began := time.Now()
	waiting, silent := lost[:len(lost)/2], lost[len(lost)/2:]
	for _, v := range waiting {
		if _, err := v.conn.Write(make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	talking := others.keepTalking()
	newcomers := gather(t, front, scaled(400)) // all at once: of every ten one is sent into the dark first
	t.Logf("%d newcomers were served in %v, connects that failed: %d", len(newcomers), time.Since(began), p.timedOut())
	p.await("the checks to notice", func() bool { return len(p.events("backend_unhealthy")) > 0 })
	p.wantMessage("backend_unhealthy", "3 checks in a row failed")
	p.await("the last connect into the dark to be given up", func() bool { return p.pools()[0].Connecting == 0 })
	failed := p.timedOut()
	if n := p.pools()[0].Retries; failed == 0 || n != failed {
		t.Errorf("%d connects failed and %d were tried elsewhere, want some, and as many", failed, n)
	}
	gather(t, front, scaled(400))
	if n := p.timedOut(); n != failed {
		t.Errorf("%d connects to a backend that is known to be unhealthy", n-failed)
	}
	p.wantCut(lost, map[string]uint64{"stall_timeout": uint64(len(waiting)), "backend_gone": uint64(len(silent))})
	t.Logf("the sessions in the dark had ended after %v", time.Since(began))
	if n, first := failures(talking()); n > 0 {
		t.Errorf("%d of %d sessions elsewhere failed: %v", n, len(others), first)
	}
	p.logTurns()

	host.Undrop()
	p.await("the backend to be healthy again", func() bool { return p.backend("b0").State == "healthy" })
	gather(t, front, scaled(400))
	if n := p.backend("b0").Sessions; n == 0 {
		t.Error("a backend that came back got no session")
	}
	darkChild.kill()
}

// timedOut is the connects to b0 that got no answer in time. No other kind of failure is allowed.
func (p *program) timedOut() uint64 {
	p.t.Helper()
	f := p.backend("b0").Failures
	if total(f) != f["timeout"] {
		p.t.Errorf("connects into the dark failed otherwise than by timeout: %v", f)
	}
	return f["timeout"]
}

// wantMessage looks at the first event of a name.
func (p *program) wantMessage(event, message string) {
	p.t.Helper()
	if text := fmt.Sprint(p.events(event)[0]["message"]); !strings.Contains(text, message) {
		p.t.Errorf("event %s says %q, want %q in it", event, text, message)
	}
}

// wantCut waits for the end of every session of a crowd: a RST to its client, and these reasons in all.
func (p *program) wantCut(c crowd, reasons map[string]uint64) {
	p.t.Helper()
	ends := inParallel(len(c), func(i int) error {
		if err := c[i].endOf(); !isReset(err) {
			return fmt.Errorf("session %d ended with %s, want RST", i, endWord(err))
		}
		return nil
	})
	if n, first := failures(ends); n > 0 {
		p.t.Errorf("%d of %d sessions look complete or go on: %v", n, len(c), first)
	}
	p.wantEnds(reasons)
}

// quietMachine says whether times may be asserted.
func quietMachine() bool { return os.Getenv("LONGSPLICE_QUIET") == "1" }

// logTurns prints how long the turns of the loops took. None may be longer than 5 ms, on a machine that does nothing else.
func (p *program) logTurns() {
	p.t.Helper()
	for _, w := range p.workers() {
		p.t.Logf("worker %d: turns of at most %s", w.ID, describe(w.Turns))
		if n := longerThan(w.Turns, 5e-3); quietMachine() && n > 0 {
			p.t.Errorf("worker %d: %d turns were longer than 5 ms", w.ID, n)
		}
	}
}

// describe is the bounds of a histogram that anything fell under, in ms, with how much did.
func describe(h balancer.Histogram) string {
	var parts []string
	for i, n := range h.Counts {
		switch {
		case n == 0:
		case i < len(h.Bounds):
			parts = append(parts, fmt.Sprintf("%g ms: %d", h.Bounds[i]*1e3, n))
		default:
			parts = append(parts, fmt.Sprintf("more: %d", n))
		}
	}
	return strings.Join(parts, ", ")
}

// longerThan counts what lies above the first bound that is at least limit.
func longerThan(h balancer.Histogram, limit float64) (n uint64) {
	from := slices.IndexFunc(h.Bounds, func(b float64) bool { return b >= limit })
	if from < 0 {
		from = len(h.Bounds) - 1
	}
	for _, c := range h.Counts[from+1:] {
		n += c
	}
	return n
}
