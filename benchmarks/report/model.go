// Package report holds what a benchmark run found: the model that is saved as report.json, the figures of each workload,
// medians with their noise, and the ways to show them: terminal table, Markdown, a page with plots, a comparison of two.
//
// A Report is filled by benchmarks/run, one Run after another, and only read here. It is not for concurrent use.
package report

import (
	"slices"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// Schema is the version of report.json that this package writes. It grows when a reader of the older one would
// misunderstand a file; new optional fields leave it as it is.
const Schema = 1

// DefaultReference is the target that ratios are taken against where a Setup names none.
const DefaultReference = "haproxy"

// Subject is the target whose goals are judged, and which the first ratios are about.
const Subject = "longsplice"

// Report is everything that a results folder says. Runs are in the order in which they were measured.
type Report struct {
	Schema  int       `json:"schema"`
	Machine Machine   `json:"machine"`
	Setup   Setup     `json:"setup"`
	Targets []Target  `json:"targets"`
	Missing []Missing `json:"missing,omitempty"`
	Cases   []Case    `json:"cases"`
	Runs    []Run     `json:"runs"`
}

// Machine is what was measured on.
type Machine struct {
	Kernel      string            `json:"kernel"`
	CPU         string            `json:"cpu"` // model name
	CPUs        int               `json:"cpus"`
	MemoryBytes uint64            `json:"memory_bytes"`
	Sysctls     map[string]string `json:"sysctls,omitempty"` // those that move the figures, as the kernel writes them
	OpenFiles   uint64            `json:"open_files"`        // hard limit of RLIMIT_NOFILE
}

// Setup is how it was measured.
type Setup struct {
	Began        time.Time `json:"began"`
	Ended        time.Time `json:"ended,omitzero"`
	Command      string    `json:"command"` // of the whole run
	Version      string    `json:"version"` // of longsplice-bench
	Go           string    `json:"go"`
	Commit       string    `json:"commit,omitempty"`
	Rounds       int       `json:"rounds"`            // asked for; a run that was stopped has fewer
	Threads      int       `json:"threads,omitempty"` // of each balancer
	BalancerCPUs string    `json:"balancer_cpus"`     // as taskset(1) writes them: "0", "0-3"
	LoadCPUs     string    `json:"load_cpus"`
	Backends     int       `json:"backends"`            // addresses that the backend serves on
	Reference    string    `json:"reference,omitempty"` // target that ratios are taken against; "": DefaultReference
	Stopped      string    `json:"stopped,omitempty"`   // why the run ended before it was through
}

// Target is one thing that was measured.
type Target struct {
	Name       string `json:"name"`
	About      string `json:"about"`
	Version    string `json:"version,omitempty"`
	Command    string `json:"command,omitempty"`
	ConfigName string `json:"config_name,omitempty"` // base name of its file
	Config     string `json:"config,omitempty"`      // its text
}

// Missing is a target that could not take part.
type Missing struct {
	Target string `json:"target"`
	Why    string `json:"why"`
}

// Case is one load that every target was put under.
type Case struct {
	Scenario string `json:"scenario"`
	Name     string `json:"name"`
	About    string `json:"about"`
	Workload string `json:"workload"`
	Command  string `json:"command"` // of the load generator
}

// ID names a case: "echo/64".
func (c Case) ID() string { return c.Scenario + "/" + c.Name }

// Run is one measurement: a fresh target under a fresh load.
type Run struct {
	Round  int          `json:"round"` // from 1
	Case   string       `json:"case"`  // its ID
	Target string       `json:"target"`
	Began  time.Time    `json:"began,omitzero"`
	Result *load.Result `json:"result,omitempty"`
	Error  string       `json:"error,omitempty"` // why there is no result: the target or the load did not work
	// Foreign is how many processors everything else on the machine kept busy meanwhile: programs that are no part of the
	// measurement, and what the hypervisor gave to others. 0.1 or more is noise.
	Foreign float64 `json:"foreign,omitempty"`
}

// Sound says whether the run's figures may be used: every byte was right and no session was lost.
func (r *Run) Sound() bool { return r.Error == "" && r.Result != nil && r.Result.Sound() }

// Fault says in a line what was wrong with an unsound run, "" for a sound one.
func (r *Run) Fault() string {
	switch {
	case r.Sound():
		return ""
	case r.Error != "":
		return r.Error
	case r.Result == nil:
		return "no result"
	}
	return faultOf(r.Result)
}

// Unsound are the runs whose figures are left out.
func (r *Report) Unsound() (out []Run) {
	for _, run := range r.Runs {
		if !run.Sound() {
			out = append(out, run)
		}
	}
	return out
}

// Reference is the name of the target that ratios are taken against.
func (r *Report) Reference() string {
	if r.Setup.Reference == "" {
		return DefaultReference
	}
	return r.Setup.Reference
}

func (r *Report) caseByID(id string) (Case, bool) {
	i := slices.IndexFunc(r.Cases, func(c Case) bool { return c.ID() == id })
	if i < 0 {
		return Case{}, false
	}
	return r.Cases[i], true
}
