package report

import (
	"maps"
	"slices"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// Summary is what the sound rounds of one case came to.
type Summary struct {
	Case    Case
	Metrics []Metric // those that at least one target has a figure for
	Rows    []Row    // in the order of the report's targets; targets that were not measured are left out
	rounds  []map[string]byRound
}

// Row is one target in a case.
type Row struct {
	Target  string
	Figures []*Figure // as many as there are metrics; nil where there is none
	Rounds  int       // measured
	Faults  []string  // one for each round that was not sound and is left out
}

// Figure is a metric's value over the rounds.
type Figure struct {
	Spread
	Noise  float64 // of the median, relative; +Inf if one round
	Values []Point // by round
}

// Point is one round's value.
type Point struct {
	Round int
	Value float64
}

// Summaries are the report's cases in their order, those without a run included.
func (r *Report) Summaries() []Summary {
	var out []Summary
	for _, c := range r.Cases {
		out = append(out, r.summarise(c))
	}
	return out
}

func (r *Report) summarise(c Case) Summary {
	s := Summary{Case: c}
	for _, m := range r.metrics(c) {
		values := r.values(c.ID(), m)
		if len(values) > 0 {
			s.Metrics = append(s.Metrics, m)
			s.rounds = append(s.rounds, values)
		}
	}
	for _, t := range r.Targets {
		if row, measured := r.row(&s, t.Name); measured {
			s.Rows = append(s.Rows, row)
		}
	}
	return s
}

// metrics are the case's, with those of the classes of sessions that its results tell apart.
func (r *Report) metrics(c Case) []Metric {
	classes := classMetrics(r.results(c.ID()))
	if c.Workload == "mixed" {
		return join(classes, c.Metrics())
	}
	return join(c.Metrics(), classes)
}

// results are those of a case, sound or not.
func (r *Report) results(caseID string) (out []*load.Result) {
	for _, run := range r.Runs {
		if run.Case == caseID && run.Result != nil {
			out = append(out, run.Result)
		}
	}
	return out
}

// values are a metric's sound values by target and round.
func (r *Report) values(caseID string, m Metric) map[string]byRound {
	out := map[string]byRound{}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Case != caseID || !run.Sound() {
			continue
		}
		if v, ok := m.Of(run.Result); ok {
			if out[run.Target] == nil {
				out[run.Target] = byRound{}
			}
			out[run.Target][run.Round] = v
		}
	}
	return out
}

func (r *Report) row(s *Summary, target string) (row Row, measured bool) {
	row = Row{Target: target, Figures: make([]*Figure, len(s.Metrics))}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.Case != s.Case.ID() || run.Target != target {
			continue
		}
		row.Rounds++
		if fault := run.Fault(); fault != "" {
			row.Faults = append(row.Faults, fault)
		}
	}
	for i := range s.Metrics {
		row.Figures[i] = s.figure(i, target)
	}
	return row, row.Rounds > 0
}

func (s *Summary) figure(metric int, target string) *Figure {
	of := s.rounds[metric][target]
	spread, ok := spreadOf(of.values())
	if !ok {
		return nil
	}
	f := &Figure{Spread: spread, Noise: spread.noise(s.typical(metric, nil))}
	for round, v := range of {
		f.Values = append(f.Values, Point{round, v})
	}
	slices.SortFunc(f.Values, func(a, b Point) int { return a.Round - b.Round })
	return f
}

// Ratio is a's figure over b's, round by round; ok is false if there is no round in which both have one.
func (s *Summary) Ratio(metric int, a, b string) (r Ratio, ok bool) {
	if metric >= len(s.rounds) { // nothing was measured
		return r, false
	}
	of := s.rounds[metric]
	spread, ok := spreadOf(of[a].over(of[b]).values())
	if !ok {
		return r, false
	}
	if a == b {
		return Ratio{spread, 0}, true
	}
	return Ratio{spread, spread.noise(s.typical(metric, of[b]))}, true
}

// typical is the typical width of the targets' values, or of their ratios to another one's.
func (s *Summary) typical(metric int, to byRound) float64 {
	var all []byRound
	for _, values := range s.rounds[metric] {
		if to == nil {
			all = append(all, values)
		} else if !maps.Equal(values, to) {
			all = append(all, values.over(to))
		}
	}
	return typicalWidth(all)
}

// Row finds a target's row.
func (s *Summary) Row(target string) (*Row, bool) {
	i := slices.IndexFunc(s.Rows, func(r Row) bool { return r.Target == target })
	if i < 0 {
		return nil, false
	}
	return &s.Rows[i], true
}
