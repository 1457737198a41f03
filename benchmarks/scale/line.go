package scale

import "math"

// Line is the straight line through measurements that fits best (least squares).
type Line struct {
	Slope     float64 `json:"slope"` // per session
	Intercept float64 `json:"intercept"`
	// Residual is how far the measurement that fits worst is from the line, as a share of what the line rises from the
	// first to the last: 0.01 is straight, 0.2 is not a line.
	Residual float64 `json:"residual"`
}

// At is the line's value for that many sessions.
func (l Line) At(sessions float64) float64 { return l.Intercept + l.Slope*sessions }

// fit needs two different x; otherwise there is no line.
func fit(x, y []float64) Line {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	spread := n*sxx - sx*sx
	if spread == 0 {
		return Line{}
	}
	l := Line{Slope: (n*sxy - sx*sy) / spread}
	l.Intercept = (sy - l.Slope*sx) / n
	worst := 0.0
	for i := range x {
		worst = max(worst, math.Abs(y[i]-l.At(x[i])))
	}
	if rise := math.Abs(l.Slope) * (x[len(x)-1] - x[0]); rise > 0 {
		l.Residual = worst / rise
	}
	return l
}
