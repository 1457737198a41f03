package truth

import (
	"fmt"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Three targets in interleaved rounds: the second is the first again, the third costs twice as much per message. The
// report has to say so: 1 within the noise that it states, and 2 beyond it.
func TestTheSameTwiceIsOneAndTwiceTheCostIsTwo(t *testing.T) {
	testkit.LeakCheck(t)
	const rounds, burnUs, window = 3, 1000, 300 * time.Millisecond
	to := backend(t, serve.Echo, false)
	own := 1e6 * perMessage(cost(t, start(t, to, ""), window)) // us
	flaws := map[string]string{
		"base":  fmt.Sprintf("burn=%dus", burnUs),
		"again": fmt.Sprintf("burn=%dus", burnUs),
		"twice": fmt.Sprintf("burn=%.0fus", 2*burnUs+own), // it pays its own cost besides: twice the base in all
	}
	rep := &report.Report{
		Setup:   report.Setup{Rounds: rounds, Reference: "base"},
		Targets: []report.Target{{Name: "base"}, {Name: "again"}, {Name: "twice"}},
		Cases:   []report.Case{{Scenario: "truth", Name: "burn", Workload: "echo"}},
	}
	for round := range rounds {
		for _, target := range rep.Targets {
			p := start(t, to, flaws[target.Name])
			res := cost(t, p, window)
			p.stop(t)
			rep.Runs = append(rep.Runs, report.Run{Round: round + 1, Case: rep.Cases[0].ID(), Target: target.Name, Result: res})
		}
	}
	again, twice := ratio(t, rep, "again", "base"), ratio(t, rep, "base", "twice") // messages per CPU s: the dear one has fewer
	// Of honest statements about noise one in twenty is wrong; a tenth covers that one.
	if !(again.Low() < 1.1 && again.High() > 0.9) {
		t.Errorf("the same target twice: ratio %.3f, noise from %.3f to %.3f", again.Median, again.Low(), again.High())
	}
	if twice.Median < 1.7 || twice.Median > 2.3 || twice.Low() <= 1 {
		t.Errorf("twice the cost: ratio %.3f, noise from %.3f to %.3f", twice.Median, twice.Low(), twice.High())
	}
}

// ratio is one target's first figure over another's.
func ratio(t *testing.T, rep *report.Report, of, to string) report.Ratio {
	t.Helper()
	s := rep.Summaries()[0]
	r, ok := s.Ratio(0, of, to)
	if !ok || r.Rounds != rep.Setup.Rounds {
		t.Fatalf("%s/%s: %d rounds with a ratio, want %d", of, to, r.Rounds, rep.Setup.Rounds)
	}
	t.Logf("%s, %s/%s: %.3f (%.3f to %.3f), noise from %.3f to %.3f", s.Metrics[0].Name, of, to, r.Median, r.Min, r.Max, r.Low(), r.High())
	return r
}
