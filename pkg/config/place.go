package config

import (
	"errors"
	"slices"
	"sort"
	"strconv"

	"github.com/pelletier/go-toml/v2/unstable"
)

// place is a line of a file.
type place struct {
	file string
	line int
}

// separator joins the parts of a path. TOML allows no control characters in a
// bare key, and a quoted key that holds one only gets a coarser line.
const separator = "\x00"

func join(path, part string) string {
	if path == "" {
		return part
	}
	return path + separator + part
}

func joinIndex(path string, i int) string { return join(path, "["+strconv.Itoa(i)+"]") }

// lineIndex knows the line of every table, key and array element by its path.
type lineIndex struct {
	lines  map[string]int
	starts []int          // the offset of each line
	counts map[string]int // elements so far of each array of tables
	parser unstable.Parser
}

// indexLines finds the lines of a document. Its error is a syntax error, on the
// returned line.
func indexLines(data []byte) (ix *lineIndex, line int, err error) {
	ix = &lineIndex{lines: map[string]int{}, starts: lineStarts(data), counts: map[string]int{}}
	ix.parser.Reset(data)
	table := ""
	for ix.parser.NextExpression() {
		e := ix.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = ix.header(e)
		case unstable.KeyValue:
			ix.keyValue(table, e)
		}
	}
	if err := ix.parser.Error(); err != nil {
		return nil, ix.errorLine(err), err
	}
	return ix, 0, nil
}

func lineStarts(data []byte) []int {
	starts := []int{0}
	for i, c := range data {
		if c == '\n' {
			starts = append(starts, i+1)
		}
	}
	return starts
}

// lineAt returns the line, from 1, that holds an offset.
func lineAt(starts []int, offset int) int { return sort.SearchInts(starts, offset+1) }

func (ix *lineIndex) lineAt(offset int) int { return lineAt(ix.starts, offset) }

func (ix *lineIndex) errorLine(err error) int {
	var pe *unstable.ParserError
	if errors.As(err, &pe) && len(pe.Highlight) > 0 {
		return ix.lineAt(int(ix.parser.Range(pe.Highlight).Offset))
	}
	return len(ix.starts)
}

// header notes [a.b] or [[a.b]] and returns the path of its table. A part that
// names an array of tables means its latest element.
func (ix *lineIndex) header(e *unstable.Node) string {
	path, line := "", 0
	for it := e.Key(); it.Next(); {
		part := it.Node()
		line = ix.lineAt(int(part.Raw.Offset))
		path = join(path, string(part.Data))
		if e.Kind == unstable.ArrayTable && it.IsLast() {
			ix.note(path, line)
			ix.counts[path]++
		}
		if n := ix.counts[path]; n > 0 {
			path = joinIndex(path, n-1)
		}
		ix.note(path, line)
	}
	return path
}

func (ix *lineIndex) keyValue(path string, e *unstable.Node) {
	line := 0
	for it := e.Key(); it.Next(); {
		line = ix.lineAt(int(it.Node().Raw.Offset))
		path = join(path, string(it.Node().Data))
		ix.note(path, line)
	}
	ix.value(path, line, e.Value())
}

// value notes what is inside an array or an inline table.
func (ix *lineIndex) value(path string, line int, v *unstable.Node) {
	switch v.Kind {
	case unstable.Array:
		i := 0
		for it := v.Children(); it.Next(); i++ {
			at := line
			if raw := it.Node().Raw; raw.Length > 0 {
				at = ix.lineAt(int(raw.Offset))
			}
			ix.note(joinIndex(path, i), at)
			ix.value(joinIndex(path, i), at, it.Node())
		}
	case unstable.InlineTable:
		for it := v.Children(); it.Next(); {
			ix.keyValue(path, it.Node())
		}
	}
}

// note keeps the first line of a path: a table can be reopened by its children.
func (ix *lineIndex) note(path string, line int) {
	if _, known := ix.lines[path]; !known {
		ix.lines[path] = line
	}
}

// line returns the line of a path, of something inside it, or else outside.
func (ix *lineIndex) line(path string, outer int) int {
	if n, ok := ix.lines[path]; ok {
		return n
	}
	return max(outer, 1)
}

// sortedKeys returns the keys of a map in order, so that messages have one.
func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
