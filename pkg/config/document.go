package config

import (
	"errors"
	"strings"

	"github.com/BurntSushi/toml"
)

// value is what a key holds: a string, int64, float64, bool or time, a []value,
// a *table, or a []*table.
type value struct {
	raw any
	at  place
}

// table is one TOML table with the place of each of its keys.
type table struct {
	label  string // how messages call it: "pool.chat.health"
	at     place  // its header, or its first key
	values map[string]value
}

func (t *table) has(key string) bool {
	_, ok := t.values[key]
	return ok
}

// place returns where key was written, or else where its table begins.
func (t *table) place(key string) place {
	if v, ok := t.values[key]; ok {
		return v.at
	}
	return t.at
}

// key returns the full name of a key for messages; "" names the table itself.
func (t *table) key(key string) string {
	if t.label == "" || key == "" {
		return t.label + key
	}
	return t.label + "." + key
}

// parseDocument parses one file. Its problem is a syntax error.
func parseDocument(file string, data []byte) (*table, *Problem) {
	var tree map[string]any
	if _, err := toml.Decode(string(data), &tree); err != nil {
		return nil, syntaxProblem(file, data, err)
	}
	ix, line, err := indexLines(data)
	if err != nil {
		return nil, &Problem{File: file, Line: line, What: err.Error(), Remedy: seeTOML}
	}
	d := document{file, ix}
	return d.table(tree, "", 1), nil
}

const seeTOML = "the file has to be TOML: https://toml.io"

// syntaxProblem takes the line from the offset: the line that toml gives is one
// too many where it met the end of a line. The offset
// is -1 for a control character at the very beginning.
func syntaxProblem(file string, data []byte, err error) *Problem {
	p := &Problem{File: file, Line: 1, What: err.Error(), Remedy: seeTOML}
	var pe toml.ParseError
	if errors.As(err, &pe) {
		p.Line, p.Key = max(lineAt(lineStarts(data), pe.Position.Start), 1), pe.LastKey
		p.What = strings.TrimSuffix(lowerFirst(pe.Message), ".")
	}
	return p
}

// lowerFirst makes a sentence a clause; a word in capitals stays.
func lowerFirst(s string) string {
	if len(s) < 2 || s[1] < 'a' || 'z' < s[1] {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

// document adds places to a decoded tree.
type document struct {
	file  string
	index *lineIndex
}

func (d document) table(m map[string]any, path string, outer int) *table {
	line := d.index.line(path, outer)
	t := &table{at: place{d.file, line}, values: make(map[string]value, len(m))}
	for key, raw := range m {
		t.values[key] = d.value(raw, join(path, key), line)
	}
	return t
}

func (d document) value(raw any, path string, outer int) value {
	line := d.index.line(path, outer)
	v := value{raw, place{d.file, line}}
	switch raw := raw.(type) {
	case map[string]any:
		v.raw = d.table(raw, path, outer)
	case []map[string]any:
		tables := make([]*table, len(raw))
		for i, m := range raw {
			tables[i] = d.table(m, joinIndex(path, i), line)
		}
		v.raw = tables
	case []any:
		v.raw = d.array(raw, path, line)
	}
	return v
}

// array returns a []*table if there are only tables in it, else a []value.
func (d document) array(raw []any, path string, line int) any {
	var values []value
	var tables []*table
	for i, r := range raw {
		v := d.value(r, joinIndex(path, i), line)
		values = append(values, v)
		if t, ok := v.raw.(*table); ok {
			tables = append(tables, t)
		}
	}
	if len(tables) > 0 && len(tables) == len(values) {
		return tables
	}
	return values
}
