package truth

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Rounds are interleaved as `longsplice-bench run` has them: base, again, double, base, again, double.
func TestTheSameTwiceIsOneAndTwiceTheCostIsTwo(t *testing.T) {
	testkit.LeakCheck(t)
	const rounds, burnUs, window = 3, 1000, 400 * time.Millisecond
	to := backend(t, serve.Echo)
	own := perMessage(cost(t, start(t, to, ""), window)) * 1e6
	flaws := []string{
		fmt.Sprintf("burn=%dus", burnUs),
		fmt.Sprintf("burn=%dus", burnUs),
		fmt.Sprintf("burn=%dus", 2*burnUs+int(own)), // and its own cost once: twice the base in all
	}
	var ratios [3][]float64
	for range rounds {
		var us [3]float64
		for i, flaw := range flaws {
			us[i] = 1e6 * perMessage(cost(t, start(t, to, flaw), window))
			ratios[i] = append(ratios[i], us[i]/us[0])
		}
		t.Logf("%.0f us of processor time per message", us)
	}
	for i, want := range []float64{1, 1, 2} {
		slices.Sort(ratios[i])
		if got := ratios[i][rounds/2]; got < 0.85*want || got > 1.15*want {
			t.Errorf("ratios %.3f, want %.0f", ratios[i], want)
		}
	}
}
