package tuning

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Result is what became of one thing.
type Result string

// What can become of a thing. Each command has results of its own, and Failed.
const (
	Changed  Result = "changed"  // apply: it is as wanted now
	Undone   Result = "undone"   // apply: it is again as it was, since another thing failed
	Restored Result = "restored" // revert: it is again as it was before the first apply
	Already  Result = "already"  // revert: it was so before, or a boot has done it
	Left     Result = "left"     // revert: somebody else has changed it since, and it stays as it is
	Failed   Result = "failed"   // it could not be done: Why says the reason
	Drifted  Result = "drifted"  // verify: it is not what apply has made of it
)

// Outcome tells of one thing what it was, what it is and why.
type Outcome struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name"`
	Result Result `json:"result"`
	From   string `json:"from"`
	To     string `json:"to"`
	Why    string `json:"why"`
}

// ErrNotTaken says that the kernel accepted a value and made another one of it.
var ErrNotTaken = errors.New("the kernel did not take it")

// move is one change on its way.
type move struct {
	Change
	place  place
	before *value // just now; of a second apply that is not what was there before the first
	to     *value
	done   bool // or begun
}

// Apply makes the changes of p that are still to be made. What was there is in the state file before the first of them is
// touched. An error that is *ApplyError means that everything is as before but for its Stuck; so does any other. When ctx is
// done the next change fails.
func (t *Tuner) Apply(ctx context.Context, p *Plan) ([]Outcome, error) {
	if len(p.Changes) == 0 {
		return nil, nil
	}
	l, err := openLedger(t.Roots.State, true)
	if err != nil {
		return nil, err
	}
	defer l.close()
	moves, err := t.moves(p.Changes)
	if err != nil || len(moves) == 0 {
		return nil, err
	}
	after := t.remember(l, moves)
	if err := l.save(after); err != nil {
		return nil, errors.Join(fmt.Errorf("write the state file: %w", err), l.save(l.record))
	}
	for i := range moves {
		if err := t.make(ctx, &moves[i]); err != nil {
			return nil, t.undo(l, &after, moves, moves[i].Name, err)
		}
	}
	if name, err := t.settle(ctx, moves); err != nil {
		return nil, t.undo(l, &after, moves, name, err)
	}
	outcomes := make([]Outcome, len(moves))
	for i := range moves {
		outcomes[i] = moves[i].outcome(Changed)
	}
	return outcomes, nil
}

// moves reads what is there now and leaves out what needs no change.
func (t *Tuner) moves(changes []Change) (all []move, err error) {
	for _, c := range changes {
		place, err := t.place(c.Kind, c.Name)
		if err != nil {
			return nil, err
		}
		now, err := place.read()
		if err != nil {
			return nil, readError(c.Kind, c.Name, err)
		}
		if to := c.value(); !same(c.Kind, c.Name, now, to) {
			c.From = show(c.Kind, now)
			all = append(all, move{Change: c, place: place, before: now, to: to})
		}
	}
	return all, nil
}

// remember is the record with these moves in it. What was there before the first apply stays what revert brings back.
func (t *Tuner) remember(l *ledger, moves []move) record {
	r := l.record.clone()
	r.Folders = append(r.Folders, l.made...)
	boot := t.boot()
	for _, m := range moves {
		i := r.find(m.Kind, m.Name)
		if i < 0 {
			i = len(r.Steps)
			r.Steps = append(r.Steps, step{Kind: m.Kind, Name: m.Name, Was: m.before})
		}
		s := &r.Steps[i]
		s.Why, s.Boot = m.Why, boot
		s.write(*m.to)
		if m.Kind == File {
			r.Folders = append(r.Folders, missingFolders(filepath.Dir(m.Name))...)
		}
	}
	slices.Sort(r.Folders) // a folder is above those in it
	r.Folders = slices.Compact(r.Folders)
	return r
}

// boot is the kernel's id of this boot; "" if it has none.
func (t *Tuner) boot() string {
	v, err := sysctl(t.Roots.SysctlPath("kernel.random.boot_id")).read()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(v.Text))
}

// make makes one change and looks whether it took.
func (t *Tuner) make(ctx context.Context, m *move) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.done = true
	if err := m.place.write(m.to); err != nil {
		if errors.Is(err, syscall.EROFS) {
			err = fmt.Errorf("%w (in a container /proc/sys often is: run it on the host)", err)
		}
		if m.Kind == Sysctl {
			return fmt.Errorf("write %q: %w", show(m.Kind, m.to), err)
		}
		return fmt.Errorf("add it: %w", err)
	}
	if err := m.took(); err != nil {
		return err
	}
	t.tell(m.outcome(Changed))
	return nil
}

// took compares what is there with what was written.
func (m *move) took() error {
	now, err := m.place.read()
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if holds(m.Kind, m.Name, now, m.to) {
		m.To = show(m.Kind, now)
		return nil
	}
	return fmt.Errorf("%w: %q was written and it is %q", ErrNotTaken, show(m.Kind, m.to), show(m.Kind, now))
}

func (m *move) outcome(r Result) Outcome {
	return Outcome{Kind: m.Kind, Name: m.Name, Result: r, From: m.From, To: m.To, Why: m.Why}
}

func (t *Tuner) tell(o Outcome) {
	if t.Tell != nil {
		t.Tell(o)
	}
}

// settleAtMost is how long the kernel may take to ask after an IPv6 address: a second and a delay of up to one more by
// default (RFC 4862), more where dad_transmits is.
const settleAtMost = 10 * time.Second

// settle waits until new addresses can be bound to. An interface that is down never asks: its addresses stay as they are.
func (t *Tuner) settle(ctx context.Context, moves []move) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, settleAtMost)
	defer cancel()
	for i := range moves {
		a, isAddress := moves[i].place.(address)
		if !isAddress {
			continue
		}
		if err := a.settle(ctx); err != nil {
			return moves[i].Name, err
		}
	}
	return "", nil
}

func (a address) settle(ctx context.Context) error {
	const pause = 50 * time.Millisecond
	for {
		state, err := a.links.Look(a.link, a.prefix)
		switch {
		case err != nil:
			return err
		case state == AddressDuplicate:
			return errors.New("another machine of this network has it")
		case state != AddressTentative:
			return nil
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return nil
			}
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
