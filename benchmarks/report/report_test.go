package report

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/benchmarks/load"
)

func TestLoadSaysWhatIsWrongWithAFile(t *testing.T) {
	tests := []struct {
		name, text string
		is         error
		says       string
	}{
		{"not JSON", "<html>", ErrForeign, "invalid character"},
		{"another's JSON", `{"rounds": 3}`, ErrForeign, "no schema"},
		{"a schema without cases", `{"schema": 1}`, ErrForeign, "no schema and cases"},
		{"a later schema", `{"schema": 2, "cases": []}`, ErrNewer, "schema 2, this one reads up to 1"},
		{"a field of another kind", `{"schema": 1, "cases": [], "runs": 3}`, ErrForeign, "cannot unmarshal"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "report.json"), []byte(tc.text), 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Load(dir)
			if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%v; want %v, %q and the path", err, tc.is, tc.says)
			}
		})
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "want a folder") {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := Decode([]byte(`{"schema": 1, "cases": [], "added_later": true}`)); err != nil {
		t.Errorf("an unknown field: %v", err)
	}
}

func TestSaveAndLoad(t *testing.T) {
	r := fixture(t)
	dir := filepath.Join(t.TempDir(), "results", "today")
	for range 2 { // a run saves again and again
		if err := r.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, again); d != "" {
		t.Error(d)
	}
	var files []string
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"configs/haproxy.cfg", "configs/haproxy.command", "configs/longsplice.command", "configs/longsplice.toml",
		"configs/nginx.cfg", "configs/nginx.command", "index.html", "report.json", "report.md",
	}
	if d := cmp.Diff(want, files); d != "" {
		t.Error(d)
	}
}

func TestUnsoundRunsAreLeftOutAndNamed(t *testing.T) {
	r := fixture(t)
	if n := len(r.Unsound()); n != 2 {
		t.Fatalf("%d unsound runs, want 2", n)
	}
	for _, s := range r.Summaries() {
		row, _ := s.Row("nginx")
		left := map[string]int{"churn/64": 2, "storm/half": 2}[s.Case.ID()]
		if left > 0 && (row.Figures[0].Rounds != left || row.Rounds != 3 || len(row.Faults) != 1) {
			t.Errorf("%s: %d of %d rounds, faults %q; want 2 of 3 and one", s.Case.ID(), row.Figures[0].Rounds, row.Rounds, row.Faults)
		}
	}
	var text strings.Builder
	if err := r.Markdown(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"nginx, round 2, is left out: 3 failed, receive: connection reset by peer",
		"nginx, round 3, is left out: nginx did not come up",
		"haproxy, round 1, is limited by the harness: the schedule ran late",
		"dnat is missing: network namespaces",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report does not say %q", want)
		}
	}
}

// Every way to show a report takes one that has nothing, or little, in it.
func TestPartialReportsAreShown(t *testing.T) {
	r := fixture(t)
	cut := func(keep func(Run) bool) *Report {
		c := *r
		c.Runs = slices.DeleteFunc(slices.Clone(r.Runs), func(run Run) bool { return !keep(run) })
		return &c
	}
	tests := map[string]*Report{
		"nothing at all":   {},
		"no run yet":       cut(func(Run) bool { return false }),
		"one run":          cut(func(run Run) bool { return run.Round == 1 && run.Case == "echo/64" && run.Target == Subject }),
		"one round":        cut(func(run Run) bool { return run.Round == 1 }),
		"no reference":     cut(func(run Run) bool { return run.Target != "haproxy" }),
		"without us":       cut(func(run Run) bool { return run.Target != Subject }),
		"no balancer":      cut(func(run Run) bool { return run.Target == "direct" }),
		"nothing is sound": {Targets: r.Targets, Cases: r.Cases, Runs: []Run{{Round: 1, Case: "echo/64", Target: Subject, Error: "x"}}},
		"an empty result":  {Targets: r.Targets, Cases: r.Cases, Runs: []Run{{Round: 1, Case: "echo/64", Target: Subject, Result: &load.Result{}}}},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := r.Save(dir); err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := r.Table(&text, Style{Width: 40, Colour: true}); err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"report.json", "report.md", "index.html"} {
				written, err := os.ReadFile(filepath.Join(dir, file))
				if err != nil {
					t.Fatal(err)
				}
				text.Write(written)
			}
			for _, bad := range []string{"NaN", "Inf", "%!", "<nil>"} {
				if strings.Contains(text.String(), bad) {
					t.Errorf("it shows %s", bad)
				}
			}
			if _, err := Load(dir); err != nil {
				t.Error(err)
			}
		})
	}
}

// Three rounds reach as far as the one with the fewest messages: beyond, a median would be of fewer rounds, and the curve
// could fall.
func TestCurvesEndWithTheShortestRound(t *testing.T) {
	r := &Report{}
	for round, l := range []load.Latency{
		{Count: 100, Distribution: []load.Point{{Quantile: 0.5, Us: 10}, {Quantile: 0.99, Us: 900}, {Quantile: 0.999, Us: 950}, {Quantile: 1, Us: 950}}},
		{Count: 9000, Distribution: []load.Point{{Quantile: 0.5, Us: 12}, {Quantile: 0.99, Us: 100}, {Quantile: 0.999, Us: 110}, {Quantile: 1, Us: 120}}},
		{Count: 9000, Distribution: []load.Point{{Quantile: 0.5, Us: 14}, {Quantile: 0.99, Us: 300}, {Quantile: 0.999, Us: 310}, {Quantile: 1, Us: 320}}},
	} {
		r.Runs = append(r.Runs, Run{Round: round + 1, Case: "echo/64", Target: Subject, Result: &load.Result{Workload: "echo", Latency: &l}})
	}
	var got []float64
	for _, p := range r.distribution("echo/64", Subject, r.latencySources("echo/64")[0]) {
		got = append(got, p.y)
	}
	if d := cmp.Diff([]float64{12, 300}, got); d != "" {
		t.Error(d)
	}
}

func TestGoalsAreJudgedBeyondTheNoise(t *testing.T) {
	// Round by round, messages of longsplice, haproxy and nginx for a CPU second.
	tests := []struct {
		name   string
		rounds [][3]uint64
		want   Goal
	}{
		{"met", [][3]uint64{{130, 100, 99}, {131, 100, 99}, {130, 100, 99}}, Goal{What: "messages per CPU s over haproxy's (best peer)", Value: 1.3, Outcome: Met}},
		{"not met, against the best", [][3]uint64{{110, 80, 100}, {111, 80, 100}, {110, 80, 100}}, Goal{What: "messages per CPU s over nginx's (best peer)", Value: 1.1, Outcome: NotMet}},
		{"near", [][3]uint64{{110, 100, 90}, {118, 100, 90}, {125, 100, 90}}, Goal{What: "messages per CPU s over haproxy's (best peer)", Value: 1.18, Outcome: Near}},
		{"one round", [][3]uint64{{130, 100, 99}}, Goal{What: "messages per CPU s over haproxy's (best peer)", Value: 1.3, Outcome: Met, Noise: -1}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			r := &Report{Cases: []Case{{Scenario: "echo", Name: "64", Workload: "echo"}}}
			for i, name := range []string{Subject, "haproxy", "nginx"} {
				r.Targets = append(r.Targets, Target{Name: name})
				for n, values := range tc.rounds {
					r.Runs = append(r.Runs, Run{Round: n + 1, Case: "echo/64", Target: name, Result: &load.Result{Messages: values[i], CPU: load.CPU{Target: 1}}})
				}
			}
			got := r.Goals()
			if len(got) != 1 {
				t.Fatalf("goals %+v, want one", got)
			}
			if tc.want.Noise == 0 {
				got[0].Noise = 0
			}
			tc.want.Case, tc.want.Bound, tc.want.AtLeast = "echo/64", 1.2, true
			if d := cmp.Diff(tc.want, got[0]); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestNumbersAreShort(t *testing.T) {
	tests := []struct {
		value        float64
		number, tiny string
	}{
		{0, "0", "0"},
		{0.00012, "0.00012", "0.00012"},
		{0.2864, "0.286", "0.286"},
		{0.9999, "1.00", "1.00"},
		{1.714, "1.71", "1.71"},
		{49.26, "49.3", "49.3"},
		{660.4, "660", "660"},
		{9999, "9,999", "9,999"},
		{66134, "66,134", "66.1k"},
		{1203456, "1,203,456", "1.20M"},
		{-1234.5, "-1,235", "-1,235"},
	}
	for _, tc := range tests {
		if a, b := number(tc.value), short(tc.value); a != tc.number || b != tc.tiny {
			t.Errorf("%v is shown as %q and %q, want %q and %q", tc.value, a, b, tc.number, tc.tiny)
		}
	}
}
