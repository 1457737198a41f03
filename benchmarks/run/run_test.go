package run

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/scenarios"
	"github.com/longsplice/longsplice/benchmarks/target"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// script is a program that stands in for longsplice-bench: what it does as a backend, and as a load generator.
func script(t *testing.T, serve, load string) string {
	t.Helper()
	path := t.TempDir() + "/bench"
	text := "#!/bin/sh\nif [ $1 = serve ]; then\n" + serve + "\nelse\n" + load + "\nfi\n"
	writeProgram(t, path, text)
	return path
}

const (
	serves   = "echo listening 127.0.0.2:9000 127.0.0.3:9000; exec sleep 60"
	measures = `echo '{"workload":"echo","seconds":1,"messages":5,"wrong":0,"failed":0}'`
)

func config(t *testing.T, self string) Config {
	t.Helper()
	one := scenarios.Case{Scenario: "a", Name: "one", Workload: "echo", Serve: "echo"}
	two := scenarios.Case{Scenario: "a", Name: "two", Workload: "echo", Serve: "echo"}
	return Config{
		Self: self, Rounds: 2, Backends: 2, Cases: []scenarios.Case{one, two}, Place: target.Place{Threads: 1},
		Targets: []target.Target{named("x"), named("y"), named("z")},
	}
}

// watch is called for each measurement that is over.
type watch func(report.Run)

func (w watch) Begins(int, string, string) {}
func (w watch) Seen(r report.Run)          { w(r) }

// named is the direct target under another name.
func named(name string) target.Target {
	direct := target.All("", "")[0]
	direct.Name = name
	return direct
}

func TestRoundsAreInterleavedAndRotated(t *testing.T) {
	cfg := config(t, script(t, serves, measures))
	rep := cfg.Report("run", "x", nil)
	var order []string
	if err := cfg.Run(t.Context(), rep, watch(func(r report.Run) { order = append(order, r.Case+r.Target) })); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a/onex", "a/oney", "a/onez", "a/twoy", "a/twoz", "a/twox",
		"a/oney", "a/onez", "a/onex", "a/twoz", "a/twox", "a/twoy",
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
	if len(rep.Runs) != 12 || len(rep.Unsound()) != 0 || rep.Runs[11].Round != 2 || rep.Setup.Ended.IsZero() {
		t.Errorf("%d runs, unsound %+v", len(rep.Runs), rep.Unsound())
	}
}

func TestAMeasurementThatFailsIsRecordedAndTheRunGoesOn(t *testing.T) {
	tests := []struct{ name, serve, load, want string }{
		{"a backend that does not come up", "echo no room >&2; exit 1", measures, "no room"},
		{"a backend that says something else", "echo hello; exec sleep 60", measures, `parse backend's line "hello"`},
		{"a load without a result", serves, "echo out of breath >&2; exit 1", "gave no result (exit status 1): out of breath"},
		{"an unsound result", serves, strings.Replace(measures, `"wrong":0`, `"wrong":1`, 1) + "; exit 3", "1 sessions with wrong bytes"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cfg := config(t, script(t, tc.serve, tc.load))
			cfg.Rounds, cfg.Targets = 1, cfg.Targets[:1]
			rep := cfg.Report("run", "x", nil)
			if err := cfg.Run(t.Context(), rep, watch(func(report.Run) {})); err != nil {
				t.Fatal(err)
			}
			if len(rep.Runs) != 2 || len(rep.Unsound()) != 2 || !strings.Contains(rep.Runs[0].Fault(), tc.want) {
				t.Errorf("want %q in both of %+v", tc.want, rep.Runs)
			}
		})
	}
}

func TestStoppedRunsKeepWhatThereIs(t *testing.T) {
	cfg := config(t, script(t, serves, measures))
	rep := cfg.Report("run", "x", nil)
	ctx, stop := context.WithCancel(t.Context())
	err := cfg.Run(ctx, rep, watch(func(report.Run) { stop() }))
	if !errors.Is(err, context.Canceled) || len(rep.Runs) != 1 || !strings.Contains(rep.Setup.Stopped, "in round 1, at a/one through y") {
		t.Errorf("%v, %d runs, stopped %q", err, len(rep.Runs), rep.Setup.Stopped)
	}
}

func TestACaseThatKillsHasABackendForEachAddress(t *testing.T) {
	// The load "kills" by saying which process it was told to.
	cfg := config(t, script(t, `echo listening 127.0.0.2:9000; exec sleep 60`, `case "$*" in *--kill=[0-9]*--to\ *--to\ *) `+measures+`;; esac`))
	cfg.Cases, cfg.Rounds, cfg.Targets = cfg.Cases[:1], 1, cfg.Targets[:1]
	cfg.Cases[0].Apart = true
	rep := cfg.Report("run", "x", nil)
	if err := cfg.Run(t.Context(), rep, watch(func(report.Run) {})); err != nil || len(rep.Unsound()) != 0 {
		t.Errorf("%v, %+v", err, rep.Runs)
	}
	if cfg.Cases[0].Has("kill") {
		t.Error("the case itself has changed")
	}
}

func TestSilentSessionsFitTheDescriptors(t *testing.T) {
	many := &target.Target{FDsPerSession: 1000}
	c := scenarios.Case{Workload: "idle", Load: []scenarios.Flag{{Name: "sessions", Values: []string{"1000", "4000000"}}}}
	fitted := fit(c, many)
	if got := fitted.Top("sessions"); got > many.MaxSessions() {
		t.Errorf("%d sessions where %d fit", got, many.MaxSessions())
	}
	c.Workload = "echo"
	if fitted = fit(c, many); fitted.Top("sessions") != 4000000 {
		t.Error("a case of another kind was changed")
	}
}

func TestForeignUseIsWhatIsNotOurs(t *testing.T) {
	at := time.Unix(0, 0)
	before := use{at: at, all: 100, ours: 10}
	after := use{at: at.Add(2 * time.Second), all: 104, ours: 11.5}
	if got := before.foreign(after, 1.5); got != 0.5 {
		t.Errorf("got %g, want 0.5 processors", got)
	}
	if got := before.foreign(after, 9); got != 0 {
		t.Errorf("got %g, want 0: times come in steps", got)
	}
}

// A program that burns a processor is seen when it is not ours, and counted as ours when it is.
func TestForeignUseIsSeen(t *testing.T) {
	burner, err := child.Start(child.Spec{Argv: []string{testkit.NeedProgram(t, "sh"), "-c", "while :; do :; done"}})
	if err != nil {
		t.Fatal(err)
	}
	defer burner.Stop()
	alone, together := readUse(nil), readUse([]*child.Process{burner})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		now := readUse([]*child.Process{burner})
		if used := now.ours - together.ours; used >= 0.3 {
			seen := alone.foreign(readUse(nil), 0) * time.Since(alone.at).Seconds()
			if without := together.foreign(now, 0) * now.at.Sub(together.at).Seconds(); seen < 0.2 || seen-without < 0.2 {
				t.Errorf("it used %.2f s; others used %.2f s if it is theirs, %.2f s if it is ours", used, seen, without)
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the burner got no time")
		}
	}
}

func TestProcessorLists(t *testing.T) {
	for _, text := range []string{"0", "0-3", "0-3,8", "1,3,5-7"} {
		cpus, err := ParseCPUs(text)
		if got := CPUList(cpus); err != nil || got != text {
			t.Errorf("%q became %v and %q (%v)", text, cpus, got, err)
		}
	}
	for _, text := range []string{"", "a", "3-1", "-1", "1-", "99999"} {
		if cpus, err := ParseCPUs(text); err == nil {
			t.Errorf("%q was taken for %v", text, cpus)
		}
	}
	balancer, rest, _, err := SplitCPUs(1)
	if err != nil || len(balancer) != 1 || len(rest) == 0 {
		t.Errorf("%v, %v, %v", balancer, rest, err)
	}
}

func TestParseListening(t *testing.T) {
	got, err := parseListening("listening 127.0.0.2:4000 [::1]:4000")
	if err != nil || len(got) != 2 || got[1].String() != "[::1]:4000" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "listening", "hello 127.0.0.1:1", "listening here"} {
		if _, err := parseListening(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}

func TestLinesSayWhatWasMeasured(t *testing.T) {
	cfg := config(t, "")
	rep := cfg.Report("run", "x", nil)
	var out strings.Builder
	p := NewProgress(nil, cfg, rep)
	p.w = &out
	res := &load.Result{Workload: "echo", Seconds: 1, Messages: 500, CPU: load.CPU{Target: 0.5, Busy: []float64{1, 1}}}
	p.Seen(report.Run{Round: 1, Case: "a/one", Target: "x", Result: res, Foreign: 0.5})
	p.Seen(report.Run{Round: 1, Case: "a/one", Target: "y", Error: "no such thing"})
	p.Close()
	for _, want := range []string{" 1/12  round 1  a/one", "messages per CPU s", "others used 0.50 processors", "NOT SOUND: no such thing", "noise: during 1 of 2"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	if !slices.Contains(strings.Fields(out.String()), "2/12") {
		t.Errorf("it does not count:\n%s", out.String())
	}
}

func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}
