package tuning

import (
	"errors"
	"io/fs"
)

// Verify compares what apply has made with what is there now. It returns what differs, nothing if all holds or nothing was
// ever applied; applied is how many things it has looked at.
func (t *Tuner) Verify() (drift []Outcome, applied int, err error) {
	record, err := readRecord(t.StatePath())
	if err != nil {
		return nil, 0, err
	}
	boot := t.boot()
	for i := range record.Steps {
		if o, drifted := t.compare(&record.Steps[i], boot); drifted {
			drift = append(drift, o)
		}
	}
	return drift, len(record.Steps), nil
}

// compare looks at one place. A value that can't be read has drifted too.
func (t *Tuner) compare(s *step, boot string) (o Outcome, drifted bool) {
	now, err := t.look(s.Kind, s.Name)
	if err == nil && holds(s.Kind, s.Name, now, s.wanted()) {
		return Outcome{}, false
	}
	o = Outcome{Kind: s.Kind, Name: s.Name, Result: Drifted, From: show(s.Kind, s.wanted()), To: show(s.Kind, now)}
	switch {
	case err != nil:
		o.To, o.Why = "", err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			o.Why = "it is not there any more"
		}
	case s.Kind == File && now != nil:
		o.To, o.Why = "another content", "somebody has edited it"
	case s.Kind != File && s.Boot != boot:
		o.Why = "the host was booted since"
	case same(s.Kind, s.Name, now, s.Was):
		o.Why = "it is again what it was before"
	default:
		o.Why = "somebody has changed it"
	}
	return o, true
}
