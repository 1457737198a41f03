package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// lineIndex knows the line of every key and table by its path: "case[0].load.sessions".
type lineIndex map[string]int

// of returns the line of a path, or of the nearest table around it.
func (ix lineIndex) of(path string) int {
	for path != "" {
		if line, found := ix[path]; found {
			return line
		}
		path = path[:max(strings.LastIndexByte(path, '.'), 0)]
	}
	return 1
}

func join(table, key string) string {
	if table == "" {
		return key
	}
	return table + "." + key
}

// syntaxError is what is not TOML at all.
type syntaxError struct {
	line int
	err  error
}

func (e *syntaxError) in(file string) error { return fmt.Errorf("%s:%d: %w", file, e.line, e.err) }

// indexLines walks the document as the parser sees it. Inline tables are not entered: their keys have the table's line.
func indexLines(text []byte) (lineIndex, *syntaxError) {
	ix, counts := lineIndex{}, map[string]int{}
	var p unstable.Parser
	p.Reset(text)
	lineAt := func(n *unstable.Node) int { return 1 + bytes.Count(text[:n.Raw.Offset], []byte("\n")) }
	table := ""
	for p.NextExpression() {
		e := p.Expression()
		path := ""
		if e.Kind == unstable.KeyValue {
			path = table
		}
		for it := e.Key(); it.Next(); {
			path = join(path, string(it.Node().Data))
			if e.Kind == unstable.ArrayTable && it.IsLast() {
				counts[path]++
			}
			if n := counts[path]; n > 0 && e.Kind != unstable.KeyValue {
				path = fmt.Sprintf("%s[%d]", path, n-1)
			}
			if _, known := ix[path]; !known {
				ix[path] = lineAt(it.Node())
			}
		}
		if e.Kind == unstable.Table || e.Kind == unstable.ArrayTable {
			table = path
		}
	}
	if err := p.Error(); err != nil {
		return nil, &syntaxError{errorLine(&p, text, err), err}
	}
	return ix, nil
}

func errorLine(p *unstable.Parser, text []byte, err error) int {
	var pe *unstable.ParserError
	if errors.As(err, &pe) && len(pe.Highlight) > 0 {
		return 1 + bytes.Count(text[:p.Range(pe.Highlight).Offset], []byte("\n"))
	}
	return 1 + bytes.Count(bytes.TrimSpace(text), []byte("\n"))
}
