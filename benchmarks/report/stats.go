package report

import (
	"math"
	"slices"
)

// Spread is what the rounds of one figure came to.
type Spread struct {
	Rounds           int
	Median, Min, Max float64
}

// floor is the smallest relative difference that is ever called one: the clocks behind CPU times tick at 10 ms.
const floor = 0.01

// spreadOf summarises values in any order; the median of an even number is the mean of the middle two.
func spreadOf(values []float64) (s Spread, ok bool) {
	if len(values) == 0 {
		return s, false
	}
	v := slices.Sorted(slices.Values(values))
	n := len(v)
	return Spread{Rounds: n, Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}, true
}

// width is how far the rounds lie apart, relative: the logarithm of highest / lowest, which for small widths is
// (highest - lowest) / median, and the same for a ratio and its inverse. Values that are not all above zero have the latter.
func (s Spread) width() float64 {
	switch {
	case s.Min > 0:
		return math.Log(s.Max / s.Min)
	case s.Median == 0:
		return 0
	}
	return (s.Max - s.Min) / math.Abs(s.Median)
}

// noise is how far the median may be from what endless rounds would show, relative:
//
//	2 / (rounds - 1) x max(width, typical width)
//
// The typical width is the median of the widths of all targets in the same case, so that three rounds that agree by chance
// are not believed more than their neighbours. So with three rounds the noise is about the distance from the lowest to the
// highest, with five half of it. Two measurements of the same thing differ by more in fewer than 1 of 20 figures
// (TestSameTargetTwice). It is never below 1 %; with one round it is unknown: +Inf.
func (s Spread) noise(typical float64) float64 {
	if s.Rounds < 2 {
		return math.Inf(1)
	}
	return max(2/float64(s.Rounds-1)*max(s.width(), typical), floor)
}

// Ratio is one figure over another, taken round by round, so that what slows a whole round down cancels out. Its noise is
// a factor up and down: from Low to High. A ratio and its inverse have the same one.
type Ratio struct {
	Spread
	noise float64 // logarithm of the factor; +Inf if there was one round only
}

// Known says whether there is a noise: not if there was one round only.
func (r Ratio) Known() bool { return !math.IsInf(r.noise, 1) }

// Low is the lower end of the noise.
func (r Ratio) Low() float64 { return r.Median * math.Exp(-r.noise) }

// High is the upper end of the noise.
func (r Ratio) High() float64 { return r.Median * math.Exp(r.noise) }

// Noise is how far the ratio may be wrong in the direction of 1: it differs from 1 if it is further away than that.
func (r Ratio) Noise() float64 {
	if r.Median > 1 {
		return r.Median - r.Low()
	}
	return r.High() - r.Median
}

// Verdict is what a ratio or a change says once its noise is taken into account.
type Verdict int

// A figure that is neither better low nor high is only ever Same or Different.
const (
	Unknown   Verdict = iota // one round: no noise is known
	Same                     // within the noise
	Better                   // beyond the noise, to the good
	Worse                    // beyond the noise, to the bad
	Different                // beyond the noise, of a figure without a better side
)

func (v Verdict) String() string {
	return [...]string{"one round", "within noise", "better", "worse", "different"}[v]
}

// judge compares a ratio with 1.
func (r Ratio) judge(better Direction) Verdict {
	switch {
	case !r.Known():
		return Unknown
	case r.Low() <= 1 && r.High() >= 1:
		return Same
	case better == Neither:
		return Different
	case (r.Median < 1) == (better == Lower):
		return Better
	}
	return Worse
}

// byRound are the values of one figure, by the number of their round.
type byRound map[int]float64

func (b byRound) values() (out []float64) {
	for _, v := range b {
		out = append(out, v)
	}
	return out
}

// over divides round by round, where both have a value above zero.
func (b byRound) over(ref byRound) byRound {
	out := byRound{}
	for round, v := range b {
		if d := ref[round]; v > 0 && d > 0 {
			out[round] = v / d
		}
	}
	return out
}

// typicalWidth is the median of the widths of all that have two rounds or more; 0 if none has.
func typicalWidth(all []byRound) float64 {
	var widths []float64
	for _, b := range all {
		if s, ok := spreadOf(b.values()); ok && s.Rounds > 1 {
			widths = append(widths, s.width())
		}
	}
	s, _ := spreadOf(widths)
	return s.Median
}
