package report

import (
	"fmt"
	"math"
	"slices"
)

// Comparison is what lies between two reports.
type Comparison struct {
	Warnings []string `json:"warnings,omitempty"` // why the two may not be comparable
	Compared int      `json:"compared"`           // figures that both have
	Moves    []Move   `json:"moves,omitempty"`    // those beyond the noise
	Unknown  []Move   `json:"unknown,omitempty"`  // those of a single round on one side or both: no noise is known
	Added    []string `json:"added,omitempty"`    // cases, targets and figures that only the new one has
	Vanished []string `json:"vanished,omitempty"`

	subject bool // both have longsplice
}

// Move is one figure in both reports. Old and New are medians; Change is New over Old, or, ByRatio, the same of the
// figures' ratios to the reference: those cancel out what the machine did on the two days.
type Move struct {
	Case    string  `json:"case"`
	Target  string  `json:"target"`
	Metric  string  `json:"metric"`
	First   bool    `json:"first"` // it is the case's figure to compare
	ByRatio bool    `json:"by_ratio"`
	Old     float64 `json:"old"`
	New     float64 `json:"new"`
	Change  float64 `json:"change"`
	Noise   float64 `json:"noise"` // of Change; -1: not known
	Result  string  `json:"result"`

	verdict Verdict
}

// Worse are the moves that matter for a decision: the cases' first figures that got worse, of longsplice where both
// reports have it, else of any target. Other figures are many: one of 20 may move by chance.
func (c *Comparison) Worse() (out []Move) {
	for _, m := range c.Moves {
		if m.First && m.verdict == Worse {
			out = append(out, m)
		}
	}
	if c.subject {
		out = slices.DeleteFunc(out, func(m Move) bool { return m.Target != Subject })
	}
	return out
}

// Compare says what moved from one report to the other. Reports may be partial.
func Compare(from, to *Report) *Comparison {
	c := &comparer{from: from, to: to, out: &Comparison{}}
	c.out.Warnings = differences(from, to)
	c.byRatio = c.referenceStays()
	c.out.subject = from.has(Subject) && to.has(Subject)
	c.targets()
	c.cases()
	return c.out
}

func (r *Report) has(target string) bool {
	return slices.ContainsFunc(r.Targets, func(t Target) bool { return t.Name == target })
}

type comparer struct {
	from, to *Report
	byRatio  bool
	out      *Comparison
}

// referenceStays says whether ratios to the reference mean the same in both.
func (c *comparer) referenceStays() bool {
	name := c.to.Reference()
	a, b := c.from.target(name), c.to.target(name)
	return c.from.Reference() == name && a != nil && b != nil && *a == *b
}

func (r *Report) target(name string) *Target {
	i := slices.IndexFunc(r.Targets, func(t Target) bool { return t.Name == name })
	if i < 0 {
		return nil
	}
	return &r.Targets[i]
}

func (c *comparer) targets() {
	for _, t := range c.to.Targets {
		if !c.from.has(t.Name) {
			c.out.Added = append(c.out.Added, "target "+t.Name)
		}
	}
	for _, t := range c.from.Targets {
		if !c.to.has(t.Name) {
			c.out.Vanished = append(c.out.Vanished, "target "+t.Name)
		}
	}
}

func (c *comparer) cases() {
	olds := c.from.Summaries()
	for _, s := range c.to.Summaries() {
		i := slices.IndexFunc(olds, func(o Summary) bool { return o.Case.ID() == s.Case.ID() })
		if i < 0 {
			c.out.Added = append(c.out.Added, "case "+s.Case.ID())
			continue
		}
		c.figures(&olds[i], &s)
	}
	for _, o := range olds {
		if _, there := c.to.caseByID(o.Case.ID()); !there {
			c.out.Vanished = append(c.out.Vanished, "case "+o.Case.ID())
		}
	}
}

// figures compares one case of both.
func (c *comparer) figures(from, to *Summary) {
	for i, m := range to.Metrics {
		for _, row := range to.Rows {
			if m.Better == Neither || !c.from.has(row.Target) || row.Figures[i] == nil {
				continue
			}
			j := from.metric(m.Name)
			if j < 0 || from.rounds[j][row.Target] == nil {
				c.out.Added = append(c.out.Added, fmt.Sprintf("%s of %s: %s", to.Case.ID(), row.Target, m.Name))
				continue
			}
			c.move(from, to, j, i, row.Target)
		}
	}
	for j, m := range from.Metrics {
		for _, row := range from.Rows {
			if m.Better == Neither || !c.to.has(row.Target) || row.Figures[j] == nil {
				continue
			}
			if i := to.metric(m.Name); i < 0 || to.rounds[i][row.Target] == nil {
				c.out.Vanished = append(c.out.Vanished, fmt.Sprintf("%s of %s: %s", from.Case.ID(), row.Target, m.Name))
			}
		}
	}
}

func (c *comparer) move(from, to *Summary, j, i int, target string) {
	a, b := from.figure(j, target), to.figure(i, target)
	m := Move{Case: to.Case.ID(), Target: target, Metric: to.Metrics[i].Label(), First: i == 0, Old: a.Median, New: b.Median}
	before, after := Ratio{a.Spread, a.Noise}, Ratio{b.Spread, b.Noise} // not over anything: over 1
	if c.byRatio && target != c.to.Reference() {
		x, ok1 := from.Ratio(j, target, c.to.Reference())
		y, ok2 := to.Ratio(i, target, c.to.Reference())
		if ok1 && ok2 && x.Median > 0 && y.Median > 0 {
			before, after, m.ByRatio = x, y, true
		}
	}
	c.out.Compared++
	change, ok := changeOf(before, after)
	if !ok {
		if a.Median != b.Median { // from zero, or to it: no ratio says how much
			m.verdict, m.Noise = Different, -1
			c.out.keep(m)
		}
		return
	}
	m.Change, m.verdict = change.Median, change.judge(to.Metrics[i].Better)
	if m.Noise = -1; change.Known() {
		m.Noise = change.Noise()
	}
	c.out.keep(m)
}

// changeOf is after over before; their noises add up as squares do.
func changeOf(before, after Ratio) (Ratio, bool) {
	if before.Median <= 0 || after.Median <= 0 {
		return Ratio{}, false
	}
	return Ratio{Spread{Median: after.Median / before.Median}, math.Hypot(before.noise, after.noise)}, true
}

func (c *Comparison) keep(m Move) {
	m.Result = m.verdict.String()
	switch m.verdict {
	case Unknown:
		c.Unknown = append(c.Unknown, m)
	case Better, Worse, Different:
		c.Moves = append(c.Moves, m)
	}
}
