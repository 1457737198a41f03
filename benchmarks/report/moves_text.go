package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Table writes the comparison for a terminal.
func (c *Comparison) Table(w io.Writer, st Style) error {
	var b strings.Builder
	for _, warning := range c.Warnings {
		fmt.Fprintln(&b, st.paint(wrap("! differs: "+warning, st.Width), bad))
	}
	fmt.Fprintln(&b, st.paint(wrap(c.Verdict(), st.Width), strong))
	if len(c.Moves) > 0 {
		fmt.Fprintln(&b)
		moveGrid(c.Moves).write(&b, st)
		fmt.Fprintln(&b, st.paint(wrap(indent+"Change of the ratio to the reference; = of the figure itself, where there is none.", st.Width), faint))
	}
	if len(c.Unknown) > 0 {
		fmt.Fprintf(&b, "\n%s were measured in one round: no noise is known\n", plural(len(c.Unknown), "figure"))
		moveGrid(c.Unknown).write(&b, st)
	}
	list(&b, st, "added", c.Added)
	list(&b, st, "vanished", c.Vanished)
	_, err := io.WriteString(w, b.String())
	return err
}

// Verdict is a sentence: how much was compared, and what moved.
func (c *Comparison) Verdict() string {
	count := map[Verdict]int{}
	for _, m := range c.Moves {
		count[m.verdict]++
	}
	if c.Compared == 0 {
		return "Nothing to compare: the two have no figure in common."
	}
	text := fmt.Sprintf("%s compared: %d better, %d worse beyond the noise", plural(c.Compared, "figure"), count[Better], count[Worse])
	if n := count[Different]; n > 0 {
		text += fmt.Sprintf(", %d from or to zero", n)
	}
	if len(c.Moves) > 0 {
		text += fmt.Sprintf("; up to %d may be by chance", (c.Compared+19)/20)
	}
	return text + "."
}

func moveGrid(moves []Move) *grid {
	g := &grid{names: 3}
	g.add(words("case", "target", "figure", "old", "new", "change", "")...)
	for _, m := range moves {
		row := append(words(m.Case, m.Target, m.Metric, short(m.Old), short(m.New), m.changeText()), cell{m.Result, moodOf(m.verdict)})
		if m.First {
			row[2].mood = strong
		}
		g.add(row...)
	}
	return g
}

func (m Move) changeText() string {
	if m.Change == 0 {
		return nothing
	}
	text := "× " + fmt.Sprintf("%.2f", m.Change)
	if m.Noise >= 0 {
		text += fmt.Sprintf(" ±%.2f", m.Noise)
	}
	if !m.ByRatio {
		return text + " ="
	}
	return text + "  "
}

func list(b *strings.Builder, st Style, title string, names []string) {
	if len(names) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", st.paint(title, strong))
	for _, n := range names {
		fmt.Fprintln(b, indent+n)
	}
}

// JSON is the comparison for programs.
func (c *Comparison) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode comparison: %w", err)
	}
	return append(text, '\n'), nil
}
