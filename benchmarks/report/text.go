package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// legend explains the ratio tables.
const legend = "Median of the rounds' own ratios ±noise; + better, - worse beyond the noise, ? one round. ↓ less is better, ↑ more is better."

// Table writes the report for a terminal: ratios, goals, then every figure.
func (r *Report) Table(w io.Writer, st Style) error {
	var b strings.Builder
	title := func(text string) { fmt.Fprintf(&b, "\n%s\n", st.paint(text, strong)) }
	fmt.Fprintln(&b, st.paint("Benchmark of "+r.headline(), strong))
	fmt.Fprintln(&b, r.machineLine())
	for _, warning := range r.warnings() {
		fmt.Fprintln(&b, st.paint("! "+warning, bad))
	}
	all := r.Summaries()
	if g := onTerminal.subjectRatios(all, r.Targets); g != nil {
		title(Subject + " over each of the others")
		g.write(&b, st)
	}
	if g := onTerminal.referenceRatios(all, r.Targets, r.Reference()); g != nil {
		title("each over " + r.Reference())
		g.write(&b, st)
		fmt.Fprintln(&b, st.paint(wrap(indent+legend, st.Width), faint))
	}
	if goals := r.Goals(); len(goals) > 0 {
		title("goals: " + tally(goals))
		goalGrid(goals).write(&b, st)
	}
	for _, s := range all {
		fmt.Fprintf(&b, "\n%s  %s\n", st.paint(s.Case.ID(), strong), s.Case.About)
		if len(s.Rows) == 0 {
			fmt.Fprintln(&b, indent+"not measured")
			continue
		}
		onTerminal.figures(&s).write(&b, st)
		for _, remark := range r.remarks(s.Case.ID()) {
			fmt.Fprintln(&b, st.paint(wrap(indent+"! "+remark, st.Width), faint))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// Markdown writes the report for report.md.
func (r *Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmark of %s\n\n%s. %s, longsplice-bench %s.\n", r.headline(), r.machineLine(), r.Setup.Go, r.Setup.Version)
	r.markdownList(&b)
	all := r.Summaries()
	if g := inMarkdown.subjectRatios(all, r.Targets); g != nil {
		fmt.Fprintf(&b, "\n## %s over each of the others\n\n", Subject)
		fmt.Fprint(&b, "Median of the rounds' own ratios ±noise. ↓ less is better, ↑ more is better.\n\n")
		g.markdown(&b)
	}
	if g := inMarkdown.referenceRatios(all, r.Targets, r.Reference()); g != nil {
		fmt.Fprintf(&b, "\n## Each over %s\n\n", r.Reference())
		g.markdown(&b)
	}
	if goals := r.Goals(); len(goals) > 0 {
		fmt.Fprintf(&b, "\n## Goals: %s\n\n", tally(goals))
		goalGrid(goals).markdown(&b)
	}
	fmt.Fprint(&b, "\n## Figures\n\nMedian of the rounds (lowest–highest).\n")
	for _, s := range all {
		fmt.Fprintf(&b, "\n### %s: %s\n\n", s.Case.ID(), s.Case.About)
		if len(s.Rows) == 0 {
			fmt.Fprintln(&b, "Not measured.")
			continue
		}
		inMarkdown.figures(&s).markdown(&b)
		for i, remark := range r.remarks(s.Case.ID()) {
			if i == 0 {
				fmt.Fprintln(&b)
			}
			fmt.Fprintf(&b, "- %s\n", remark)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownList names the warnings and the targets.
func (r *Report) markdownList(b *strings.Builder) {
	for _, warning := range r.warnings() {
		fmt.Fprintf(b, "\n**Note:** %s.\n", warning)
	}
	fmt.Fprintln(b)
	for _, t := range r.Targets {
		fmt.Fprintf(b, "- %s: %s", t.Name, t.About)
		if t.Version != "" {
			fmt.Fprintf(b, " (%s)", t.Version)
		}
		fmt.Fprintln(b)
	}
}

// wrap breaks a line between words; what follows stands further in. Blanks at its beginning stay.
func wrap(line string, width int) string {
	const further = "      "
	first := strings.TrimLeft(line, " ")
	out := line[:len(line)-len(first)]
	used := len(out)
	for i, word := range strings.Fields(first) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case used+1+n > width:
			out += "\n" + further
			used = len(further)
		default:
			out += " "
			used++
		}
		out += word
		used += n
	}
	return out
}
