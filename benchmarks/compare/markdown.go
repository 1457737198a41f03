package compare

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// reference is the target that ratios are taken against.
const reference = "haproxy"

// quiet is the share of a processor that other programs may use before the report warns.
const quiet = 0.05

// Markdown writes the report so that it reads well on a terminal too.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "# Comparison of %s\n\n", m.Date)
	fmt.Fprintf(&b, "%s; %d x %s; %d MiB; %s. Balancer on processor %d, load and backend (%d addresses) on processor %d.\n",
		m.Kernel, m.CPUs, m.CPU, m.MemoryMiB, m.Go, m.BalancerCPU, m.Backends, m.LoadCPU)
	fmt.Fprintf(&b, "Median of %d interleaved rounds (lowest-highest); x = ratio to %s. CPU is user + system of the balancer's processes.\n", r.Rounds, reference)
	fmt.Fprintf(&b, "Others used %.0f %% of the balancer's processor (median over all measurements)%s.\n\n", 100*r.Foreign, noise(r.Foreign))
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "- %s: %s", t.Name, t.About)
		if t.Version != "" {
			fmt.Fprintf(&b, " (%s)", t.Version)
		}
		b.WriteString("\n")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Missing)) {
		fmt.Fprintf(&b, "- %s: left out: %s\n", name, r.Missing[name])
	}
	for i, t := range r.Scenarios {
		fmt.Fprintf(&b, "\n## %s: %s\n\n", t.Name, t.About)
		writeTable(&b, r.cells(t, r.specs[i]))
	}
	r.writeGoals(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func noise(foreign float64) string {
	if foreign > quiet {
		return ": too much to trust small differences"
	}
	return ""
}

func (r *Report) cells(t Table, sc Scenario) [][]string {
	rows := [][]string{append([]string{"target"}, t.Metrics...)}
	for _, row := range t.Rows {
		line := []string{row.Target}
		for i, f := range row.Figures {
			line = append(line, cell(f, t.referenceFigure(i), sc.Metrics[i].Format))
		}
		if row.Unsound > 0 {
			line[0] += fmt.Sprintf(" (%d rounds not sound)", row.Unsound)
		}
		rows = append(rows, line)
	}
	return rows
}

func (t *Table) referenceFigure(metric int) *Figure {
	for _, row := range t.Rows {
		if row.Target == reference {
			return row.Figures[metric]
		}
	}
	return nil
}

func cell(f, ref *Figure, format string) string {
	if f == nil {
		return "-"
	}
	text := fmt.Sprintf(format+" ("+format+"-"+format+")", f.Median, f.Min, f.Max)
	if ref != nil && ref.Median > 0 {
		text += fmt.Sprintf(" %.2fx", f.Median/ref.Median)
	}
	return text
}

func (r *Report) writeGoals(b *strings.Builder) {
	if len(r.Goals) == 0 {
		return
	}
	b.WriteString("\n## Goals\n\n")
	rows := [][]string{{"goal", "value", "bound", "met"}}
	for _, g := range r.Goals {
		met := "no"
		if g.Met {
			met = "yes"
		}
		rows = append(rows, []string{g.What, fmt.Sprintf("%.2f", g.Value), fmt.Sprintf("%.2f", g.Bound), met})
	}
	writeTable(b, rows)
}

// writeTable pads the columns of a Markdown table; the first row is the head.
func writeTable(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	for n, row := range rows {
		for i, c := range row {
			fmt.Fprintf(b, "| %-*s ", width[i], c)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				fmt.Fprintf(b, "|%s", strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
}
