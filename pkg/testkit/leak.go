package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// leakGrace is how long fds and goroutines may take to go away after the test.
const leakGrace = 2 * time.Second

// LeakCheck notes the fds and goroutines that exist now and fails t if others are left at its end. Call it first: clean-ups
// run in reverse order, so it then looks after all others. Not for tests that run in parallel with others.
func LeakCheck(t testing.TB) {
	t.Helper()
	startPoller(t)
	fds, goroutines := openFDs(t), goroutineStacks()
	t.Cleanup(func() {
		var left []string
		for deadline := time.Now().Add(leakGrace); ; time.Sleep(5 * time.Millisecond) {
			runtime.GC() // package net keeps the pipes of io.Copy until then
			left = append(newFDs(fds, openFDs(t)), newGoroutines(goroutines, goroutineStacks())...)
			if len(left) == 0 || time.Now().After(deadline) {
				break
			}
		}
		for _, l := range left {
			t.Errorf("leaked %s", l)
		}
	})
}

// startPoller makes the Go runtime open its own epoll and eventfd now, so that they do not look like a leak of the test.
func startPoller(t testing.TB) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("open a pipe: %v", err)
	}
	r.Close()
	w.Close()
}

// openFDs maps each open fd ("7") to what it is ("socket:[4711]"). A number that was reused for another file differs in the second.
func openFDs(t testing.TB) map[string]string {
	t.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatalf("list open fds: %v", err)
	}
	fds := make(map[string]string, len(entries))
	for _, e := range entries {
		// The fd that ReadDir itself used is gone by now: readlink says so.
		if what, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil {
			fds[e.Name()] = what
		}
	}
	return fds
}

func newFDs(before, now map[string]string) []string {
	var left []string
	for fd, what := range now {
		if before[fd] != what {
			left = append(left, fmt.Sprintf("fd %s: %s", fd, what))
		}
	}
	return left
}

// goroutineStacks maps the first line's "goroutine N" to the whole stack of each goroutine.
func goroutineStacks() map[string]string {
	buf := make([]byte, 1<<20)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	stacks := map[string]string{}
	for stack := range strings.SplitSeq(string(buf[:n]), "\n\n") {
		name, _, _ := strings.Cut(stack, " [")
		stacks[name] = stack
	}
	return stacks
}

func newGoroutines(before, now map[string]string) []string {
	var left []string
	for name, stack := range now {
		if _, old := before[name]; !old && !runtimeOwned(stack) {
			left = append(left, stack)
		}
	}
	return left
}

// runtimeOwned says whether the goroutine belongs to the runtime or to package testing: started once and for the process.
func runtimeOwned(stack string) bool {
	for _, owner := range []string{"os/signal.loop", "runtime.ensureSigM", "testing.(*M).startAlarm", "testing.tRunner(", "testing.runFuzzing", "testing.(*F)."} {
		if strings.Contains(stack, owner) {
			return true
		}
	}
	return false
}
