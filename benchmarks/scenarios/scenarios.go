// Package scenarios holds what the benchmarks put balancers through: TOML files that come with the program, each opening
// with its purpose, and the parser of such files, for those of users too. Functions are stateless and may be called from
// any goroutine.
package scenarios

import (
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed *.toml
var files embed.FS

// Scenario is one file: cases that answer one question.
type Scenario struct {
	Name    string
	Purpose string
	Cases   []Case
}

// Case is one load, measured on every target.
type Case struct {
	Scenario string
	Name     string
	About    string
	Set      Set
	Workload string // a subcommand of longsplice-bench load
	Serve    string // the mode of longsplice-bench serve
	Spread   bool   // connect from several source addresses: for short sessions, whose ports rest after them
	Apart    bool   // each backend address is a process of its own, so that one can die
	Load     []Flag // flags of the workload

	file  string
	lines lineIndex
	path  string // of the case's table in the file
}

// Set says which run a case belongs to: the short set is part of the full one.
type Set string

// The sets.
const (
	Short Set = "short"
	Full  Set = "full"
)

// ID names a case among all: "echo/64".
func (c *Case) ID() string { return c.Scenario + "/" + c.Name }

// All are the scenarios that come with the program, in the order in which they tell their story.
func All() ([]Scenario, error) {
	var all []Scenario
	for _, name := range []string{"idle", "echo", "push", "bulk", "churn", "storm", "slow", "mixed"} {
		text, err := files.ReadFile(name + ".toml")
		if err != nil {
			return nil, fmt.Errorf("read scenario: %w", err)
		}
		s, err := Parse(name+".toml", text)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Choose returns the cases that the words name: SCENARIO, SCENARIO/CASE or a FILE.toml, each once, in the order of the
// words. Without words they are the short set, or with full all.
func Choose(words []string, full bool) ([]Case, error) {
	all, err := All()
	if err != nil {
		return nil, err
	}
	var chosen []Case
	for _, word := range words {
		cases, err := named(all, word)
		if err != nil {
			return nil, err
		}
		for _, c := range cases {
			if !slices.ContainsFunc(chosen, func(x Case) bool { return x.ID() == c.ID() }) {
				chosen = append(chosen, c)
			}
		}
	}
	if len(words) == 0 {
		for _, s := range all {
			chosen = append(chosen, s.Cases...)
		}
		chosen = slices.DeleteFunc(chosen, func(c Case) bool { return c.Set != Short && !full })
	}
	return chosen, nil
}

func named(all []Scenario, word string) ([]Case, error) {
	if strings.HasSuffix(word, ".toml") {
		text, err := os.ReadFile(word)
		if err != nil {
			return nil, fmt.Errorf("read scenario: %w", err)
		}
		s, err := Parse(filepath.Clean(word), text)
		return s.Cases, err
	}
	scenario, name, one := strings.Cut(word, "/")
	i := slices.IndexFunc(all, func(s Scenario) bool { return s.Name == scenario })
	if i < 0 {
		return nil, fmt.Errorf("unknown scenario %q; there are %s, or a file: ./%s.toml", scenario, names(all), scenario)
	}
	if !one {
		return all[i].Cases, nil
	}
	var known []string
	for _, c := range all[i].Cases {
		if c.Name == name {
			return []Case{c}, nil
		}
		known = append(known, c.Name)
	}
	return nil, fmt.Errorf("scenario %s has no case %q; it has %s", scenario, name, strings.Join(known, ", "))
}

func names(all []Scenario) string {
	var list []string
	for _, s := range all {
		list = append(list, s.Name)
	}
	return strings.Join(list, ", ")
}
