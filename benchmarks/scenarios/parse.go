package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// document is a file as TOML sees it.
type document struct {
	Name string      `toml:"name"`
	Case []caseTable `toml:"case"`
}

type caseTable struct {
	Name     string         `toml:"name"`
	About    string         `toml:"about"`
	Set      Set            `toml:"set"`
	Workload string         `toml:"workload"`
	Serve    string         `toml:"serve"`
	Spread   bool           `toml:"spread"`
	Apart    bool           `toml:"apart"`
	Load     map[string]any `toml:"load"`
}

// Keys of a file and of a case, for messages.
const (
	fileKeys = "name and [[case]]"
	caseKeys = "name, about, set, workload, serve, spread, apart and [case.load]"
)

var (
	word       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	purposeTag = []byte("# Purpose: ")
)

// owned are the flags of a load command that a run gives by itself.
var owned = []string{"to", "source", "pid", "json", "kill"}

// Parse reads a scenario. Its error holds everything that is wrong, a line each: FILE:LINE: key: what is wrong; what
// would be right.
func Parse(file string, text []byte) (Scenario, error) {
	lines, err := indexLines(text)
	if err != nil {
		return Scenario{}, err.in(file)
	}
	p := &parser{file: file, lines: lines}
	doc := p.decode(text)
	s := Scenario{Name: doc.Name, Purpose: p.purpose(text)}
	if len(p.errs) > 0 { // what could not be read is not judged as well
		return s, errors.Join(p.errs...)
	}
	p.word("name", doc.Name)
	for i, t := range doc.Case {
		s.Cases = append(s.Cases, p.oneCase(s, fmt.Sprintf("case[%d]", i), t))
	}
	if len(s.Cases) == 0 {
		p.fault("", "case", "there is none; want one [[case]] or more")
	}
	return s, errors.Join(p.errs...)
}

type parser struct {
	file  string
	lines lineIndex
	errs  []error
}

// fault notes an error at a key, or if it is not there at its table.
func (p *parser) fault(table, key, format string, a ...any) {
	path := join(table, key)
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %s: %s", p.file, p.lines.of(path), path, fmt.Sprintf(format, a...)))
}

func (p *parser) decode(text []byte) (doc document) {
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(&doc)
	var strict *toml.StrictMissingError
	var wrong *toml.DecodeError
	switch {
	case errors.As(err, &strict):
		for _, e := range strict.Errors {
			p.unknown(e)
		}
	case errors.As(err, &wrong):
		line, _ := wrong.Position()
		key := cmpKey(wrong.Key())
		p.errs = append(p.errs, fmt.Errorf("%s:%d: %s%s", p.file, line, key, strings.TrimPrefix(wrong.Error(), "toml: ")))
	case err != nil:
		p.errs = append(p.errs, fmt.Errorf("%s: %w", p.file, err))
	}
	return doc
}

func (p *parser) unknown(e toml.DecodeError) {
	line, _ := e.Position()
	known := fileKeys
	if len(e.Key()) > 1 && e.Key()[0] == "case" {
		known = caseKeys
	}
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %sunknown key; there are %s", p.file, line, cmpKey(e.Key()), known))
}

func cmpKey(key toml.Key) string {
	if len(key) == 0 {
		return ""
	}
	return strings.Join(key, ".") + ": "
}

// purpose is the comment that opens the file, in one line.
func (p *parser) purpose(text []byte) string {
	rest, found := bytes.CutPrefix(text, purposeTag)
	if !found {
		p.errs = append(p.errs, fmt.Errorf("%s:1: the file does not say what it is for; want a first line %q", p.file, string(purposeTag)+"..."))
		return ""
	}
	var words []string
	for line := range strings.Lines("# " + string(rest)) {
		comment, found := strings.CutPrefix(line, "#")
		if !found {
			break
		}
		words = append(words, strings.Fields(comment)...)
	}
	return strings.Join(words, " ")
}

func (p *parser) oneCase(s Scenario, path string, t caseTable) Case {
	c := Case{
		Scenario: s.Name, Name: t.Name, About: t.About, Set: t.Set, Workload: t.Workload, Serve: t.Serve,
		Spread: t.Spread, Apart: t.Apart, file: p.file, lines: p.lines, path: path,
	}
	for _, k := range []struct{ key, value string }{{"name", t.Name}, {"workload", t.Workload}, {"serve", t.Serve}} {
		p.word(join(path, k.key), k.value)
	}
	if slices.ContainsFunc(s.Cases, func(x Case) bool { return x.Name == t.Name }) {
		p.fault(path, "name", "%q is there twice; want a name of its own for each case", t.Name)
	}
	if strings.TrimSpace(t.About) == "" {
		p.fault(path, "about", "is empty; want a few words for tables")
	}
	if t.Set != Short && t.Set != Full {
		p.fault(path, "set", "is %q; want %q (make bench) or %q (make bench-full only)", t.Set, Short, Full)
	}
	c.Load = p.flags(join(path, "load"), t.Load)
	return c
}

// word judges a name that becomes part of ids, commands and file names.
func (p *parser) word(path, value string) {
	if !word.MatchString(value) {
		p.fault("", path, "is %q; want lower-case letters, digits and dashes", value)
	}
}

// flags keeps the order of the file.
func (p *parser) flags(path string, table map[string]any) (flags []Flag) {
	byLine := func(a, b string) int { return p.lines.of(join(path, a)) - p.lines.of(join(path, b)) }
	for _, name := range slices.SortedStableFunc(slices.Values(slices.Sorted(maps.Keys(table))), byLine) {
		if slices.Contains(owned, name) {
			p.fault(path, name, "is given by the run itself; remove the line")
			continue
		}
		list, isList := table[name].([]any)
		if !isList {
			list = []any{table[name]}
		}
		f := Flag{Name: name}
		for _, v := range list {
			value, err := text(v)
			if err != nil {
				p.fault(path, name, "%v", err)
			}
			f.Values = append(f.Values, value)
		}
		flags = append(flags, f)
	}
	return flags
}

// Fault is an error about one of the case's flags, or about another of its keys, at its line.
func (c *Case) Fault(key, format string, a ...any) error {
	path := join(c.path, key)
	return fmt.Errorf("%s:%d: %s: %s", c.file, c.lines.of(path), path, fmt.Sprintf(format, a...))
}
