package main

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// table is text in columns. Cells that begin with a digit stand to the right.
type table struct {
	env  *environment
	rows [][]string
}

func newTable(env *environment, head ...string) *table { return &table{env, [][]string{head}} }

func (t *table) add(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

func (t *table) print() {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	colours := colourful(t.env, t.env.stdout)
	for n, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			shown := cell
			if colours {
				shown = paint(cell, n == 0)
			}
			if t.right(i) {
				line.WriteString(pad + shown + "  ")
			} else {
				line.WriteString(shown + pad + "  ")
			}
		}
		fmt.Fprintln(t.env.stdout, strings.TrimRight(line.String(), " "))
	}
}

// right tells whether a column holds numbers: its first cell below the head decides.
func (t *table) right(column int) bool {
	if len(t.rows) < 2 || t.rows[1][column] == "" {
		return false
	}
	c := t.rows[1][column]
	return c[0] >= '0' && c[0] <= '9' && !strings.ContainsAny(c, ":") && !isID(c)
}

// isID tells a session's id, 16 hex digits, from a number.
func isID(s string) bool { return len(s) == 16 && !strings.Contains(s, " ") }

// paint colours heads and the words for a backend's state.
func paint(cell string, head bool) string {
	colour := map[string]string{"healthy": "32", "unhealthy": "31", "ejected": "31", "draining": "33", "unknown": "33", "short": "31", "warn": "33", "ok": "32"}[cell]
	if head {
		colour = "1"
	}
	if colour == "" || cell == "" {
		return cell
	}
	return "\x1b[" + colour + "m" + cell + "\x1b[0m"
}

// bytesText writes a size with a binary unit.
func bytesText(n uint64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/(1<<10), 0
	for ; f >= 1<<10 && i < len(units)-1; i++ {
		f /= 1 << 10
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// spanText writes a duration in seconds with its two largest units.
func spanText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
}

// or is text, or what stands for none.
func or(text, none string) string {
	if text == "" {
		return none
	}
	return text
}

// bullet writes each line as an item.
func bullet(w io.Writer, lines []string) {
	for _, l := range lines {
		fmt.Fprintf(w, "  - %s\n", l)
	}
}
