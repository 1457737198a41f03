package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
)

// drawing is an SVG under way. Lengths are in units of its view box; colours come from the page's classes, so that one
// drawing does for light and dark.
type drawing struct {
	b             strings.Builder
	width, height float64
}

func newDrawing(width, height float64) *drawing { return &drawing{width: width, height: height} }

func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&d.b, `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (d *drawing) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(&d.b, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, x, y, max(w, 0), max(h, 0))
}

// text is anchored at start, middle or end.
func (d *drawing) text(class, anchor string, x, y float64, text string) {
	fmt.Fprintf(&d.b, `<text class="%s" text-anchor="%s" x="%.1f" y="%.1f">%s</text>`, class, anchor, x, y, html.EscapeString(text))
}

// upright is text that reads from below to above.
func (d *drawing) upright(class string, x, y float64, text string) {
	fmt.Fprintf(&d.b, `<text class="%s" text-anchor="middle" transform="translate(%.1f %.1f) rotate(-90)">%s</text>`, class, x, y, html.EscapeString(text))
}

// path joins the points.
func (d *drawing) path(class string, points []xy) {
	fmt.Fprintf(&d.b, `<path class="%s" d="`, class)
	for i, p := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&d.b, "%s%.1f %.1f", command, p.x, p.y)
	}
	d.b.WriteString(`"/>`)
}

// mark is a target's sign: each has its own shape as well as its colour.
func (d *drawing) mark(class string, shape int, x, y, r float64) {
	shapes := []string{
		"", // a disc
		"M-1 -1H1V1H-1Z",
		"M0 -1.35L1.35 0L0 1.35L-1.35 0Z",
		"M0 -1.25L1.2 .95H-1.2Z",
		"M0 1.25L1.2 -.95H-1.2Z",
		"M-.4 -1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",
		"M-1.3 -.5H1.3V.5H-1.3Z",
	}
	if s := shapes[shape%len(shapes)]; s != "" {
		fmt.Fprintf(&d.b, `<path class="%s" d="%s" transform="translate(%.1f %.1f) scale(%.2f)"/>`, class, s, x, y, r)
		return
	}
	fmt.Fprintf(&d.b, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f"/>`, class, x, y, r)
}

// done is the element; label says in words what the drawing shows.
func (d *drawing) done(label string) template.HTML {
	label = html.EscapeString(label)
	return template.HTML(fmt.Sprintf(`<svg role="img" viewBox="0 0 %.0f %.0f" aria-label="%s"><title>%s</title>%s</svg>`, d.width, d.height, label, label, d.b.String()))
}

type xy struct{ x, y float64 }

// scale maps values to lengths.
type scale struct {
	low, high float64 // values at the ends; above zero if log
	from, to  float64 // lengths at the ends
	log       bool
}

func (s scale) at(v float64) float64 {
	low, high := s.low, s.high
	if s.log {
		v, low, high = math.Log(max(v, s.low)), math.Log(low), math.Log(high)
	}
	if high == low {
		return (s.from + s.to) / 2
	}
	share := min(max((v-low)/(high-low), 0), 1)
	return s.from + share*(s.to-s.from)
}

// linearTicks are 0 and round values up to high, about n of them.
func linearTicks(high float64, n int) []float64 {
	if high <= 0 {
		return []float64{0}
	}
	step := math.Pow(10, math.Floor(math.Log10(high/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if high/(m*step) <= float64(n) {
			step *= m
			break
		}
	}
	var ticks []float64
	for i := 0; float64(i)*step <= high*1.0001; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// logTicks are values with few digits from low to high: the coarsest series that gives at least three, and 1 if within.
func logTicks(low, high float64) []float64 {
	for _, series := range [][]float64{{1}, {1, 2, 5}, {1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2, 3, 4, 5, 6, 7, 8, 8.5, 9, 9.5}} {
		var ticks []float64
		for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
			for _, m := range series {
				if v := m * math.Pow(10, e); v >= low*0.999 && v <= high*1.001 {
					ticks = append(ticks, v)
				}
			}
		}
		if len(ticks) >= 3 {
			return ticks
		}
	}
	return []float64{low, high}
}

// spaced leaves out ticks that stand closer than gap to the one before; the one at keep stays.
func spaced(ticks []float64, s scale, gap, keep float64) []float64 {
	var out []float64
	for _, t := range ticks {
		for len(out) > 0 && t == keep && s.at(t)-s.at(out[len(out)-1]) < gap {
			out = out[:len(out)-1]
		}
		if len(out) == 0 || math.Abs(s.at(t)-s.at(out[len(out)-1])) >= gap {
			out = append(out, t)
		}
	}
	return out
}

// tickText is short: 0.4, 12, 1.5k.
func tickText(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e9:
		return fmt.Sprintf("%.4gG", v/1e9)
	case a >= 1e6:
		return fmt.Sprintf("%.4gM", v/1e6)
	case a >= 1e4:
		return fmt.Sprintf("%.4gk", v/1e3)
	}
	return fmt.Sprintf("%.4g", v)
}
