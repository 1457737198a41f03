package scale

import (
	"math"
	"net/netip"
	"testing"
)

func TestLineThroughSteps(t *testing.T) {
	x := []float64{1000, 2000, 3000, 4000}
	tests := []struct {
		name     string
		of       func(x float64) float64
		slope    float64
		straight bool
	}{
		{"straight", func(x float64) float64 { return 5e6 + 349*x }, 349, true},
		{"flat", func(float64) float64 { return 5e6 }, 0, true},
		{"a step doubles the cost", func(x float64) float64 { return 349 * x * math.Ceil(x/2000) }, 0, false},
	}
	for _, tc := range tests {
		var y []float64
		for _, v := range x {
			y = append(y, tc.of(v))
		}
		l := fit(x, y)
		if tc.straight && (math.Abs(l.Slope-tc.slope) > 1e-6 || l.Residual > 1e-6 || math.Abs(l.At(2500)-tc.of(2500)) > 1) {
			t.Errorf("%s: %+v", tc.name, l)
		}
		if !tc.straight && l.Residual < 0.1 {
			t.Errorf("%s passes for a line: %+v", tc.name, l)
		}
	}
	if l := fit([]float64{7}, []float64{1}); l != (Line{}) {
		t.Errorf("one point makes no line: %+v", l)
	}
}

func TestForecastCountsProcessesAndSessions(t *testing.T) {
	r := Result{
		Processes: 4, Sessions: 30_000, Steps: make([]Measure, 5),
		User: Line{Slope: 300, Intercept: 40e6}, Kernel: Line{Slope: 8000}, Rest: Line{Slope: 1e-7},
	}
	f := r.forecast(10_000)
	if f.Processes != 100 || f.UserBytes != 100*10e6+300e6 || f.KernelBytes != 8e9 || math.Abs(f.RestCPU-0.1) > 1e-9 {
		t.Errorf("%+v", f)
	}
}

func TestNoTwoCellsShareAnAddress(t *testing.T) {
	seen := map[netip.Addr]bool{}
	for _, network := range []int{balancerNet, backendNet, clientNet} {
		for i := range 600 {
			for _, a := range addresses(network, i, 3) {
				if seen[a] || !a.IsLoopback() {
					t.Fatalf("%s is used twice, or is not of this machine", a)
				}
				seen[a] = true
			}
		}
	}
}

func TestPlanKeepsWithinItsLimits(t *testing.T) {
	each, err := perProcess()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Processes: 3, Sessions: 100}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	p, err := cfg.plan()
	if err != nil || p.processes != 3 || p.sessions != 100 {
		t.Fatalf("%+v, %v", p, err)
	}
	sum := 0
	for i := range 3 {
		sum += p.share(100, i)
	}
	if sum != 100 {
		t.Errorf("the cells' shares come to %d", sum)
	}
	if p, err := (&Config{Processes: 1, Sessions: each + 1, Steps: 1, Budget: DefaultBudget}).plan(); err == nil {
		t.Errorf("more sessions than descriptors: %+v", p)
	}
	if p, err := (&Config{Sessions: 1 << 40, Steps: 1, Budget: DefaultBudget}).plan(); err == nil {
		t.Errorf("more sessions than memory: %+v", p)
	}
	if p, err := (&Config{Sessions: 5, Processes: 10, Steps: 1, Budget: DefaultBudget}).plan(); err == nil {
		t.Errorf("fewer sessions than processes: %+v", p)
	}
	if err := (&Config{Budget: 1}).complete(); err == nil {
		t.Error("all of the memory was granted")
	}
}

func TestOwnGroupIsFoundInBothVersions(t *testing.T) {
	for text, want := range map[string]string{
		"9:name=systemd:/\n4:memory:/a/b\n0::/\n": "/sys/fs/cgroup/memory/a/b",
		"0::/user.slice/x\n":                      "/sys/fs/cgroup/user.slice/x",
	} {
		if dir, read := ownGroup(text); dir != want || read == nil {
			t.Errorf("%q: %q", text, dir)
		}
	}
}

// What the steps have shown replaces the first guess.
func TestBudgetIsMeasured(t *testing.T) {
	r := run{}
	if n := r.wouldUse(10); n != 10*firstGuess {
		t.Errorf("a guess of %d bytes", n)
	}
	r.res.Base.Available = 1_000_000
	r.res.Steps = []Measure{{Sessions: 10, Available: 900_000}}
	if n := r.wouldUse(50); n != 500_000 {
		t.Errorf("50 sessions would use %d bytes, want 500000", n)
	}
}
