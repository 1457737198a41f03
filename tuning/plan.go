package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Tuner changes one host. The zero value of all but Roots is ready for use.
//
// All of it runs on the calling goroutine, so that a caller who locks it to a thread decides which network namespace is
// changed.
type Tuner struct {
	Roots Roots
	Links Links         // nil: those of the calling thread's network namespace
	Tell  func(Outcome) // told of each thing as it is done; may be nil

	between func(Kind, string, place) place // tests put faults between a place and its user
}

func (t *Tuner) links() Links {
	if t.Links == nil {
		return kernelLinks{}
	}
	return t.Links
}

// Plan is what Apply will do. Nothing in it has happened.
type Plan struct {
	Changes []Change `json:"changes"` // in the order in which they are made
	Skipped []Change `json:"skipped"` // what is done with --persist only
	Notes   []string `json:"notes"`   // what to know, and to do by hand
}

// Change is one value that is to be replaced. Its texts are for people, but for Text: the value to be written.
type Change struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"` // of a sysctl; "10.0.0.11/32 dev eth0"; the path of a file
	From string `json:"from"`
	To   string `json:"to"`
	Why  string `json:"why"`
	Text string `json:"text"`
}

// Plan works out what has to be done for needs. With persist that is also what brings them back at the next boot, and with
// them what was applied before.
func (t *Tuner) Plan(needs []Need, persist bool) (*Plan, error) {
	p := &Plan{Changes: []Change{}, Skipped: []Change{}, Notes: []string{}}
	needs = t.withoutReadOnly(p, needs)
	if err := t.add(&p.Changes, running(needs)); err != nil {
		return nil, err
	}
	if !persist { // a drop-in outlives the boot
		err := t.add(&p.Skipped, unitFiles(t.Roots, needs))
		p.Notes = append(p.Notes, afterwards(p, persist)...)
		return p, err
	}
	earlier, err := readRecord(t.StatePath())
	if err != nil {
		return nil, err
	}
	all := settings(needs, &earlier)
	files := append(lasting(t.Roots, all), unitFiles(t.Roots, needs)...)
	if err := t.add(&p.Changes, files); err != nil {
		return nil, err
	}
	p.Notes = append(p.Notes, overridden(t.Roots, all, needs)...)
	p.Notes = append(p.Notes, afterwards(p, persist)...)
	return p, nil
}

// running are the needs that are met at once.
func running(needs []Need) (changes []Change) {
	for _, n := range needs {
		if n.Kind != Unit {
			changes = append(changes, Change{Kind: n.Kind, Name: n.Name, Why: n.Why, Text: n.Wanted})
		}
	}
	return changes
}

// add adds those changes whose value is not there yet.
func (t *Tuner) add(to *[]Change, changes []Change) error {
	for _, c := range changes {
		now, err := t.look(c.Kind, c.Name)
		if err != nil {
			return err
		}
		if wanted := c.value(); !same(c.Kind, c.Name, now, wanted) {
			c.From, c.To = show(c.Kind, now), show(c.Kind, wanted)
			*to = append(*to, c)
		}
	}
	return nil
}

// withoutReadOnly leaves out, with a note, sysctls that are shown in this network namespace and that the first one alone may
// change: nf_conntrack_max. The kernel gives them no write bit; root's right to pass over modes does not count there.
func (t *Tuner) withoutReadOnly(p *Plan, needs []Need) (rest []Need) {
	for _, n := range needs {
		info, err := os.Stat(t.Roots.SysctlPath(n.Name))
		if n.Kind != Sysctl || err != nil || info.Mode()&0o222 != 0 {
			rest = append(rest, n)
			continue
		}
		p.Notes = append(p.Notes, n.Name+" stays as it is: it can be changed in the first network namespace only")
	}
	return rest
}

// look reads a place; its error names it.
func (t *Tuner) look(k Kind, name string) (*value, error) {
	place, err := t.place(k, name)
	if err != nil {
		return nil, err
	}
	v, err := place.read()
	if err != nil {
		return nil, readError(k, name, err)
	}
	return v, nil
}

func readError(k Kind, name string, err error) error {
	if k == Sysctl && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: this kernel has no such setting (is its module loaded?): %w", name, err)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// NoFile is Change.From of a file that is not there.
const NoFile = "no file"

// show is a value for people.
func show(k Kind, v *value) string {
	switch {
	case v == nil && k == File:
		return NoFile
	case v == nil:
		return "absent"
	case k == File:
		return plural(strings.Count(string(v.Text), "\n"), "line")
	}
	return strings.Join(strings.Fields(string(v.Text)), " ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
