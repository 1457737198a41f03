package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows.
type page struct {
	*Report
	Headline, MachineLine string
	Warnings              []string
	Legend                []mark
	Goals                 []goalRow
	Tally                 string
	Ratios                []ratioTable
	Cases                 []caseBlock
	MemoryGiB             string
	Sysctls               [][2]string
	Faults                []Run
}

type mark struct {
	Target Target
	SVG    template.HTML
}

type goalRow struct {
	Case, What, Value, Bound, Class string
	Outcome                         Outcome
}

type ratioTable struct {
	Title string
	Table *htmlTable
}

// caseBlock is one case: its ratios, its figures, its curves.
type caseBlock struct {
	ID, About, Command string
	First              Metric
	Ratios             []*plot
	Strips             []*plot
	Curves             []*plot
	Table              *htmlTable
	Remarks            []string
}

// Anchor names the case's part of the page.
func (b caseBlock) Anchor() string { return strings.ReplaceAll(b.ID, "/", "-") }

// htmlTable is a grid whose first columns are heads of rows.
type htmlTable struct {
	Head  []string
	Names int
	Rows  [][]htmlCell
}

type htmlCell struct {
	Text, Note, Class string
	Head              bool
}

// HTML writes the page: one file that needs nothing else.
func (r *Report) HTML(w io.Writer) error {
	all := r.Summaries()
	p := page{
		Report: r, Headline: r.headline(), MachineLine: r.machineLine(), Warnings: r.warnings(), Legend: r.legend(), Faults: r.Unsound(),
		MemoryGiB: fmt.Sprintf("%.1f", float64(r.Machine.MemoryBytes)/(1<<30)), Sysctls: sorted(r.Machine.Sysctls),
	}
	goals := r.Goals()
	p.Tally = tally(goals)
	for _, g := range goals {
		class := map[Outcome]string{Met: "good", NotMet: "bad", Near: "same"}[g.Outcome]
		p.Goals = append(p.Goals, goalRow{g.Case, g.What, g.valueText(), g.boundText(), class, g.Outcome})
	}
	if g := inMarkdown.subjectRatios(all, r.Targets); g != nil {
		p.Ratios = append(p.Ratios, ratioTable{Subject + " over each of the others", tableOf(g)})
	}
	if g := inMarkdown.referenceRatios(all, r.Targets, r.Reference()); g != nil {
		p.Ratios = append(p.Ratios, ratioTable{"each over " + r.Reference(), tableOf(g)})
	}
	for i := range all {
		p.Cases = append(p.Cases, r.block(&all[i]))
	}
	if err := pageTemplate.Execute(w, p); err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}

func (r *Report) block(s *Summary) caseBlock {
	b := caseBlock{ID: s.Case.ID(), About: s.Case.About, Command: s.Case.Command, Remarks: r.remarks(s.Case.ID())}
	if len(s.Metrics) == 0 {
		return b
	}
	b.First = s.Metrics[0]
	axis := s.Metrics[0].Name + ", ratio (log scale)"
	for _, p := range []*plot{
		r.ratioPlot(s, Subject+" over each of the others", axis, s.bars(func(target string) (string, string) { return Subject, target }, Subject)),
		r.ratioPlot(s, "each over "+r.Reference(), axis, s.bars(func(target string) (string, string) { return target, r.Reference() }, r.Reference())),
	} {
		if p != nil {
			b.Ratios = append(b.Ratios, p)
		}
	}
	for i := range s.Metrics {
		if p := r.stripPlot(s, i); p != nil {
			b.Strips = append(b.Strips, p)
		}
	}
	b.Curves = append(r.memoryPlots(s), r.latencyPlots(s)...)
	b.Table = r.figureTable(s)
	return b
}

// bars are the ratios of the first metric for every target but one.
func (s *Summary) bars(pair func(target string) (a, b string), but string) (out []bar) {
	for _, row := range s.Rows {
		a, b := pair(row.Target)
		ratio, ok := s.Ratio(0, a, b)
		if row.Target != but && ok {
			out = append(out, bar{row.Target, ratio, s.rounds[0][a].over(s.rounds[0][b]).values()})
		}
	}
	return out
}

// tableOf a grid of ratios.
func tableOf(g *grid) *htmlTable {
	t := &htmlTable{Names: g.names}
	for _, c := range g.rows[0] {
		t.Head = append(t.Head, c.text)
	}
	for _, row := range g.rows[1:] {
		var cells []htmlCell
		for i, c := range row {
			text, note, _ := strings.Cut(c.text, ", ")
			cells = append(cells, htmlCell{Text: text, Note: note, Class: map[mood]string{good: "good", bad: "bad", faint: "same"}[c.mood], Head: i < g.names})
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

// figureTable has the medians with their ends, and the ratio to the reference below.
func (r *Report) figureTable(s *Summary) *htmlTable {
	t := &htmlTable{Names: 1, Head: []string{"median (lowest–highest)"}}
	for _, row := range s.Rows {
		t.Head = append(t.Head, row.Target)
	}
	for i, m := range s.Metrics {
		cells := []htmlCell{{Text: m.Label(), Head: true}}
		for _, row := range s.Rows {
			c := htmlCell{Text: "–", Class: "same"}
			if f := row.Figures[i]; f != nil {
				c = htmlCell{Text: inMarkdown.figure(m, f)}
			}
			if ratio, ok := s.Ratio(i, row.Target, r.Reference()); ok && row.Target != r.Reference() {
				c.Note = "× " + ratioText(ratio)
				c.Class = map[Verdict]string{Better: "good", Worse: "bad"}[ratio.judge(m.Better)]
			}
			cells = append(cells, c)
		}
		t.Rows = append(t.Rows, cells)
	}
	return t
}

func (r *Report) legend() (out []mark) {
	for _, t := range r.Targets {
		d := newDrawing(16, 16)
		look := r.look(t.Name)
		d.mark("dot "+colour(look), look, 8, 8, 5)
		out = append(out, mark{t, d.done(t.Name)})
	}
	return out
}

func sorted(m map[string]string) (out [][2]string) {
	for k, v := range m {
		out = append(out, [2]string{k, v})
	}
	slices.SortFunc(out, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return out
}

// Date is the day of the run.
func (p page) Date() string { return p.Setup.Began.UTC().Format(time.DateOnly) }
