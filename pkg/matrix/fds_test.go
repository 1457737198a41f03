package matrix

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// fewFDs leaves room for some 200 sessions.
const fewFDs = 512

// TestMoreClientsThanDescriptors is T11: 5,000 clients come to a process that may have 512 descriptors open. It lets in as
// many as it has descriptors for and leaves the others in the kernel's queue, without a turn of its loops; who is in
// notices nothing; for each who goes, one comes in; and in the end all have been served, none half.
func TestMoreClientsThanDescriptors(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{nofile: fewFDs, config: frontend("front", front, "pool") +
		pool("pool", backends, "[pool.health]", `interval = "100ms"`)})
	room := p.status().Sessions.Limit
	residents := gather(t, front, int(room)/2)
	stop := residents.talk(500)
	began, offered := time.Now(), scaled(5000)
	comers := assemble(t, front, offered)
	full := func() bool { return comers.in.Load() == room-int64(len(residents)) }
	p.await("every place to be taken", full)
	t.Logf("%d places taken in %v, %d of %d descriptors open", room, time.Since(began), p.fds(), fewFDs)
	wantNone(t, "residents cut off by newcomers", stop())

	p.rest("full")
	if held := p.status().Sessions.Held; held != room || !full() {
		t.Errorf("%d sessions held, %d newcomers in, want %d and %d residents among them", held, comers.in.Load(), room, len(residents))
	}
	wantNone(t, "questions to the admin socket while full", inParallel(30, func(int) error { _, err := p.ask("GET", "/v1/status"); return err }))
	p.admitOneByOne(comers, 20)

	stop = residents.talk(500)
	wantNone(t, "newcomers not served", comers.disperse())
	wantNone(t, "residents cut off while newcomers went", stop())
	residents.leave()
	all := uint64(offered + len(residents))
	p.await("everyone to have ended well", func() bool { return p.endReasons()["client_fin"] == all })
	if n := p.accepted(); n != all || len(p.refused()) > 0 {
		t.Errorf("accepted %d, refused %v, want %d and none", n, p.refused(), all)
	}
	p.wantHealthy()
}

// admitOneByOne lets n of those inside go, one after the other, and each time waits until another is in.
func (p *program) admitOneByOne(th *throng, n int) {
	p.t.Helper()
	var slowest time.Duration
	for range n {
		before, began := th.in.Load(), time.Now()
		th.mayGo <- struct{}{}
		p.await("another to come in for one who went", func() bool { return th.in.Load() == before+1 })
		slowest = max(slowest, time.Since(began))
	}
	atMost(p.t, fmt.Sprintf("the slowest of %d to come in for one who went", n), slowest, 100*time.Millisecond)
}

// wantHealthy fails the test if a backend is thought to be ill or has counted a failure that was not our own.
func (p *program) wantHealthy() {
	p.t.Helper()
	for _, pool := range p.pools() {
		for _, b := range pool.Backends {
			if b.State != "healthy" || b.Checks["fail"]+b.Checks["timeout"] > 0 {
				p.t.Errorf("backend %s of %s: %s (%s), checks %v", b.Name, pool.Name, b.State, b.Why, b.Checks)
			}
		}
	}
}

// wantNone fails the test if there is an error among errs.
func wantNone(t testing.TB, what string, errs []error) {
	t.Helper()
	if n, first := failures(errs); n > 0 {
		t.Errorf("%d of %d %s: %v", n, len(errs), what, first)
	}
}

// TestDescriptorsGoElsewhere is T11 where the process has fewer descriptors than it has reckoned with: its limit is lowered
// while it runs. accept, or the socket towards a backend, fails then. An even and an odd number are left, since a session
// takes two. Accepting pauses without spinning; at most one client a worker is let in and cannot be served.
func TestDescriptorsGoElsewhere(t *testing.T) {
	for _, left := range []int{40, 41} {
		t.Run(fmt.Sprintf("%d left", left), func(t *testing.T) { descriptorsGoElsewhere(t, left) })
	}
}

func descriptorsGoElsewhere(t *testing.T, left int) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{nofile: fewFDs, config: frontend("front", front, "pool") + pool("pool", backends, noChecks)})
	workers := p.status().Workers
	p.leaveDescriptors(left)
	comers := assemble(t, front, 200)
	eventually(t, "the descriptors to be used up", func() bool { return comers.in.Load() >= int64(left/2-workers) })
	p.rest("without descriptors")
	in := comers.in.Load()
	lost, first := failures(comers.disperse())
	t.Logf("%d in with %d descriptors left, %d of 200 lost (%v)", in, left, lost, first)
	if lost > workers {
		t.Errorf("%d clients were let in and then cut off, want at most one for each of %d workers; ended %v", lost, workers, p.endReasons())
	}
	served := uint64(200 - lost)
	p.await("all others to be served", func() bool { return p.endReasons()["client_fin"] == served })
	if p.metric("longsplice_accept_paused_seconds_total", "no_fds") == 0 {
		t.Error("the pause is not counted")
	}
	p.wantNoFailures()
}

// leaveDescriptors lowers the limit of the running process so far that so many numbers are left.
func (p *program) leaveDescriptors(left int) {
	p.t.Helper()
	taken := map[int]bool{}
	time.Sleep(100 * time.Millisecond) // the last question's connection is closed meanwhile; if not, one more is left
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			taken[n] = true
		}
	}
	limit := 0
	for free := 0; free < left; limit++ {
		if !taken[limit] {
			free++
		}
	}
	cmd := exec.Command(testkit.NeedProgram(p.t, "prlimit"), fmt.Sprintf("--pid=%d", p.pid()), fmt.Sprintf("--nofile=%d:%[1]d", limit))
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("lower the limit to %d: %v: %s", limit, err, out)
	}
}

// wantNoFailures fails the test if a local shortage has ejected a backend or was counted as anything else.
func (p *program) wantNoFailures() {
	p.t.Helper()
	for _, pool := range p.pools() {
		for _, b := range pool.Backends {
			for reason, n := range b.Failures {
				if reason != "local" && n > 0 {
					p.t.Errorf("backend %s: %d connect failures %q, want local ones at most", b.Name, n, reason)
				}
			}
			if b.State == "ejected" || b.State == "unhealthy" {
				p.t.Errorf("backend %s of %s is %s for a shortage of ours: %s", b.Name, pool.Name, b.State, b.Why)
			}
		}
	}
}

// TestDescriptorTableIsGrownBefore is T21: the process fills up to its limit. The kernel's table of its descriptors has its
// final size before the first session comes: to double it later would hold up a thread for 8 to 22 ms each time.
func TestDescriptorTableIsGrownBefore(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{nofile: scaled(8300), config: frontend("front", front, "pool") + pool("pool", backends)})
	before, limits := p.procStatus("FDSize:"), p.status()
	if want := min(limits.FDs.Limit, 2*limits.Sessions.Limit); before < want {
		t.Errorf("the table has %d places at the start, want at least %d", before, want)
	}
	room := int(limits.Sessions.Limit)
	began := time.Now()
	all := gather(t, front, room)
	took := time.Since(began)
	if after := p.procStatus("FDSize:"); after != before {
		t.Errorf("the table grew from %d to %d places while %d sessions came", before, after, room)
	}
	all.leave()
	p.settle()
	t.Logf("%d sessions in %v, a table of %d places", room, took, before)
	p.logLongTurns()
}

// logLongTurns logs how long the workers' rounds took: a gap in accepting is a long turn. On a quiet machine none takes 5 ms,
// the first bound above 2 ms.
func (p *program) logLongTurns() {
	p.t.Helper()
	for _, w := range p.workers() {
		for i, n := range w.Turns.Counts {
			if i > 0 && w.Turns.Bounds[i-1] >= 0.002 && n > 0 {
				p.t.Logf("worker %d: %d turns longer than %v s", w.ID, n, w.Turns.Bounds[i-1])
				if quiet() {
					p.t.Errorf("worker %d: %d turns longer than %v s, want none above 2 ms", w.ID, n, w.Turns.Bounds[i-1])
				}
			}
		}
	}
}

// TestDescriptorTableIsNoLargerThanWanted is T21's other side: a limit of 20,000 is no reason for a table of that size where
// 100 sessions are wanted. There are limits of a thousand million, and a table for them takes 8 GiB.
func TestDescriptorTableIsNoLargerThanWanted(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 1)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{nofile: 20_000, process: "max_sessions = 100", config: frontend("front", front, "pool") + pool("pool", backends)})
	if size := p.procStatus("FDSize:"); size >= 20_000 {
		t.Errorf("a table of %d places for 100 sessions", size)
	}
}
