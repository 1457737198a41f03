package config

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

var reference = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// expand replaces ${NAME} and ${NAME:-default} (which is also taken when NAME is
// empty, as in a shell) and turns $$ into $. What it puts in is not expanded
// again.
func expand(s string, env func(string) (string, bool)) (string, *fault) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		if after, ok := strings.CutPrefix(rest, "$"); ok {
			out.WriteByte('$')
			s = after
			continue
		}
		m := reference.FindStringSubmatch(rest)
		if m == nil {
			return "", wrong("a `$` begins no ${NAME}", "write `$$` for the character itself")
		}
		text, bad := lookUp(m[1], m[2] != "", m[3], env)
		if bad != nil {
			return "", bad
		}
		out.WriteString(text)
		s = rest[len(m[0]):]
	}
}

func lookUp(name string, hasDefault bool, byDefault string, env func(string) (string, bool)) (string, *fault) {
	text, set := env(name)
	switch {
	case hasDefault && text == "":
		return byDefault, nil
	case !set:
		return "", wrong("the environment variable "+name+" is not set", "set it, or write ${"+name+":-default}")
	case !utf8.ValidString(text):
		return "", wrong("the environment variable "+name+" is not UTF-8", "TOML strings are")
	}
	return text, nil
}
