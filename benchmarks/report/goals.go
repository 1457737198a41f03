package report

import (
	"fmt"
	"slices"
)

// Goal is one of the figures that longsplice sets itself, judged on one case.
type Goal struct {
	Case    string  `json:"case"`
	What    string  `json:"what"`
	Value   float64 `json:"value"`
	Noise   float64 `json:"noise"` // -1: one round, not known
	Bound   float64 `json:"bound"`
	AtLeast bool    `json:"at_least"` // the bound is a lowest value, else a highest
	Outcome Outcome `json:"outcome"`
}

// Outcome of a goal.
type Outcome string

// The outcomes.
const (
	Met    Outcome = "met"
	NotMet Outcome = "not met"
	Near   Outcome = "within noise" // of its bound: measure more rounds
)

// rule says what is wanted of a workload's figure: its ratio to a rival, or to the best one, or itself.
type rule struct {
	workload string // or paced
	metric   string
	rivals   []string // the best of them is the one to compare with; none: the figure itself
	bound    float64
	atLeast  bool
}

// peers are the balancers that the best peer is taken from; direct and dnat are limits and no balancers.
var peers = []string{"haproxy", "haproxy-1m", "nginx", "iocopy"}

var rules = []rule{
	{"bulk", "CPU s per GB", []string{"haproxy"}, 0.40, false},
	{"bulk", "CPU s per GB", []string{"haproxy-1m"}, 0.90, false},
	{"echo", "messages per CPU s", peers, 1.20, true},
	{"churn", "sessions per CPU s", peers, 1.15, true},
	{"churn", "system calls per session", nil, 14, false},
	{paced, "p99.9", peers, 1.00, false},
	{"idle", "RSS per session", nil, 256, false},
}

// Goals judges what was measured; a goal whose figures are missing is left out.
func (r *Report) Goals() (out []Goal) {
	for _, s := range r.Summaries() {
		for _, rule := range rules {
			if g, ok := s.judge(rule); ok {
				out = append(out, g)
			}
		}
	}
	return out
}

func (s *Summary) judge(rule rule) (g Goal, ok bool) {
	metric := s.metric(rule.metric)
	if s.Case.kind() != rule.workload || metric < 0 {
		return g, false
	}
	if rule.rivals == nil {
		row, _ := s.Row(Subject)
		if row == nil || row.Figures[metric] == nil {
			return g, false
		}
		f := row.Figures[metric]
		return rule.outcome(s.Case, s.Metrics[metric].Label(), f.Spread, f.Noise), true
	}
	rival := s.best(metric, rule.rivals)
	ratio, ok := s.Ratio(metric, Subject, rival)
	if !ok {
		return g, false
	}
	what := fmt.Sprintf("%s over %s's", rule.metric, rival)
	if len(rule.rivals) > 1 {
		what += " (best peer)"
	}
	return rule.outcome(s.Case, what, ratio.Spread, ratio.noise), true
}

// outcome judges a value with a relative noise.
func (u rule) outcome(c Case, what string, value Spread, noise float64) Goal {
	// How far the value is from its bound is a ratio like any other.
	from := Ratio{Spread{Rounds: value.Rounds, Median: value.Median / u.bound}, noise}
	g := Goal{Case: c.ID(), What: what, Value: value.Median, Noise: from.Noise() * u.bound, Bound: u.bound, AtLeast: u.atLeast}
	switch {
	case from.judge(Neither) == Same:
		g.Outcome = Near
	case value.Median == u.bound || (value.Median > u.bound) == u.atLeast:
		g.Outcome = Met
	default:
		g.Outcome = NotMet
	}
	if !from.Known() {
		g.Noise = -1
	}
	return g
}

// best names the target with the best median of a metric; "" if none was measured.
func (s *Summary) best(metric int, among []string) (name string) {
	var top float64
	for _, row := range s.Rows {
		f := row.Figures[metric]
		if f == nil || !slices.Contains(among, row.Target) {
			continue
		}
		if name == "" || (f.Median > top) == (s.Metrics[metric].Better == Higher) && f.Median != top {
			name, top = row.Target, f.Median
		}
	}
	return name
}

// metric is the place of the named figure, -1 if nobody has it.
func (s *Summary) metric(name string) int {
	return slices.IndexFunc(s.Metrics, func(m Metric) bool { return m.Name == name })
}
