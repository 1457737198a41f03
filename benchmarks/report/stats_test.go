package report

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/syscount"
)

func rounds(values ...float64) byRound {
	b := byRound{}
	for i, v := range values {
		b[i+1] = v
	}
	return b
}

func TestSpreadIsMedianAndEnds(t *testing.T) {
	tests := []struct {
		name   string
		values []float64
		want   Spread
	}{
		{"nothing", nil, Spread{}},
		{"one", []float64{3}, Spread{1, 3, 3, 3}},
		{"odd, unordered", []float64{9, 1, 2}, Spread{3, 2, 1, 9}},
		{"even", []float64{4, 1, 2, 9}, Spread{4, 3, 1, 9}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, ok := spreadOf(tc.values)
			if d := cmp.Diff(tc.want, got); d != "" || ok != (len(tc.values) > 0) {
				t.Errorf("ok %v, %s", ok, d)
			}
		})
	}
}

func TestNoiseByRounds(t *testing.T) {
	tests := []struct {
		name    string
		spread  Spread
		typical float64
		want    float64
	}{
		{"one round: not known", Spread{1, 5, 5, 5}, 0.1, math.Inf(1)},
		{"two: twice the width", Spread{2, 10, 9, 11}, 0, 2 * math.Log(11./9)},
		{"three: the width", Spread{3, 10, 9, 11}, 0, math.Log(11. / 9)},
		{"five: half of it", Spread{5, 10, 9, 11}, 0, math.Log(11./9) / 2},
		{"agreeing by chance: as the neighbours", Spread{3, 10, 10, 10}, 0.3, 0.3},
		{"never below 1 %", Spread{3, 10, 10, 10}, 0, 0.01},
		{"around zero", Spread{3, 2, -1, 3}, 0, 2},
		{"zero", Spread{3, 0, 0, 0}, 0, 0.01},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.spread.noise(tc.typical); math.Abs(got-tc.want) > 1e-12 && got != tc.want {
				t.Errorf("noise %v, want %v", got, tc.want)
			}
		})
	}
}

func TestRatiosAreJudgedBeyondTheNoise(t *testing.T) {
	of := func(median, factor float64) Ratio { return Ratio{Spread{Rounds: 3, Median: median}, math.Log(factor)} }
	tests := []struct {
		name   string
		ratio  Ratio
		better Direction
		want   Verdict
		text   string
	}{
		{"one round", of(2, math.Inf(1)), Lower, Unknown, "2.00"},
		{"within", of(1.05, 1.1), Lower, Same, "1.05 ±0.10"},
		{"within, from below", of(0.95, 1.1), Higher, Same, "0.95 ±0.09"},
		{"lower is better", of(0.5, 1.5), Lower, Better, "0.50 ±0.25"},
		{"lower is worse", of(0.5, 1.5), Higher, Worse, "0.50 ±0.25"},
		{"higher is worse", of(2, 1.5), Lower, Worse, "2.00 ±0.67"},
		{"higher is better", of(2, 1.5), Higher, Better, "2.00 ±0.67"},
		{"small, and as noisy as it is small", of(0.2, 6), Lower, Same, "0.20 ±1.00"},
		{"very small", of(0.0621, 1.02), Lower, Better, "0.062 ±0.001"},
		{"no side is better", of(1.5, 1.2), Neither, Different, "1.50 ±0.25"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.ratio.judge(tc.better); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if got := ratioText(tc.ratio); got != tc.text {
				t.Errorf("shown as %q, want %q", got, tc.text)
			}
			if away := math.Abs(tc.ratio.Median - 1); tc.ratio.Known() && (away > tc.ratio.Noise()) == (tc.want == Same) {
				t.Errorf("%.3f ±%.3f is called %s", tc.ratio.Median, tc.ratio.Noise(), tc.want)
			}
			inverse := Ratio{Spread{Rounds: 3, Median: 1 / tc.ratio.Median}, tc.ratio.noise}
			if opposite := map[Direction]Direction{Lower: Higher, Higher: Lower, Neither: Neither}[tc.better]; inverse.judge(opposite) != tc.want {
				t.Errorf("the other way up it is %s, want %s", inverse.judge(opposite), tc.want)
			}
		})
	}
}

func TestRatiosAreTakenRoundByRound(t *testing.T) {
	// Round 2 ran at half speed for both: the ratio does not see it. Round 4 has one side only.
	ours, theirs := rounds(20, 10, 22, 99), rounds(10, 5, 11)
	s, _ := spreadOf(ours.over(theirs).values())
	if want := (Spread{3, 2, 2, 2}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	if got := ours.over(rounds(0, 0, 0, 0)); len(got) != 0 {
		t.Errorf("divided by zero: %v", got)
	}
}

// Whatever the values: the median lies between the ends, the order of rounds does not matter, a scale of all values
// scales the median and leaves the noise, and a ratio the other way up has the median's inverse (odd numbers of rounds).
func TestSpreadProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		n := 1 + 2*rng.IntN(5)
		a, b := byRound{}, byRound{}
		for i := range n {
			a[i], b[i] = math.Exp(rng.NormFloat64()), math.Exp(rng.NormFloat64())
		}
		s, _ := spreadOf(a.values())
		if s.Min > s.Median || s.Median > s.Max || s.Rounds != n {
			t.Fatalf("%v came to %+v", a, s)
		}
		values := a.values()
		rng.Shuffle(n, func(i, j int) { values[i], values[j] = values[j], values[i] })
		if again, _ := spreadOf(values); again != s {
			t.Fatalf("%v came to %+v, in another order to %+v", a, s, again)
		}
		scaled := byRound{}
		for i, v := range a {
			scaled[i] = 4 * v
		}
		if by4, _ := spreadOf(scaled.values()); by4.Median != 4*s.Median || n > 1 && math.Abs(by4.noise(0.1)-s.noise(0.1)) > 1e-12 {
			t.Fatalf("%v times 4 came to %+v", a, by4)
		}
		up, _ := spreadOf(a.over(b).values())
		down, _ := spreadOf(b.over(a).values())
		if math.Abs(up.Median*down.Median-1) > 1e-9 {
			t.Fatalf("a/b has median %v, b/a %v", up.Median, down.Median)
		}
	}
}

// The promise behind "within the noise": the same target measured twice shows a difference in fewer than 1 of 20 figures,
// for a quiet machine and for one with outliers; and a difference of half is seen by five rounds in nearly all.
func TestSameTargetTwice(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const trials = 4000
	outliers := func() float64 {
		v := 1 + 0.03*rng.NormFloat64()
		if rng.Float64() < 0.15 {
			v += math.Abs(0.15 * rng.NormFloat64())
		}
		return v
	}
	for _, machine := range []struct {
		name  string
		value func() float64
	}{{"quiet", func() float64 { return 1 + 0.03*rng.NormFloat64() }}, {"with outliers", outliers}} {
		for _, n := range []int{3, 5, 7} {
			wrong, seen := 0, 0
			for range trials {
				s := &Summary{Metrics: []Metric{{Better: Lower}}, rounds: []map[string]byRound{{}}}
				for _, target := range []string{"a", "b", "c", "d", "e"} {
					values := byRound{}
					for i := range n {
						values[i] = machine.value()
						if target == "e" {
							values[i] *= 1.5
						}
					}
					s.rounds[0][target] = values
				}
				same, _ := s.Ratio(0, "a", "b")
				if same.judge(Lower) != Same {
					wrong++
				}
				if worse, _ := s.Ratio(0, "e", "b"); worse.judge(Lower) == Worse {
					seen++
				}
			}
			t.Logf("%s, %d rounds: a difference where there is none in %.1f %%, a half more seen in %.1f %%", machine.name, n, 100*float64(wrong)/trials, 100*float64(seen)/trials)
			if wrong > trials/20 {
				t.Errorf("%s, %d rounds: a difference where there is none in %d of %d", machine.name, n, wrong, trials)
			}
			if n >= 5 && seen < trials*9/10 {
				t.Errorf("%s, %d rounds: a half more is seen in %d of %d only", machine.name, n, seen, trials)
			}
		}
	}
}

func TestWaitsAreNotCountedAsCalls(t *testing.T) {
	r := &load.Result{Sessions: 2, Syscalls: &syscount.Counts{Total: 40, Calls: map[string]uint64{"recvfrom": 28, "epoll_pwait": 7, "epoll_wait": 5}}}
	if got, ok := callsPerSession.Of(r); !ok || got != 14 {
		t.Errorf("%v calls a session (%t), want 14", got, ok)
	}
}
