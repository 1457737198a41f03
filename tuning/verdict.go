package tuning

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Verdict is the answer in a sentence, and what it was made of.
type Verdict struct {
	Text     string `json:"text"`
	Outlook  string `json:"outlook"`  // a sentence on what `tune apply` makes of it
	Sessions int64  `json:"sessions"` // that the host holds now; -1: nothing bounds them
	Binds    string `json:"binds"`    // the name of the limit that binds first
	Next     string `json:"next"`
	Short    int    `json:"short"`          // limits that fall short of the goal
	After    int64  `json:"sessions_after"` // with all Needs met
	AfterBy  string `json:"binds_after"`
}

// judge sums limits up. after is how they would be with all needs met.
func judge(g *Goal, now, after []Limit, needs int) Verdict {
	bounds, short := bounding(now), 0
	for i := range now {
		if now[i].State == Short {
			short++
		}
	}
	v := Verdict{Sessions: Unbounded, Short: short, After: Unbounded}
	if len(bounds) > 0 {
		v.Sessions, v.Binds = bounds[0].Sessions, bounds[0].Name
	}
	if len(bounds) > 1 {
		v.Next = bounds[1].Name
	}
	if b := bounding(after); len(b) > 0 {
		v.After, v.AfterBy = b[0].Sessions, b[0].called()
	}
	v.Text, v.Outlook = v.sentence(g, now, bounds), v.outlook(g, needs)
	return v
}

// outlook says what applying the needs is good for.
func (v *Verdict) outlook(g *Goal, needs int) string {
	switch {
	case needs == 0 && v.Short == 0:
		return "there is nothing to change"
	case needs == 0:
		return "what falls short is not for `longsplice tune apply` to change"
	case v.After >= int64(g.Sessions) || v.After == Unbounded:
		return "with what `longsplice tune apply` changes it holds them"
	}
	return fmt.Sprintf("with all that `longsplice tune apply` can change it holds %s: %s binds then", about(v.After), v.AfterBy)
}

// bounding are the limits that bound the sessions, the nearest first.
func bounding(all []Limit) (bounds []*Limit) {
	for i := range all {
		if all[i].Sessions != Unbounded {
			bounds = append(bounds, &all[i])
		}
	}
	sortBounds(bounds)
	return bounds
}

func (v *Verdict) sentence(g *Goal, now []Limit, bounds []*Limit) string {
	text := fmt.Sprintf("this host holds %s", about(v.Sessions))
	if v.Sessions >= int64(g.Sessions) {
		text = fmt.Sprintf("this host holds the %s sessions of the goal, and %s at most", Count(int64(g.Sessions)), about(v.Sessions))
	}
	if len(bounds) > 0 {
		text += ": " + bounds[0].called() + " binds first"
	}
	if len(bounds) > 1 {
		text += "; next " + bounds[1].called()
	}
	if len(now) > 0 && now[0].State == Short && now[0].Sessions == Unbounded { // enough are held, and yet
		text += "; what falls short is " + now[0].called()
	}
	return text
}

// called is a limit in a sentence.
func (l *Limit) called() string {
	if l.brief != "" {
		return l.brief
	}
	return short(l.Name) + " " + l.Current
}

// about rounds down to two digits: more would say more than is known.
func about(n int64) string {
	if n == Unbounded {
		return "any number of sessions"
	}
	if n < 100 {
		return Count(n) + " sessions"
	}
	step := int64(math.Pow10(int(math.Log10(float64(n))) - 1))
	return "about " + Count(n/step*step) + " sessions"
}

// short is a sysctl's name as people say it.
func short(name string) string {
	for _, family := range []string{"net.core.", "net.ipv4.", "net.netfilter."} {
		if rest, ok := strings.CutPrefix(name, family); ok && !strings.Contains(rest, ".") {
			return rest
		}
	}
	return name
}

func sortBounds(bounds []*Limit) {
	slices.SortStableFunc(bounds, func(a, b *Limit) int { return cmp.Compare(a.Sessions, b.Sessions) })
}
