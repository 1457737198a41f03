package load_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Generator and backend are both this process: a message is at least two sends and two receives.
func TestSystemCallsAreCountedWhereAsked(t *testing.T) {
	bePatient(t)
	testkit.Privileged(t, "root")
	testkit.LeakCheck(t)
	cfg := load.EchoConfig{Config: config(backend(t, serve.Echo)), Sessions: 5, MessageBytes: 64}
	cfg.PID, cfg.Syscalls = os.Getpid(), true
	res, err := load.Echo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Syscalls == nil && len(res.Notes) > 0 && strings.Contains(strings.Join(res.Notes, " "), "permi") {
		testkit.Missing(t, "BPF: "+res.Notes[0])
	}
	if res.Syscalls == nil {
		t.Fatalf("not counted: %q", res.Notes)
	}
	// A few may have been under way when the counting began or the window ended.
	if sends := res.Syscalls.Calls["sendto"]; sends+20 < 2*res.Messages || sends > 2*res.Messages+20 {
		t.Errorf("%d sends for %d messages: %v", sends, res.Messages, res.Syscalls.Calls)
	}
}

func TestMissingFiguresAreSaid(t *testing.T) {
	bePatient(t)
	cfg := load.EchoConfig{Config: config(backend(t, serve.Echo)), Sessions: 5, MessageBytes: 64}
	cfg.Syscalls = true // and nobody to count them of
	res, err := load.Echo(cfg)
	if err != nil || !res.Sound() || res.Syscalls != nil {
		t.Fatalf("%+v, %v", res, err)
	}
	if !strings.Contains(strings.Join(res.Notes, " "), "no process") {
		t.Errorf("the result does not say why system calls are not there: %q", res.Notes)
	}
}

func TestStopEndsARun(t *testing.T) {
	testkit.LeakCheck(t)
	stop := make(chan struct{})
	close(stop)
	cfg := load.EchoConfig{Config: config(backend(t, serve.Echo)), Sessions: 5, MessageBytes: 64}
	cfg.Stop = stop
	if _, err := load.Echo(cfg); !errors.Is(err, load.ErrStopped) {
		t.Errorf("%v", err)
	}
}

func TestProgressGoesThroughItsStages(t *testing.T) {
	var seen []string
	cfg := load.EchoConfig{Config: config(backend(t, serve.Echo)), Sessions: 5, MessageBytes: 64}
	cfg.For *= 5
	cfg.Progress = func(doing string, part float64) {
		if part < 0 || part > 1 {
			t.Errorf("%s: part %v", doing, part)
		}
		if len(seen) == 0 || seen[len(seen)-1] != doing {
			seen = append(seen, doing)
		}
	}
	if _, err := load.Echo(cfg); err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 || seen[len(seen)-1] != "measuring" {
		t.Errorf("%q", seen)
	}
}
