package compare

import (
	"cmp"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/peers"
	"golang.org/x/sys/unix"
)

// Report is what a comparison found, and on what.
type Report struct {
	Machine   Machine           `json:"machine"`
	Rounds    int               `json:"rounds"`
	Targets   []TargetInfo      `json:"targets"`
	Missing   map[string]string `json:"missing,omitempty"` // target: why
	Scenarios []Table           `json:"scenarios"`
	Goals     []Goal            `json:"goals,omitempty"`
	Foreign   float64           `json:"foreign"` // share of the balancer's processor that others used, median over runs
	Runs      []Run             `json:"runs"`

	specs []Scenario
}

// Machine is where and when.
type Machine struct {
	Date        string `json:"date"`
	Kernel      string `json:"kernel"`
	CPU         string `json:"cpu"`
	CPUs        int    `json:"cpus"`
	MemoryMiB   uint64 `json:"memory_mib"`
	Go          string `json:"go"`
	Commit      string `json:"commit,omitempty"`
	BalancerCPU int    `json:"balancer_cpu"`
	LoadCPU     int    `json:"load_cpu"`
	Backends    int    `json:"backends"`
}

// TargetInfo describes one target that took part.
type TargetInfo struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Version string   `json:"version,omitempty"`
	Command []string `json:"command,omitempty"`
	Config  string   `json:"config,omitempty"` // template with example addresses
}

// Table is one scenario's summary.
type Table struct {
	Name    string   `json:"name"`
	About   string   `json:"about"`
	Load    []string `json:"load"`
	Metrics []string `json:"metrics"`
	Rows    []Row    `json:"rows"`
}

// Row is one target in a table; Figures are in the order of the table's metrics, nil where a metric has no meaning.
type Row struct {
	Target  string    `json:"target"`
	Figures []*Figure `json:"figures"`
	Unsound int       `json:"unsound,omitempty"` // rounds without a result, or with wrong bytes or lost sessions
}

// Figure is the median over the rounds that were sound, with the spread.
type Figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func newReport(cfg Config) *Report {
	return &Report{Machine: describeMachine(cfg), Rounds: cfg.Rounds, Missing: map[string]string{}, specs: cfg.Scenarios}
}

// present notes which targets take part and returns them.
func (r *Report) present(all []Target, say func(string)) []Target {
	var there []Target
	for _, t := range all {
		if why := t.missing(); why != "" {
			r.Missing[t.Name] = why
			say("left out: " + t.Name + ": " + why)
			continue
		}
		r.Targets = append(r.Targets, describeTarget(t))
		there = append(there, t)
	}
	return there
}

func describeTarget(t Target) TargetInfo {
	info := TargetInfo{Name: t.Name, About: t.About, Version: t.versionLine()}
	if t.config != "" {
		info.Command = append([]string{t.program}, t.args...)
		text, err := peers.Render(t.config, exampleData)
		if err == nil {
			info.Config = string(text)
		}
	}
	return info
}

func (r *Report) add(run Run) { r.Runs = append(r.Runs, run) }

// Unsound counts the measurements without a result, with wrong bytes or with lost sessions.
func (r *Report) Unsound() (n int) {
	for _, t := range r.Scenarios {
		for _, row := range t.Rows {
			n += row.Unsound
		}
	}
	return n
}

// finish computes the tables and the goals.
func (r *Report) finish() {
	for _, sc := range r.specs {
		t := Table{Name: sc.Name, About: sc.About, Load: sc.Load}
		for _, m := range sc.Metrics {
			t.Metrics = append(t.Metrics, m.Name)
		}
		for _, target := range r.Targets {
			if row, any := r.row(sc, target.Name); any && !row.empty() {
				t.Rows = append(t.Rows, row)
			}
		}
		r.Scenarios = append(r.Scenarios, t)
	}
	r.Goals = goals(r)
	r.Foreign = r.foreign()
}

// foreign: the balancer's processor was meant to be its own. Who shares it also batches more per wake-up, so that even
// CPU per unit is not what it would be on a quiet machine. Kernel threads and interrupts count as others.
func (r *Report) foreign() float64 {
	var shares []float64
	for _, run := range r.Runs {
		if run.Result != nil && r.Machine.BalancerCPU < len(run.Result.CPU.Busy) && r.Machine.BalancerCPU != r.Machine.LoadCPU {
			others := run.Result.CPU.Busy[r.Machine.BalancerCPU] - run.Result.CPU.Target
			shares = append(shares, max(others, 0)/run.Result.Seconds)
		}
	}
	if f := summarise(shares); f != nil {
		return f.Median
	}
	return 0
}

func (r *Report) row(sc Scenario, target string) (row Row, any bool) {
	row = Row{Target: target, Figures: make([]*Figure, len(sc.Metrics))}
	values := make([][]float64, len(sc.Metrics))
	for _, run := range r.Runs {
		if run.Scenario != sc.Name || run.Target != target {
			continue
		}
		any = true
		if run.Result == nil || !run.Result.Sound() {
			row.Unsound++
			continue
		}
		for i, m := range sc.Metrics {
			if v, ok := m.Of(run.Result); ok {
				values[i] = append(values[i], v)
			}
		}
	}
	for i, v := range values {
		row.Figures[i] = summarise(v)
	}
	return row, any
}

// empty: nothing to say, such as a balancer's memory without a balancer.
func (row *Row) empty() bool {
	return row.Unsound == 0 && !slices.ContainsFunc(row.Figures, func(f *Figure) bool { return f != nil })
}

// summarise returns nil for no values; the median of an even number is the mean of the middle two.
func summarise(v []float64) *Figure {
	if len(v) == 0 {
		return nil
	}
	v = slices.Sorted(slices.Values(v))
	return &Figure{Median: (v[(len(v)-1)/2] + v[len(v)/2]) / 2, Min: v[0], Max: v[len(v)-1]}
}

// figure finds the median of a scenario's first metric.
func (r *Report) figure(scenario, target string) (float64, bool) {
	for _, t := range r.Scenarios {
		for _, row := range t.Rows {
			if t.Name == scenario && row.Target == target && row.Figures[0] != nil {
				return row.Figures[0].Median, true
			}
		}
	}
	return 0, false
}

func describeMachine(cfg Config) Machine {
	m := Machine{
		Date: time.Now().UTC().Format(time.DateTime) + " UTC", CPUs: runtime.NumCPU(), Go: runtime.Version(),
		BalancerCPU: cfg.BalancerCPU, LoadCPU: cfg.LoadCPU, Backends: cfg.Backends,
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		m.MemoryMiB = s.Totalram * uint64(s.Unit) >> 20
	}
	m.CPU = cpuModel()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, set := range info.Settings {
			if set.Key == "vcs.revision" {
				m.Commit = set.Value
			}
		}
	}
	return m
}

// cpuModel is the first "model name" of /proc/cpuinfo; arm64 has none, there it is the architecture.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return cmp.Or(runtime.GOARCH, "unknown")
}
