package report

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// curve is one target's line in a plot.
type curve struct {
	target string
	points []xy // values
}

// frame is the room of a plot with lines.
type frame struct {
	x, y           scale
	xTicks, yTicks []float64
	xText, yText   func(float64) string
	xAxis, yAxis   string
}

const (
	curveHeight = 260
	curveLeft   = 58
	curveRight  = plotWidth - 10
	curveTop    = 8
	curveBottom = curveHeight - 40
)

// lines draws the curves into the frame.
func (r *Report) lines(f frame, curves []curve, marks bool) *drawing {
	d := newDrawing(plotWidth, curveHeight)
	for _, t := range f.yTicks {
		d.line("grid", curveLeft, f.y.at(t), curveRight, f.y.at(t))
		d.text("tick", "end", curveLeft-6, f.y.at(t)+4, f.yText(t))
	}
	for _, t := range f.xTicks {
		d.line("grid", f.x.at(t), curveTop, f.x.at(t), curveBottom)
		d.text("tick", "middle", f.x.at(t), curveBottom+14, f.xText(t))
	}
	d.text("axis", "middle", (curveLeft+curveRight)/2, curveHeight-6, f.xAxis)
	d.upright("axis", 12, (curveTop+curveBottom)/2, f.yAxis)
	for _, c := range curves {
		look := r.look(c.target)
		var points []xy
		for _, p := range c.points {
			points = append(points, xy{f.x.at(p.x), f.y.at(p.y)})
		}
		d.path(fmt.Sprintf("curve %s", colour(look)), points)
		for i, p := range points {
			if marks || i == len(points)-1 {
				d.mark("dot "+colour(look), look, p.x, p.y, 3.4)
			}
		}
	}
	return d
}

// latencyOf finds one of the latencies that a result may hold.
type latencyOf struct {
	name string // "" is that of all messages
	of   func(*load.Result) *load.Latency
}

// latencySources are the latencies that results of a case may hold.
func (r *Report) latencySources(caseID string) []latencyOf {
	out := []latencyOf{
		{"", func(res *load.Result) *load.Latency {
			if res.Workload == "mixed" { // its class says the same
				return nil
			}
			return res.Latency
		}},
		{"first answers after the backend's death", func(res *load.Result) *load.Latency {
			if res.Return == nil {
				return nil
			}
			return res.Return.Answer
		}},
	}
	var names []string
	for _, res := range r.results(caseID) {
		for _, c := range res.Classes {
			if c.Latency != nil && !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
	}
	for _, name := range names {
		out = append(out, latencyOf{name + " sessions", func(res *load.Result) *load.Latency {
			i := slices.IndexFunc(res.Classes, func(c load.Class) bool { return c.Name == name })
			if i < 0 {
				return nil
			}
			return res.Classes[i].Latency
		}})
	}
	return out
}

// latencyPlots are one for each latency that the case holds, as curves over the quantiles.
func (r *Report) latencyPlots(s *Summary) (out []*plot) {
	for _, source := range r.latencySources(s.Case.ID()) {
		var curves []curve
		for _, row := range s.Rows {
			if points := r.distribution(s.Case.ID(), row.Target, source); len(points) > 1 {
				curves = append(curves, curve{row.Target, points})
			}
		}
		if len(curves) > 0 {
			out = append(out, r.latencyPlot(s, source.name, curves))
		}
	}
	return out
}

// distribution is the median over the rounds at each quantile that has one: x counts nines (0.99 is 2), y is in µs. The
// largest value is left out: it has no place among nines.
func (r *Report) distribution(caseID, target string, source latencyOf) (points []xy) {
	byQuantile, rounds := map[float64][]float64{}, 0
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Case != caseID || run.Target != target || !run.Sound() {
			continue
		}
		if l := source.of(run.Result); l != nil && len(l.Distribution) > 0 {
			rounds++
			for _, p := range l.Distribution {
				if p.Quantile < 1 && p.Us > 0 && (1-p.Quantile)*float64(l.Count) >= 1 {
					byQuantile[p.Quantile] = append(byQuantile[p.Quantile], p.Us)
				}
			}
		}
	}
	for q, us := range byQuantile {
		if len(us) < rounds { // a round with fewer messages does not reach that far: the others' median would be another one
			continue
		}
		s, _ := spreadOf(us)
		points = append(points, xy{-math.Log10(1 - q), s.Median})
	}
	slices.SortFunc(points, func(a, b xy) int {
		if a.x < b.x {
			return -1
		}
		return 1
	})
	return points
}

func (r *Report) latencyPlot(s *Summary, name string, curves []curve) *plot {
	low, high, nines := math.Inf(1), 0.0, 1.0
	for _, c := range curves {
		for _, p := range c.points {
			low, high, nines = min(low, p.y), max(high, p.y), max(nines, p.x)
		}
	}
	f := frame{
		x: scale{low: 0, high: nines, from: curveLeft, to: curveRight - 6}, y: scale{low: low / 1.1, high: high * 1.1, from: curveBottom, to: curveTop, log: true},
		xText: quantileText, yText: timeText, xAxis: "share of the messages that took no longer, %", yAxis: "latency (log scale)",
	}
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 0.9999} {
		if x := -math.Log10(1 - q); x <= nines+1e-9 {
			f.xTicks = append(f.xTicks, x)
		}
	}
	f.yTicks = spacedDown(logTicks(f.y.low, f.y.high), f.y)
	var says []string
	for _, c := range curves {
		last := c.points[len(c.points)-1]
		says = append(says, fmt.Sprintf("%s %s at %s %%", c.target, timeText(last.y), quantileText(last.x)))
	}
	title := "latency"
	if name != "" {
		title += " of " + name
	}
	about := "Median of the rounds at each share."
	if s.Case.Workload == "echo" && !s.Case.paced() {
		about += " Closed loop: who waits sends nothing, so read the tail with care."
	}
	d := r.lines(f, curves, false)
	return &plot{Title: title, About: about, SVG: d.done(fmt.Sprintf("%s, %s by share of messages: %s.", s.Case.ID(), title, strings.Join(says, "; ")))}
}

func spacedDown(ticks []float64, s scale) []float64 {
	var out []float64
	for _, t := range ticks {
		if len(out) == 0 || math.Abs(s.at(t)-s.at(out[len(out)-1])) >= 18 {
			out = append(out, t)
		}
	}
	return out
}

// quantileText of a number of nines: 99.9.
func quantileText(nines float64) string {
	return fmt.Sprintf("%.5g", 100*(1-math.Pow(10, -nines)))
}

// timeText of microseconds.
func timeText(us float64) string {
	switch {
	case us >= 1e6:
		return fmt.Sprintf("%.3g s", us/1e6)
	case us >= 1e3:
		return fmt.Sprintf("%.3g ms", us/1e3)
	}
	return fmt.Sprintf("%.3g µs", us)
}

// memoryPlots show memory over sessions, where a case has steps of them.
func (r *Report) memoryPlots(s *Summary) (out []*plot) {
	for _, kind := range []struct {
		title, about string
		of           func(load.Footprint) int64
	}{
		{"resident memory of the balancer", "Median of the rounds.", rss},
		{"kernel memory of the machine", "Slab and TCP memory: load generator and backend are on the machine too.", kernel},
	} {
		var curves []curve
		for _, row := range s.Rows {
			if points := r.footprints(s.Case.ID(), row.Target, kind.of); len(points) > 1 {
				curves = append(curves, curve{row.Target, points})
			}
		}
		if len(curves) > 0 {
			out = append(out, r.memoryPlot(s, kind.title, kind.about, curves))
		}
	}
	return out
}

// footprints are medians over the rounds: x sessions, y MB.
func (r *Report) footprints(caseID, target string, of func(load.Footprint) int64) (points []xy) {
	steps := map[int][]float64{}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Case != caseID || run.Target != target || !run.Sound() {
			continue
		}
		for _, f := range run.Result.Memory {
			if of(f) > 0 {
				steps[f.Sessions] = append(steps[f.Sessions], float64(of(f))/1e6)
			}
		}
	}
	for sessions, mb := range steps {
		s, _ := spreadOf(mb)
		points = append(points, xy{float64(sessions), s.Median})
	}
	slices.SortFunc(points, func(a, b xy) int { return int(a.x - b.x) })
	return points
}

func (r *Report) memoryPlot(s *Summary, title, about string, curves []curve) *plot {
	widest, high := 0.0, 0.0
	for _, c := range curves {
		for _, p := range c.points {
			widest, high = max(widest, p.x), max(high, p.y)
		}
	}
	f := frame{
		x: scale{low: 0, high: widest, from: curveLeft, to: curveRight - 10}, y: scale{low: 0, high: high * 1.05, from: curveBottom, to: curveTop},
		xTicks: linearTicks(widest, 5), xText: tickText, yText: tickText, xAxis: "sessions", yAxis: "MB",
	}
	f.yTicks = linearTicks(f.y.high, 6)
	var says []string
	for _, c := range curves {
		last := c.points[len(c.points)-1]
		says = append(says, fmt.Sprintf("%s %s MB at %s", c.target, number(last.y), grouped(int64(last.x))))
	}
	d := r.lines(f, curves, true)
	return &plot{Title: title, About: about, SVG: d.done(fmt.Sprintf("%s, %s by sessions: %s.", s.Case.ID(), title, strings.Join(says, "; ")))}
}
