package config

import (
	"fmt"
	"maps"
)

// merge adds one file's tables to those of the files before it: arrays of
// tables append, tables are united, and a key that was set before is refused.
func (r *reader) merge(t *table) {
	if r.root == nil {
		r.root = t
		return
	}
	for _, key := range sortedKeys(t.values) {
		v := t.values[key]
		old, twice := r.root.values[key]
		if !twice {
			r.root.values[key] = v
			continue
		}
		switch before := old.raw.(type) {
		case []*table:
			if more, ok := v.raw.([]*table); ok {
				r.root.values[key] = value{append(before, more...), old.at}
				continue
			}
		case *table:
			if more, ok := v.raw.(*table); ok {
				r.unite(key, before, more)
				continue
			}
		}
		r.setTwice(key, v.at, old.at)
	}
}

// unite adds the keys of more to t. Values that are tables are not united: no
// section that can be spread over files has any.
func (r *reader) unite(label string, t, more *table) {
	for _, key := range sortedKeys(more.values) {
		if t.has(key) {
			r.setTwice(label+"."+key, more.place(key), t.place(key))
			delete(more.values, key)
		}
	}
	maps.Copy(t.values, more.values)
}

func (r *reader) setTwice(key string, at, before place) {
	r.problems = append(r.problems, Problem{
		File: at.file, Line: at.line, Key: key,
		What:   "is already set at " + before.String(),
		Remedy: "keep one of them",
	})
}

func (p place) String() string { return fmt.Sprintf("%s:%d", p.file, p.line) }
