package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Revert puts back what was there before the first apply, the last change first. What somebody else has changed since it
// leaves alone (Left). That and what it could not write (Failed) stay in the state file, with what they were, until a later
// Revert finds them as they were; without any, the state file goes.
func (t *Tuner) Revert() ([]Outcome, error) {
	l, err := openLedger(t.Roots.State, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer l.close()
	var outcomes []Outcome
	rest := record{Folders: l.record.Folders}
	boot := t.boot()
	for _, s := range slices.Backward(l.record.Steps) {
		o := t.putBack(&s, boot)
		if o.Result == Left || o.Result == Failed {
			rest.Steps = append(rest.Steps, s)
		}
		outcomes = append(outcomes, o)
		t.tell(o)
	}
	slices.Reverse(rest.Steps)
	if err := l.save(rest); err != nil {
		return outcomes, fmt.Errorf("write the state file: %w", err)
	}
	l.made = append(l.made, l.record.Folders...) // those that are empty now go
	return outcomes, nil
}

// putBack brings one place to what it was.
func (t *Tuner) putBack(s *step, boot string) Outcome {
	o := Outcome{Kind: s.Kind, Name: s.Name, Result: Failed, To: show(s.Kind, s.Was)}
	place, err := t.place(s.Kind, s.Name)
	if err != nil {
		o.Why = err.Error()
		return o
	}
	if s.Kind == File {
		_ = os.Remove(beside(s.Name)) // of an apply that was killed
	}
	now, err := place.read()
	o.From = show(s.Kind, now)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.Result, o.Why = Already, "it is not there any more"
	case err != nil:
		o.Why = err.Error()
	case same(s.Kind, s.Name, now, s.Was):
		o.Result = Already
	case s.ours(now):
		t.restore(s, place, &o)
	case s.Kind != File && s.Boot != boot:
		o.Result, o.Why = Already, "the host was booted since"
	default:
		o.Result = Left
		o.Why = fmt.Sprintf("somebody else has changed it: apply had made it %s", show(s.Kind, s.wanted()))
	}
	return o
}

func (t *Tuner) restore(s *step, p place, o *Outcome) {
	if err := bring(s.Kind, s.Name, p, s.Was); err != nil {
		o.Why = err.Error()
		return
	}
	o.Result = Restored
}
