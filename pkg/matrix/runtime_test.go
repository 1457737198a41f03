package matrix

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// Small messages, as many a session as it takes to tell an allocation now and then from one a message.
// Latency means something below saturation only: there each visitor pauses between two messages.
const (
	messageBytes  = 64
	talkers       = 250
	pacedMessages = 40
	pace          = 50 * time.Millisecond // 5,000 messages a second, 20,000 events
)

// TestCollectorAndProfilesDisturbNobody is T20: garbage collections one after the other, a CPU profile and signals to every
// thread while hundreds of sessions talk. No byte is wrong, no session ends, every timer still goes off, and no message
// costs an allocation. 8 workers on two processors are what a cgroup's cpu.max of 200 % comes to; taskset needs no cgroup.
func TestCollectorAndProfilesDisturbNobody(t *testing.T) {
	for _, c := range []struct{ workers, messages int }{{2, 100_000}, {8, 40_000}} {
		t.Run(fmt.Sprintf("%d workers on two processors", c.workers), func(t *testing.T) {
			_, backends := echoBackends(t, "127.0.0.1", 2)
			front, brief := freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1")
			p := run(t, setup{
				before:  []string{testkit.NeedProgram(t, "taskset"), "-c", "0,1"},
				process: fmt.Sprintf("workers = %d", c.workers),
				config: frontend("front", front, "pool") + frontend("brief", brief, "pool", "[frontend.timeouts]", `idle = "2s"`) +
					pool("pool", backends, noChecks),
			})
			if procs := p.metric("go_sched_gomaxprocs_threads"); procs != float64(c.workers+2) {
				t.Errorf("GOMAXPROCS is %v, want one for each of %d workers and 2", procs, c.workers)
			}
			all := gather(t, front, talkers)
			all.chat(t, 20, 0) // options are set, rows and blocks are there
			p.countAllocations(t, func() { all.chat(t, scaled(c.messages)/talkers, 0) }, scaled(c.messages))
			quiet := all.chat(t, pacedMessages, pace)
			stop := p.disturb()
			silent, late := silentCallers(t, brief, 50), gather(t, front, 100)
			late.chat(t, 1, 0)
			all.chat(t, scaled(c.messages)/4/talkers, 0)
			noisy := all.chat(t, pacedMessages, pace)
			stop()
			judgeLatency(t, quiet, noisy)
			p.await("every silent session to end as idle", func() bool { return p.endReasons()["idle_timeout"] == uint64(len(silent)) })
			if ended, refused := p.endReasons(), p.refused(); len(ended) != 1 || len(refused) > 0 || p.status().Sessions.Held != int64(len(all)+len(late)) {
				t.Errorf("sessions ended %v and refused %v, want no others", ended, refused)
			}
			if n := p.metric("longsplice_connect_failures_total"); n > 0 {
				t.Errorf("%v connects failed", n)
			}
		})
	}
}

// chat lets every visitor say a number of messages with a pause after each, all visitors at once, and returns how long each
// took to come back, in ascending order. Any failure fails the test.
func (c crowd) chat(t *testing.T, messages int, pause time.Duration) []time.Duration {
	t.Helper()
	took := make([]time.Duration, len(c)*messages)
	errs := make([]error, len(c))
	var wg sync.WaitGroup
	for i, v := range c {
		wg.Go(func() {
			for m := 0; m < messages && errs[i] == nil; m++ {
				began := time.Now()
				errs[i] = v.say(messageBytes)
				took[i*messages+m] = time.Since(began)
				time.Sleep(pause)
			}
		})
	}
	wg.Wait()
	if n, first := failures(errs); n > 0 {
		t.Errorf("%d of %d sessions failed: %v", n, len(c), first)
	}
	slices.Sort(took)
	return took
}

// What the program may allocate beside the cost of counting: nothing on a message's way, but the runtime and the admin API
// do now and then. It is less than one in a hundred messages, so one allocation an event or a turn is seen.
const (
	allocationsPerMessage = 0.01
	allocationsPerSecond  = 200 // some 50 were measured
)

// countAllocations counts what the program allocates while do relays messages.
func (p *program) countAllocations(t *testing.T, do func(), messages int) {
	t.Helper()
	p.mallocs()
	first := p.mallocs()
	began, before := time.Now(), p.mallocs()
	do()
	after, lasted := p.mallocs(), time.Since(began)
	extra := float64(after-before) - float64(before-first)
	t.Logf("%d messages in %v: %.4f allocations each, beside the %d of one look", messages, lasted, extra/float64(messages), before-first)
	if allowed := allocationsPerMessage*float64(messages) + allocationsPerSecond*lasted.Seconds(); extra > allowed && !underRace() {
		t.Errorf("%v allocations in %d messages, want at most %v", extra, messages, allowed)
	}
}

// mallocs is how many objects the program has ever allocated, exactly: the profile stops the world and flushes what each
// processor has counted for itself, which /metrics does not.
func (p *program) mallocs() (n int) {
	p.t.Helper()
	profile, err := p.ask(http.MethodGet, "/debug/pprof/heap?debug=1")
	if err != nil {
		p.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(profile), "# Mallocs = ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		p.t.Fatalf("read the count of allocations: %v", err)
	}
	return n
}

// disturb makes the program collect garbage without a pause, takes a CPU profile of it and sends each of its threads the
// signal with which the Go runtime itself interrupts threads: epoll_wait is never restarted after one (signal(7)). It goes
// on until stop is called, which fails the test if it has not happened.
func (p *program) disturb() (stop func()) {
	done := make(chan struct{})
	var collections, signals, profiles int
	var wg sync.WaitGroup
	for _, d := range []struct {
		count *int
		once  func() error
	}{
		{&collections, func() error { _, err := p.ask(http.MethodGet, "/debug/pprof/heap?gc=1"); return err }},
		{&profiles, func() error { _, err := p.ask(http.MethodGet, "/debug/pprof/profile?seconds=1"); return err }},
		{&signals, func() error { time.Sleep(time.Millisecond); return p.interrupt() }},
	} {
		wg.Go(func() {
			for ; ; *d.count++ {
				select {
				case <-done:
					return
				default:
				}
				if err := d.once(); err != nil {
					p.t.Errorf("disturb the program: %v", err)
					return
				}
			}
		})
	}
	return func() {
		close(done)
		wg.Wait()
		p.t.Logf("disturbed by %d collections, %d profiles of a second, %d times a signal to every thread", collections, profiles, signals)
		if collections == 0 || profiles == 0 || signals == 0 {
			p.t.Error("want at least one of each")
		}
	}
}

// interrupt sends SIGURG to every thread; one may have ended meanwhile.
func (p *program) interrupt() error {
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid()))
	for _, task := range tasks {
		tid, _ := strconv.Atoi(task.Name())
		if errno := unix.Tgkill(p.pid(), tid, syscall.SIGURG); errno != nil && errno != unix.ESRCH {
			return errno
		}
	}
	return err
}

// judgeLatency prints what the disturbance adds. Times count on a quiet machine only.
func judgeLatency(t *testing.T, quiet, noisy []time.Duration) {
	t.Helper()
	at := func(took []time.Duration, share float64) time.Duration { return took[int(share*float64(len(took)-1))] }
	t.Logf("echo of %d bytes, %d sessions, a message in %v each: p50 %v, p99.9 %v; disturbed: p50 %v, p99.9 %v", messageBytes, talkers, pace,
		at(quiet, 0.5), at(quiet, 0.999), at(noisy, 0.5), at(noisy, 0.999))
	if added := at(noisy, 0.999) - at(quiet, 0.999); added > time.Millisecond && os.Getenv("LONGSPLICE_QUIET") == "1" {
		t.Errorf("p99.9 is %v longer while disturbed, want at most 1 ms", added)
	}
}
