package tuning

import (
	"fmt"
	"slices"
	"strings"
)

// ApplyError says which change failed and what became of those before it.
type ApplyError struct {
	Name  string
	Err   error
	Stuck []Outcome // what could not be undone; revert tries again
}

func (e *ApplyError) Error() string {
	if len(e.Stuck) == 0 {
		return fmt.Sprintf("%s: %v; what was done before it is undone", e.Name, e.Err)
	}
	names := make([]string, len(e.Stuck))
	for i, o := range e.Stuck {
		names[i] = fmt.Sprintf("%s (%s)", o.Name, o.Why)
	}
	return fmt.Sprintf("%s: %v; not undone: %s; `longsplice tune revert` tries again", e.Name, e.Err, strings.Join(names, ", "))
}

func (e *ApplyError) Unwrap() error { return e.Err }

// undo brings back, the last first, what this apply has found. What resists stays in the state file.
func (t *Tuner) undo(l *ledger, after *record, moves []move, name string, cause error) error {
	failure := &ApplyError{Name: name, Err: cause}
	for _, m := range slices.Backward(moves) {
		if !m.done {
			continue
		}
		o := m.outcome(Undone)
		o.From, o.To, o.Why = m.To, m.From, ""
		if err := bring(m.Kind, m.Name, m.place, m.before); err != nil {
			o.Result, o.Why = Failed, err.Error()
			failure.Stuck = append(failure.Stuck, o)
		}
		t.tell(o)
	}
	if len(failure.Stuck) > 0 {
		return failure
	}
	if err := l.save(l.record); err != nil {
		failure.Stuck = []Outcome{{Kind: File, Name: l.path, Result: Failed, Why: err.Error()}}
		return failure
	}
	removeFolders(after.Folders)
	return failure
}

// bring makes a place hold v again, unless it does, and looks whether it does then.
func bring(k Kind, name string, p place, v *value) error {
	if now, err := p.read(); err == nil && same(k, name, now, v) {
		return nil
	}
	if err := p.write(v); err != nil {
		return err
	}
	now, err := p.read()
	if err != nil {
		return err
	}
	if !same(k, name, now, v) {
		return fmt.Errorf("%w: %q was written and it is %q", ErrNotTaken, show(k, v), show(k, now))
	}
	return nil
}
