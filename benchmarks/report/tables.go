package report

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// wording is what differs between the terminal and Markdown.
type wording struct {
	verdict func(Verdict) string
	missing string // of a ratio
	figure  func(Metric, *Figure) string
}

// onTerminal is narrow: a sign for a verdict, three digits and the noise for a figure.
var onTerminal = wording{
	verdict: func(v Verdict) string { return [...]string{" ?", "  ", " +", " -", " *"}[v] },
	missing: nothing + "  ", // in line with the others
	figure: func(_ Metric, f *Figure) string {
		return figureText(f)
	},
}

// figureText is "66.1k ±6%"; a figure around zero has no relative noise.
func figureText(f *Figure) string {
	if f.Min <= 0 {
		return short(f.Median)
	}
	return strings.TrimRight(short(f.Median)+" "+percent(f.Noise), " ")
}

// inMarkdown has room for words and for the lowest and highest round.
var inMarkdown = wording{
	verdict: func(v Verdict) string { return ", " + v.String() },
	missing: nothing,
	figure: func(m Metric, f *Figure) string {
		if f.Rounds == 1 {
			return m.Text(f.Median)
		}
		return fmt.Sprintf("%s (%s–%s)", m.Text(f.Median), m.Text(f.Min), m.Text(f.Max))
	},
}

// subjectRatios: one row a case, one column a target, the subject's first figure over the target's.
func (w wording) subjectRatios(all []Summary, targets []Target) *grid {
	return w.ratios(all, targets, Subject, func(s *Summary, target string) (Ratio, bool) { return s.Ratio(0, Subject, target) })
}

// referenceRatios: one row a case, one column a target, the target's first figure over the reference's.
func (w wording) referenceRatios(all []Summary, targets []Target, reference string) *grid {
	return w.ratios(all, targets, reference, func(s *Summary, target string) (Ratio, bool) { return s.Ratio(0, target, reference) })
}

// ratios leaves out targets and cases without any; nil if nothing is left.
func (w wording) ratios(all []Summary, targets []Target, but string, of func(*Summary, string) (Ratio, bool)) *grid {
	var names []string
	for _, t := range targets {
		has := func(s Summary) bool { _, ok := of(&s, t.Name); return ok }
		if t.Name != but && slices.ContainsFunc(all, has) {
			names = append(names, t.Name)
		}
	}
	g := &grid{names: 2}
	g.add(words(append([]string{"case", "figure"}, names...)...)...)
	for _, s := range all {
		if len(s.Metrics) == 0 {
			continue
		}
		row, any := words(s.Case.ID(), s.Metrics[0].Name+" "+arrow(s.Metrics[0].Better)), false
		row[0].mood = strong
		for _, name := range names {
			r, ok := of(&s, name)
			any = any || ok
			row = append(row, w.ratio(r, ok, s.Metrics[0].Better))
		}
		if any {
			g.add(row...)
		}
	}
	if len(g.rows) == 1 {
		return nil
	}
	return g
}

func (w wording) ratio(r Ratio, ok bool, better Direction) cell {
	if !ok {
		return cell{w.missing, faint}
	}
	v := r.judge(better)
	return cell{ratioText(r) + w.verdict(v), moodOf(v)}
}

// arrow says which way is better.
func arrow(d Direction) string { return [...]string{"↓", "↑", ""}[d] }

// figures: one row a metric, one column a target.
func (w wording) figures(s *Summary) *grid {
	g := &grid{names: 1}
	head := words("")
	for _, row := range s.Rows {
		head = append(head, cell{text: row.Target})
	}
	g.add(head...)
	for i, m := range s.Metrics {
		line := words(m.Label())
		for _, row := range s.Rows {
			if f := row.Figures[i]; f != nil {
				line = append(line, cell{text: w.figure(m, f)})
			} else {
				line = append(line, cell{nothing, faint})
			}
		}
		g.add(line...)
	}
	return g
}

func goalGrid(goals []Goal) *grid {
	g := &grid{names: 2}
	g.add(words("case", "goal", "value", "bound", "")...)
	for _, goal := range goals {
		m := map[Outcome]mood{Met: good, NotMet: bad, Near: faint}[goal.Outcome]
		row := words(goal.Case, goal.What, goal.valueText(), goal.boundText())
		g.add(append(row, cell{string(goal.Outcome), m})...)
	}
	return g
}

func (g Goal) valueText() string {
	if g.Noise < 0 {
		return number(g.Value)
	}
	if g.Value < 10 {
		return fmt.Sprintf("%.2f ±%.2f", g.Value, g.Noise)
	}
	return number(g.Value) + " ±" + number(g.Noise)
}

func (g Goal) boundText() string {
	if g.AtLeast {
		return "≥ " + strconv.FormatFloat(g.Bound, 'f', -1, 64)
	}
	return "≤ " + strconv.FormatFloat(g.Bound, 'f', -1, 64)
}

// tally is "5 of 8 met, 1 within noise".
func tally(goals []Goal) string {
	count := map[Outcome]int{}
	for _, g := range goals {
		count[g.Outcome]++
	}
	text := fmt.Sprintf("%d of %d met", count[Met], len(goals))
	if n := count[Near]; n > 0 {
		text += fmt.Sprintf(", %d within noise", n)
	}
	return text
}

// headline says when, what and how long.
func (r *Report) headline() string {
	text := fmt.Sprintf("%s: %s, %s, %s", r.Setup.Began.UTC().Format("2006-01-02 15:04 UTC"),
		plural(len(r.Cases), "case"), plural(len(r.Targets), "target"), plural(r.Setup.Rounds, "round"))
	if took := r.Setup.Ended.Sub(r.Setup.Began); !r.Setup.Ended.IsZero() {
		text += ", " + took.Round(time.Second).String()
	}
	return text
}

// machineLine says on what.
func (r *Report) machineLine() string {
	m := r.Machine
	return fmt.Sprintf("%s; %d × %s; %.1f GiB; balancer on CPU %s, load and backend on CPU %s",
		m.Kernel, m.CPUs, m.CPU, float64(m.MemoryBytes)/(1<<30), r.Setup.BalancerCPUs, r.Setup.LoadCPUs)
}

// quiet is how many processors other programs may use, in the median of all measurements, before the report warns.
const quiet = 0.1

// warnings are what to know before the figures.
func (r *Report) warnings() (out []string) {
	if r.Setup.Stopped != "" {
		out = append(out, "stopped before the end: "+r.Setup.Stopped)
	}
	if n := len(r.Unsound()); n > 0 {
		out = append(out, fmt.Sprintf("%d of %d measurements were not sound and are left out", n, len(r.Runs)))
	}
	if n := len(r.limited("")); n > 0 {
		out = append(out, fmt.Sprintf("in %s the harness was the limit", plural(n, "measurement")))
	}
	var foreign []float64
	for _, run := range r.Runs {
		foreign = append(foreign, run.Foreign)
	}
	if s, _ := spreadOf(foreign); s.Median > quiet {
		out = append(out, fmt.Sprintf("other programs kept %.2f processors busy (median of the measurements): small differences say nothing", s.Median))
	}
	for _, m := range r.Missing {
		out = append(out, m.Target+" is missing: "+m.Why)
	}
	return out
}

// limited are the runs of a case ("": of all) in which the harness was the limit.
func (r *Report) limited(caseID string) (out []Run) {
	for _, run := range r.Runs {
		if run.Result != nil && run.Result.Limited != "" && (caseID == "" || run.Case == caseID) {
			out = append(out, run)
		}
	}
	return out
}

// remarks are what to know about a case: rounds that are left out, or that say more about the harness.
func (r *Report) remarks(caseID string) (out []string) {
	for _, run := range r.Runs {
		if fault := run.Fault(); fault != "" && run.Case == caseID {
			out = append(out, fmt.Sprintf("%s, round %d, is left out: %s", run.Target, run.Round, fault))
		}
	}
	for _, run := range r.limited(caseID) {
		out = append(out, fmt.Sprintf("%s, round %d, is limited by the harness: %s", run.Target, run.Round, run.Result.Limited))
	}
	return append(out, r.notes(caseID)...)
}

// notes are each note once, with those it is about.
func (r *Report) notes(caseID string) (out []string) {
	var order []string
	about := map[string][]string{}
	for _, run := range r.Runs {
		if run.Case != caseID || run.Result == nil {
			continue
		}
		for _, n := range run.Result.Notes {
			if _, seen := about[n]; !seen {
				order = append(order, n)
			}
			if !slices.Contains(about[n], run.Target) {
				about[n] = append(about[n], run.Target)
			}
		}
	}
	for _, n := range order {
		out = append(out, strings.Join(about[n], ", ")+": "+n)
	}
	return out
}
