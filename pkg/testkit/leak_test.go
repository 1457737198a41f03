package testkit

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
)

// fakeTB records what a helper does to its test. A Fatal or Skip ends the goroutine, as in package testing.
type fakeTB struct {
	testing.TB
	cleanups []func()
	errors   []string
	fatal    string
	skipped  string
}

func (f *fakeTB) Helper()           {}
func (f *fakeTB) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *fakeTB) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.fatal = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *fakeTB) Skipf(format string, args ...any) {
	f.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// run calls fn and then the clean-ups, last first.
func (f *fakeTB) run(fn func(testing.TB)) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn(f)
	}()
	<-done
	for i := len(f.cleanups) - 1; i >= 0; i-- {
		f.cleanups[i]()
	}
}

func TestLeakCheckFindsAnOpenFD(t *testing.T) {
	var file *os.File
	f := &fakeTB{}
	f.run(func(tb testing.TB) {
		LeakCheck(tb)
		file, _ = os.Open("/dev/null")
	})
	defer file.Close()
	if len(f.errors) != 1 || !strings.Contains(f.errors[0], "/dev/null") {
		t.Errorf("errors %q, want one that names /dev/null", f.errors)
	}
}

func TestLeakCheckFindsAGoroutine(t *testing.T) {
	stop := make(chan struct{})
	f := &fakeTB{}
	f.run(func(tb testing.TB) {
		LeakCheck(tb)
		go leakyGoroutine(stop)
	})
	close(stop)
	if len(f.errors) != 1 || !strings.Contains(f.errors[0], "leakyGoroutine") {
		t.Errorf("errors %q, want one with the goroutine's stack", f.errors)
	}
}

func leakyGoroutine(stop chan struct{}) { <-stop }

func TestLeakCheckFindsAReusedNumber(t *testing.T) {
	before := map[string]string{"3": "socket:[1]", "4": "pipe:[2]"}
	now := map[string]string{"3": "socket:[9]", "4": "pipe:[2]"}
	if got := newFDs(before, now); len(got) != 1 || !strings.Contains(got[0], "socket:[9]") {
		t.Errorf("got %q, want the new socket", got)
	}
}

func TestLeakCheckWaitsForWhatIsEnding(t *testing.T) {
	f := &fakeTB{}
	f.run(func(tb testing.TB) {
		LeakCheck(tb)
		r, w, _ := os.Pipe()
		ended := make(chan struct{})
		go func() {
			defer r.Close()
			<-ended
			var b [1]byte
			_, _ = r.Read(b[:]) // ends when w does
		}()
		tb.Cleanup(func() { close(ended); w.Close() })
	})
	if len(f.errors) > 0 {
		t.Errorf("errors %q, want none", f.errors)
	}
}
