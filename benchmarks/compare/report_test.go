package compare

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/peers"
	"github.com/longsplice/longsplice/pkg/testkit"
)

func TestSummariseIsMedianAndSpread(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   *Figure
	}{
		{"nothing", nil, nil},
		{"one", []float64{3}, &Figure{3, 3, 3}},
		{"odd, unordered", []float64{9, 1, 2}, &Figure{2, 1, 9}},
		{"even", []float64{4, 1, 2, 9}, &Figure{3, 1, 9}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, summarise(tc.values)); d != "" {
				t.Error(d)
			}
		})
	}
}

// reportOf builds a report from messages per CPU second (echo) and p99.9 (latency) of each target.
func reportOf(echo, latency map[string]float64) *Report {
	r := &Report{Rounds: 1, specs: Scenarios(1000, 1)}
	for _, name := range []string{"longsplice", "haproxy", "nginx"} {
		r.Targets = append(r.Targets, TargetInfo{Name: name})
		r.add(Run{
			Round: 1, Scenario: "echo", Target: name,
			Result: &load.Result{Messages: uint64(echo[name]), Seconds: 1, CPU: load.CPU{Target: 1}},
		})
		r.add(Run{
			Round: 1, Scenario: "latency", Target: name,
			Result: &load.Result{Seconds: 1, Latency: &load.Latency{Count: 1, P999: latency[name]}},
		})
	}
	r.finish()
	return r
}

func TestGoalsAreJudgedAgainstTheBestPeer(t *testing.T) {
	r := reportOf(map[string]float64{"longsplice": 50, "haproxy": 40, "nginx": 45}, map[string]float64{"longsplice": 90, "haproxy": 100, "nginx": 95})
	want := []Goal{
		{"echo: longsplice / nginx (the best peer)", 50.0 / 45, 1.2, false},
		{"latency: longsplice / nginx", 90.0 / 95, 1, true},
	}
	if d := cmp.Diff(want, r.Goals); d != "" {
		t.Error(d)
	}
}

func TestUnsoundRoundsAreLeftOutAndCounted(t *testing.T) {
	r := &Report{specs: Scenarios(1000, 1)[3:4], Targets: []TargetInfo{{Name: "haproxy"}}}
	sound := func(n uint64) *load.Result {
		return &load.Result{Messages: n, Seconds: 1, CPU: load.CPU{Target: 1, Busy: []float64{1, 1}}}
	}
	wrong := sound(1000)
	wrong.Wrong = 1
	for _, run := range []Run{{Result: sound(10)}, {Result: wrong}, {Error: "did not start"}} {
		run.Scenario, run.Target = "echo", "haproxy"
		r.add(run)
	}
	r.finish()
	if r.Unsound() != 2 {
		t.Errorf("%d unsound rounds, want 2", r.Unsound())
	}
	if v, ok := r.figure("echo", "haproxy"); !ok || v != 10 {
		t.Errorf("median %v, want that of the sound round, 10", v)
	}
	var text strings.Builder
	if err := r.Markdown(&text); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text.String(), "haproxy (2 rounds not sound)") {
		t.Error("the table does not say which rounds are missing:\n" + text.String())
	}
}

func TestMemoryIsASlope(t *testing.T) {
	r := &load.Result{Memory: []load.Footprint{{Sessions: 1000, RSS: 10_000_000}, {Sessions: 4000, RSS: 10_750_000}}}
	if v, ok := slope(r); !ok || v != 250 {
		t.Errorf("%v bytes a session, want 250", v)
	}
	if _, ok := slope(&load.Result{}); ok {
		t.Error("no memory was read, yet there is a slope")
	}
}

// The peers judge their configurations themselves, where they are installed.
func TestPeersAcceptTheirConfigurations(t *testing.T) {
	listen, err := freePort("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	data := peers.Data{Listen: listen, Backends: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:9000"), netip.MustParseAddrPort("127.0.0.3:9000")}}
	tests := []struct{ program, config, check string }{
		{"haproxy", "haproxy.cfg", "-c -f"},
		{"haproxy", "haproxy-tuned.cfg", "-c -f"},
		{"nginx", "nginx.cfg", "-t -c"},
	}
	for _, tc := range tests {
		t.Run(tc.config, func(t *testing.T) {
			program := testkit.NeedProgram(t, tc.program)
			data.Dir = t.TempDir()
			text, err := peers.Render(tc.config, data)
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(data.Dir, tc.config)
			if err := os.WriteFile(path, text, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(program, append(strings.Fields(tc.check), path)...).CombinedOutput()
			if err != nil {
				t.Errorf("%v:\n%s\n%s", err, out, text)
			}
		})
	}
}

func TestEveryTemplateOpensWithItsPurposeAndNamesEveryBackend(t *testing.T) {
	for _, target := range Targets("self", "longsplice") {
		if target.config == "" {
			continue
		}
		text, err := peers.Render(target.config, exampleData)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(string(text), "# Purpose: ") {
			t.Errorf("%s does not say what it is for", target.config)
		}
		for _, b := range exampleData.Backends {
			if !strings.Contains(string(text), b.String()) {
				t.Errorf("%s lacks backend %s", target.config, b)
			}
		}
	}
}

func TestSilentSessionsFitTheFdLimit(t *testing.T) {
	sc := &Scenario{Silent: 4000}
	tests := []struct {
		fds, limit int
		want       []string
	}{
		{2, 20000, []string{"--sessions", "1000", "--sessions", "4000"}},
		{6, 20000, []string{"--sessions", "1000", "--sessions", "3200"}},
		{2, 1024, []string{"--sessions", "100", "--sessions", "200"}},
	}
	for _, tc := range tests {
		if d := cmp.Diff(tc.want, sc.silentSteps(Target{fdsPerSession: tc.fds}, tc.limit)); d != "" {
			t.Errorf("%d fds a session of %d: %s", tc.fds, tc.limit, d)
		}
	}
	if got := (&Scenario{}).silentSteps(Target{}, 1); got != nil {
		t.Errorf("a scenario without silent sessions got %q", got)
	}
}
