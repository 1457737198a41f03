package tuning

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// State is how a limit stands to the goal.
type State string

// States, the worst first.
const (
	Short State = "short" // the goal is not reached, or sessions break
	Warn  State = "warn"  // it holds, at a price
	Fine  State = "ok"
)

// Unbounded is Sessions of a limit that bounds no number of sessions.
const Unbounded = -1

// Limit is one thing of the host that bounds the sessions, or that has to be right for them.
type Limit struct {
	Name     string `json:"name"` // a sysctl's where it is one
	State    State  `json:"state"`
	Current  string `json:"current"`
	Needed   string `json:"needed"`
	Sessions int64  `json:"sessions"` // how many it allows; -1: it bounds none
	Formula  string `json:"formula"`
	Why      string `json:"why"`                // a sentence
	Command  string `json:"command,omitempty"`  // what moves it; "" where it is fine
	SetBy    string `json:"set_by,omitempty"`   // FILE:LINE of sysctl.d that sets it at boot
	Override string `json:"override,omitempty"` // FILE:LINE that would win over what `tune apply --persist` writes

	brief string // for the verdict, where name and current do not say it
	needs []Need
}

// A look works one limit out. ok is false where this host has no such thing.
type look func(h *host, g *Goal) (l Limit, ok bool)

// limits are all of them, in the order in which a connection meets them. To add one, add a line; its test is a line of
// TestEachLimitIsNamedFirst.
var limits = []look{
	openFiles, processFiles, serviceFiles, allFiles, watches, // of equal ones the first is named: nr_open is above the others
	configured, sourceAddresses, localPorts, portOverlap, portListeners, reuse, timestamps, timeWaits,
	acceptQueue, synQueue, synCookies, cpuBacklog, migrate,
	memory, cgroupMemory, tcpMemory, receiveBuffers, sendBuffers, orphans, finTimeout, notSent,
	conntrack, conntrackBuckets, conntrackTimeouts,
	pipeQuota, pipeHardQuota, pipeSize,
	reversePath, arp, cpuMax, receiveQueues, interrupts,
}

// workOut asks every look, and sorts what falls short first, by the sessions that are left.
func (h *host) workOut(g *Goal) (all []Limit) {
	for _, f := range limits {
		if l, ok := f(h, g); ok {
			h.provenance(&l)
			all = append(all, l)
		}
	}
	order := map[State]int{Short: 0, Warn: 1, Fine: 2}
	slices.SortStableFunc(all, func(a, b Limit) int {
		return cmp.Or(cmp.Compare(order[a.State], order[b.State]), cmp.Compare(uint64(a.Sessions), uint64(b.Sessions))) // -1 is last
	})
	return all
}

// provenance says which file sets a sysctl, and which would win over ours.
func (h *host) provenance(l *Limit) {
	if won, _ := h.winner(l.Name); won != nil {
		l.SetBy = won.at()
	}
	for _, n := range l.needs {
		if later := h.after(n.Name); later != nil && n.Kind == Sysctl && later.value != oneBlank(n.Wanted) {
			l.Override = later.at()
		}
	}
}

// linear is a sysctl of which sessions take shares: units for every per sessions, beside what is taken already.
type linear struct {
	name          string
	units, per    int64
	taken         int64
	neededAtLeast int64
	formula, why  string
}

func (r linear) look(h *host, g *Goal) (Limit, bool) {
	value, ok := h.number(r.name)
	if !ok {
		return h.missing(r.name)
	}
	needed := max((int64(g.Sessions)*r.units+r.per-1)/r.per+r.taken, r.neededAtLeast)
	l := Limit{
		Name: r.name, State: Fine, Current: Count(value), Needed: Count(needed), Formula: r.formula, Why: r.why,
		Sessions: max(times(value-r.taken, r.per)/r.units, 0),
	}
	if value < needed {
		l.raise(h, r.name, strconv.FormatInt(roundUp(needed), 10))
	}
	return l, true
}

// times multiplies, and stays at the largest number where it would leave it.
func times(a, b int64) int64 {
	if a > 0 && b > 0 && a > (1<<62)/b {
		return 1 << 62
	}
	return a * b
}

// missing leaves a sysctl out that the host does not have, and remembers it.
func (h *host) missing(name string) (Limit, bool) {
	if !slices.Contains(h.unread, name) {
		h.unread = append(h.unread, name)
	}
	return Limit{}, false
}

// raise makes the limit short of what a sysctl has to be, and notes the need.
func (l *Limit) raise(h *host, name, wanted string) {
	l.State = Short
	if l.Command == "" {
		l.Command = setCommand(name, wanted)
	}
	current, _ := h.sysctl(name)
	l.needs = append(l.needs, Need{Kind: Sysctl, Name: name, Current: current, Wanted: wanted, Why: l.Why})
}

// setCommand is what a person would type.
func setCommand(name, value string) string {
	if value = oneBlank(value); strings.Contains(value, " ") {
		value = `"` + value + `"`
	}
	return "sysctl -w " + name + "=" + value
}

// roundUp keeps five binary digits, so that what is written is a number with few digits and not much too large.
func roundUp(n int64) int64 {
	step := int64(1)
	for step*32 <= n {
		step *= 2
	}
	return (n + step - 1) / step * step
}

// Count writes a number with commas.
func Count(n int64) string {
	if n >= 1<<53 {
		return "unlimited"
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes with a binary unit.
func size(n int64) string {
	const units = "KMGT"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/(1<<10), 0
	for ; f >= 1<<10 && i < len(units)-1; i++ {
		f /= 1 << 10
	}
	return strings.Replace(fmt.Sprintf("%.1f %ciB", f, units[i]), ".0 ", " ", 1)
}

// condition is a sysctl that is right or wrong.
func (h *host) condition(name, needed, formula, why string) (l Limit, ok bool) {
	value, ok := h.sysctl(name)
	if !ok {
		return h.missing(name)
	}
	return Limit{Name: name, State: Fine, Current: oneBlank(value), Needed: needed, Sessions: Unbounded, Formula: formula, Why: why}, true
}
