package report

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/benchmarks/load"
)

// changed is the fixture a day later: another kernel, longsplice needs twice the CPU time for bulk, nginx half the memory,
// one case and one target are gone, one of each is new.
func changed(t *testing.T) *Report {
	t.Helper()
	r := fixture(t)
	r.Setup.Began = r.Setup.Began.Add(24 * time.Hour)
	r.Machine.Kernel = "Linux 6.13.0 x86_64"
	r.Machine.Sysctls["net.core.somaxconn"] = "128"
	for _, run := range r.Runs {
		switch {
		case run.Result == nil:
		case run.Case == "bulk/down-1" && run.Target == Subject:
			run.Result.CPU.Target *= 2
		case run.Case == "idle/4000" && run.Target == "nginx":
			for i := range run.Result.Memory {
				run.Result.Memory[i].RSS /= 2
			}
		}
	}
	r.Cases = append(r.Cases[:len(r.Cases)-1], Case{Scenario: "echo", Name: "new", Workload: "echo"})
	r.Targets = append(r.Targets[1:], Target{Name: "other"})
	r.Runs = append(r.Runs, Run{Round: 1, Case: "echo/new", Target: "other", Result: &load.Result{Messages: 1, Seconds: 1}})
	return r
}

func TestCompareSaysWhatMoved(t *testing.T) {
	c := Compare(fixture(t), changed(t))
	var moved []string
	for _, m := range c.Moves {
		moved = append(moved, fmt.Sprintf("%s %s %s %.1f %s", m.Case, m.Target, m.Metric, m.Change, m.Result))
	}
	want := []string{
		"idle/4000 nginx RSS per session, B 0.5 better",
		"idle/4000 nginx RSS at the top, MB 0.5 better",
		"bulk/down-1 longsplice CPU s per GB 2.0 worse",
	}
	if d := cmp.Diff(want, moved); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"target other", "case echo/new"}, c.Added); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"target direct", "case mixed/4000"}, c.Vanished); d != "" {
		t.Error(d)
	}
	warned := strings.Join(c.Warnings, "\n")
	for _, want := range []string{"6.13.0", "somaxconn: 4096, then 128"} {
		if !strings.Contains(warned, want) {
			t.Errorf("no warning about %s:\n%s", want, warned)
		}
	}
	if worse := c.Worse(); len(worse) != 1 || worse[0].Case != "bulk/down-1" {
		t.Errorf("worse: %+v, want bulk/down-1", worse)
	}
}

func TestAPeerThatGetsWorseFailsNobody(t *testing.T) {
	r := fixture(t)
	for _, run := range r.Runs {
		if run.Case == "bulk/down-1" && run.Target == "nginx" {
			run.Result.CPU.Target *= 3
		}
	}
	c := Compare(fixture(t), r)
	if len(c.Moves) == 0 || len(c.Worse()) > 0 {
		t.Errorf("%d moves, worse %+v; want some, and none", len(c.Moves), c.Worse())
	}
	without := func(r *Report) *Report {
		r.Targets = slices.DeleteFunc(r.Targets, func(t Target) bool { return t.Name == Subject })
		return r
	}
	if c := Compare(without(fixture(t)), without(r)); len(c.Worse()) != 1 {
		t.Errorf("without longsplice worse is %+v, want nginx", c.Worse())
	}
}

func TestCompareWithItselfMovesNothing(t *testing.T) {
	c := Compare(fixture(t), fixture(t))
	if len(c.Warnings)+len(c.Moves)+len(c.Unknown)+len(c.Added)+len(c.Vanished) > 0 || c.Compared < 100 {
		t.Errorf("%+v", c)
	}
}

func TestComparePartialReports(t *testing.T) {
	r := fixture(t)
	empty := &Report{Schema: Schema}
	if c := Compare(r, empty); c.Compared != 0 || len(c.Vanished) != len(r.Cases)+len(r.Targets) {
		t.Errorf("with an empty one: %d compared, vanished %v", c.Compared, c.Vanished)
	}
	if c := Compare(empty, empty); !strings.Contains(c.Verdict(), "Nothing to compare") {
		t.Error(c.Verdict())
	}
	first := fixture(t)
	first.Runs = slices.DeleteFunc(first.Runs, func(run Run) bool { return run.Round > 1 })
	c := Compare(r, first)
	if len(c.Moves) > 0 || len(c.Unknown) == 0 {
		t.Errorf("one round against three: %d moves, want all of them unknown (%d)", len(c.Moves), len(c.Unknown))
	}
	if _, err := c.JSON(); err != nil {
		t.Error(err)
	}
}

// A machine that is slower by a third on the second day moves no ratio, and so nothing but the reference itself.
func TestCompareCancelsTheMachineOut(t *testing.T) {
	r := fixture(t)
	for _, run := range r.Runs {
		if run.Result != nil && run.Case == "echo/64" {
			run.Result.CPU.Target *= 1.5
			for i := range run.Result.CPU.Busy {
				run.Result.CPU.Busy[i] *= 1.5
			}
		}
	}
	for _, m := range Compare(fixture(t), r).Moves {
		if m.Target != r.Reference() {
			t.Errorf("%s of %s moved by %.2f", m.Metric, m.Target, m.Change)
		}
	}
}

// Two runs of the same thing differ in fewer than 1 of 20 figures, whatever the noise of the machine.
func TestCompareTheSameTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const cases = 400
	measure := func() *Report {
		r := &Report{Targets: []Target{{Name: "haproxy"}, {Name: "nginx"}, {Name: Subject}}}
		for i := range cases {
			c := Case{Scenario: "bulk", Name: fmt.Sprint(i), Workload: "bulk"}
			r.Cases = append(r.Cases, c)
			for round := range 3 {
				for _, target := range r.Targets {
					cpu := 1 + 0.05*rng.NormFloat64()
					r.Runs = append(r.Runs, Run{Round: round + 1, Case: c.ID(), Target: target.Name, Result: &load.Result{Bytes: 1e9, CPU: load.CPU{Target: cpu}}})
				}
			}
		}
		return r
	}
	c := Compare(measure(), measure())
	t.Logf("%d of %d moved", len(c.Moves), c.Compared)
	if c.Compared != 3*cases || len(c.Moves) > c.Compared/20 {
		t.Errorf("%d of %d figures moved", len(c.Moves), c.Compared)
	}
}

func TestChangesFromZeroHaveNoRatio(t *testing.T) {
	if _, ok := changeOf(Ratio{}, Ratio{Spread{Median: 2}, 1}); ok {
		t.Error("a change from zero has a ratio")
	}
	got, ok := changeOf(Ratio{Spread{Median: 2}, 0.3}, Ratio{Spread{Median: 4}, 0.4})
	if !ok || got.Median != 2 || math.Abs(got.noise-0.5) > 1e-12 {
		t.Errorf("%+v, want 2 and noise 0.5", got)
	}
}
