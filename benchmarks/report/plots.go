package report

import (
	"fmt"
	"html/template"
	"slices"
	"strings"
)

// plotWidth suits a telephone without being scaled.
const (
	plotWidth = 360
	rowHeight = 24
)

// looks are the classes and shapes of the targets that come with the program; others follow in their order.
var looks = []string{"longsplice", "haproxy", "nginx", "iocopy", "haproxy-1m", "direct", "dnat"}

// look is the number of a target's colour and shape, the same in every plot.
func (r *Report) look(target string) int {
	if i := slices.Index(looks, target); i >= 0 {
		return i
	}
	n := len(looks)
	for _, t := range r.Targets {
		if t.Name == target {
			break
		}
		if !slices.Contains(looks, t.Name) {
			n++
		}
	}
	return n
}

func colour(look int) string { return fmt.Sprintf("t%d", look%len(looks)) }

// plot is a figure of the page.
type plot struct {
	Title string
	About string
	SVG   template.HTML
}

// bar is one row of a ratio plot.
type bar struct {
	target string
	ratio  Ratio
	rounds []float64
}

// ratioPlot shows ratios on a log scale around 1, the better side tinted; nil without any.
func (r *Report) ratioPlot(s *Summary, title, axis string, bars []bar) *plot {
	if len(bars) == 0 {
		return nil
	}
	m := s.Metrics[0]
	x := ratioScale(bars)
	top, height := 20.0, float64(len(bars))*rowHeight
	d := newDrawing(plotWidth, top+height+38)
	one := x.at(1)
	switch m.Better {
	case Lower:
		d.rect("better", x.from, top, one-x.from, height)
		d.text("hint", "end", one-4, top-6, "better")
	case Higher:
		d.rect("better", one, top, x.to-one, height)
		d.text("hint", "start", one+4, top-6, "better")
	}
	for _, t := range spaced(logTicks(x.low, x.high), x, 30, 1) {
		d.line("grid", x.at(t), top, x.at(t), top+height)
		d.text("tick", "middle", x.at(t), top+height+14, tickText(t))
	}
	d.line("one", one, top-2, one, top+height)
	var says []string
	for i, b := range bars {
		y, class := top+(float64(i)+.5)*rowHeight, colour(r.look(b.target))
		d.text("name", "end", x.from-8, y+4, b.target)
		if b.ratio.Known() {
			d.line("whisker "+class, x.at(b.ratio.Low()), y, x.at(b.ratio.High()), y)
		}
		for _, v := range b.rounds {
			d.mark("round "+class, 0, x.at(v), y, 2.2)
		}
		d.mark("dot "+class, r.look(b.target), x.at(b.ratio.Median), y, 5)
		v := b.ratio.judge(m.Better)
		d.text("value "+[...]string{"unknown", "same", "good", "bad", "same"}[v], "start", x.to+8, y+4, strings.TrimSpace(ratioText(b.ratio)+onTerminal.verdict(v)))
		says = append(says, fmt.Sprintf("%s %s, %s", b.target, ratioText(b.ratio), v))
	}
	d.text("axis", "middle", (x.from+x.to)/2, top+height+32, axis)
	return &plot{Title: title, SVG: d.done(fmt.Sprintf("%s, %s: %s: %s.", s.Case.ID(), m.Label(), title, strings.Join(says, "; ")))}
}

// ratioScale holds 1 and all rounds, and the noise as far as a factor of 3.
func ratioScale(bars []bar) scale {
	low, high := 0.9, 1/0.9
	for _, b := range bars {
		low, high = min(low, b.ratio.Min), max(high, b.ratio.Max)
		if b.ratio.Known() {
			low, high = min(low, max(b.ratio.Low(), b.ratio.Median/3)), max(high, min(b.ratio.High(), b.ratio.Median*3))
		}
	}
	return scale{low: max(low, 1e-4) / 1.08, high: high * 1.08, from: 84, to: 264, log: true}
}

// stripPlot shows every round of a metric, and the medians, from 0; nil without any.
func (r *Report) stripPlot(s *Summary, metric int) *plot {
	m := s.Metrics[metric]
	high, rows := 0.0, 0
	for _, row := range s.Rows {
		if f := row.Figures[metric]; f != nil {
			high = max(high, f.Max)
			rows++
		}
	}
	if rows == 0 {
		return nil
	}
	if high <= 0 {
		high = 1
	}
	x := scale{low: 0, high: high * 1.04, from: 84, to: 292}
	top, height := 6.0, float64(rows)*rowHeight
	d := newDrawing(plotWidth, top+height+38)
	for _, t := range linearTicks(x.high, 5) {
		d.line("grid", x.at(t), top, x.at(t), top+height)
		d.text("tick", "middle", x.at(t), top+height+14, tickText(t))
	}
	var says []string
	y := top - rowHeight/2
	for _, row := range s.Rows {
		f := row.Figures[metric]
		if f == nil {
			continue
		}
		y += rowHeight
		class := colour(r.look(row.Target))
		d.text("name", "end", x.from-8, y+4, row.Target)
		d.rect("bar "+class, x.from, y-5, x.at(f.Median)-x.from, 10)
		d.line("median "+class, x.at(f.Median), y-8, x.at(f.Median), y+8)
		for _, p := range f.Values {
			d.mark("round "+class, 0, x.at(p.Value), y, 2.6)
		}
		d.text("value", "start", x.to+8, y+4, short(f.Median))
		says = append(says, fmt.Sprintf("%s %s", row.Target, m.Text(f.Median)))
	}
	d.text("axis", "middle", (x.from+x.to)/2, top+height+32, axisText(m))
	return &plot{Title: m.Name, About: m.About, SVG: d.done(fmt.Sprintf("%s, %s, medians: %s.", s.Case.ID(), m.Label(), strings.Join(says, "; ")))}
}

// axisText is the name with its unit and the better side.
func axisText(m Metric) string {
	text := m.Label()
	if m.Better != Neither {
		text += " (" + m.Better.String() + ")"
	}
	return text
}
