package report

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// differences are the reasons why two reports may not be comparable, each in a sentence.
func differences(from, to *Report) (out []string) {
	differ := func(what, a, b string) {
		if a != b {
			out = append(out, fmt.Sprintf("%s: %s, then %s", what, quoted(a), quoted(b)))
		}
	}
	a, b := from.Machine, to.Machine
	differ("kernel", a.Kernel, b.Kernel)
	differ("processor", a.CPU, b.CPU)
	differ("processors", strconv.Itoa(a.CPUs), strconv.Itoa(b.CPUs))
	if math.Abs(float64(a.MemoryBytes)-float64(b.MemoryBytes)) > 0.01*float64(b.MemoryBytes) {
		differ("memory, MiB", grouped(int64(a.MemoryBytes>>20)), grouped(int64(b.MemoryBytes>>20)))
	}
	differ("open files", strconv.FormatUint(a.OpenFiles, 10), strconv.FormatUint(b.OpenFiles, 10))
	for _, name := range union(a.Sysctls, b.Sysctls) {
		differ(name, a.Sysctls[name], b.Sysctls[name])
	}
	x, y := from.Setup, to.Setup
	differ("balancer's processors", x.BalancerCPUs, y.BalancerCPUs)
	differ("load's processors", x.LoadCPUs, y.LoadCPUs)
	differ("threads of each balancer", strconv.Itoa(x.Threads), strconv.Itoa(y.Threads))
	differ("addresses of the backend", strconv.Itoa(x.Backends), strconv.Itoa(y.Backends))
	differ("reference", from.Reference(), to.Reference())
	for _, t := range to.Targets {
		if o := from.target(t.Name); o != nil {
			differ(t.Name+", version", o.Version, t.Version)
			if o.Config != t.Config || o.Command != t.Command {
				out = append(out, t.Name+": its command or configuration is not the same")
			}
		}
	}
	for _, c := range to.Cases {
		if o, there := from.caseByID(c.ID()); there && o.Command != c.Command {
			out = append(out, fmt.Sprintf("%s, load: %s, then %s", c.ID(), o.Command, c.Command))
		}
	}
	for _, r := range []*Report{from, to} {
		if r.Setup.Stopped != "" {
			out = append(out, fmt.Sprintf("that of %s was stopped: %s", r.Setup.Began.UTC().Format("2006-01-02 15:04"), r.Setup.Stopped))
		}
	}
	return out
}

func quoted(s string) string {
	if s == "" || strings.ContainsRune(s, ' ') {
		return strconv.Quote(s)
	}
	return s
}

// union is the names in either, sorted.
func union(a, b map[string]string) (names []string) {
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
