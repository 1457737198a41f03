package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// cell is one place of a table.
type cell struct {
	text string
	mood mood
}

// mood is how a cell is shown where there are colours; the text says the same without.
type mood int

const (
	plain mood = iota
	strong
	faint
	good
	bad
)

// moodOf a verdict.
func moodOf(v Verdict) mood {
	switch v {
	case Better:
		return good
	case Worse:
		return bad
	case Same, Unknown:
		return faint
	}
	return plain
}

// grid is a table whose first row is the head and whose first columns name the rows.
type grid struct {
	rows  [][]cell
	names int // columns that are text: they stand left, and are repeated where a table is too wide
}

func (g *grid) add(cells ...cell) { g.rows = append(g.rows, cells) }

func words(texts ...string) (row []cell) {
	for _, t := range texts {
		row = append(row, cell{text: t})
	}
	return row
}

func (g *grid) widths() []int {
	width := make([]int, len(g.rows[0]))
	for _, row := range g.rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c.text))
		}
	}
	return width
}

const (
	indent = "  "
	gap    = "  "
)

// write shows the table within the style's width: one that is wider continues below, with its first columns repeated and
// without the rows that have nothing there.
func (g *grid) write(w io.Writer, st Style) {
	width := g.widths()
	left := len(indent)
	for i := range g.names {
		left += width[i] + len(gap)
	}
	for from := g.names; from < len(width); {
		to, used := from, left
		for to < len(width) && (to == from || used+width[to] <= st.Width) {
			used += width[to] + len(gap)
			to++
		}
		for n, row := range g.rows {
			if n > 0 && (from > g.names || to < len(width)) && empty(row[from:to]) {
				continue
			}
			var b strings.Builder
			b.WriteString(indent)
			for i, c := range row {
				if i < g.names || i >= from && i < to {
					b.WriteString(st.pad(c, width[i], i < g.names, n == 0) + gap)
				}
			}
			fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
		}
		if from = to; from < len(width) {
			fmt.Fprintln(w)
		}
	}
}

// empty: nothing was measured for any of them.
func empty(cells []cell) bool {
	return !slices.ContainsFunc(cells, func(c cell) bool { return strings.TrimSpace(c.text) != nothing })
}

// nothing stands where there is no figure.
const nothing = "-"

// markdown writes the table for Markdown, readable as text too.
func (g *grid) markdown(w io.Writer) {
	width := g.widths()
	for n, row := range g.rows {
		for i, c := range row {
			text := strings.ReplaceAll(c.text, "|", `\|`)
			fill := strings.Repeat(" ", max(0, width[i]-utf8.RuneCountInString(text)))
			if i < g.names {
				fmt.Fprintf(w, "| %s%s ", text, fill)
			} else {
				fmt.Fprintf(w, "| %s%s ", fill, text)
			}
		}
		fmt.Fprintln(w, "|")
		if n > 0 {
			continue
		}
		for i, n := range width {
			if i < g.names {
				fmt.Fprintf(w, "|%s", strings.Repeat("-", n+2))
			} else {
				fmt.Fprintf(w, "|%s:", strings.Repeat("-", n+1))
			}
		}
		fmt.Fprintln(w, "|")
	}
}
