package tuning

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Note is something worth knowing that is no limit.
type Note struct {
	About   string `json:"about"` // a sysctl, a file, a device
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

// Inspect reads the host and works out every limit for the goal. It changes nothing. It fails only where there is no host
// to be seen; what cannot be read is noted.
func Inspect(r Roots, g Goal) (*Report, error) {
	if text(r.Proc+"/meminfo") == "" {
		return nil, fmt.Errorf("read %s/meminfo: it is not there: is /proc mounted?", r.Proc)
	}
	h := readHost(r, &g)
	now := h.workOut(&g)
	notes := h.notes(&g, now)
	needs, after := h.meet(&g, now)
	return &Report{Goal: g, Verdict: judge(&g, now, after, len(needs)), Limits: now, Needs: needs, Notes: notes}, nil
}

// meet looks at the host as it will be with all needs met, again and again, until nothing more is needed: a wider port
// range covers listeners that it did not cover before, for one. It returns all needs in the order in which to meet them.
func (h *host) meet(g *Goal, limits []Limit) (needs []Need, after []Limit) {
	needs = []Need{}
	for range 8 { // two or three will do
		fresh := needsOf(limits)
		if len(fresh) == 0 {
			break
		}
		for _, n := range fresh {
			h.assume(n)
			needs = put(needs, n)
		}
		limits = h.workOut(g)
	}
	slices.SortStableFunc(needs, func(a, b Need) int { return cmp.Compare(a.rank(), b.rank()) })
	return needs, limits
}

func needsOf(limits []Limit) (all []Need) {
	for i := range limits {
		for _, n := range limits[i].needs {
			all = put(all, n)
		}
	}
	return all
}

// put adds a need. One of the same name gives its place, and what was there at first.
func put(all []Need, n Need) []Need {
	for i := range all {
		if all[i].Kind == n.Kind && all[i].Name == n.Name {
			n.Current = all[i].Current
			all[i] = n
			return all
		}
	}
	return append(all, n)
}

// assume sees the host as if the need were met.
func (h *host) assume(n Need) {
	switch n.Kind {
	case Sysctl:
		h.wanted[n.Name] = n.Wanted
	case Address:
		if p, err := netip.ParsePrefix(strings.Fields(n.Name)[0]); err == nil {
			h.net.local = append(h.net.local, p)
		}
	case Unit:
		h.unit.values["LimitNOFILE"] = []string{n.Wanted}
	}
	if h.process != nil && h.unit.serves(h.process) { // it is started again
		h.process.hard = h.unit.noFile()
	}
}

// rank is when a need is met: ports are reserved before the range grows over them, ceilings rise before what is below, and
// an interface is ready before it gets addresses.
func (n *Need) rank() int {
	switch {
	case n.Name == reservedName, n.Name == "fs.nr_open", n.Name == conntrackSizes:
		return 0
	case n.Kind == Sysctl:
		return 1
	case n.Kind == Address:
		return 2
	}
	return 3
}
