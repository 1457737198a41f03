package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is one key of a section, bound to the struct member it fills.
type field struct {
	key  string
	read func(value) []complaint // leaves the member alone if it complains
	show func() string           // the member as a TOML value
}

// complaint is a fault and where it is.
type complaint struct {
	fault
	at place
}

// one binds a key to a member with a single value.
func one[T any](key string, to *T, parse func(any) (T, *fault), show func(T) string) field {
	read := func(v value) []complaint {
		parsed, bad := parse(v.raw)
		if bad != nil {
			return []complaint{{*bad, v.at}}
		}
		*to = parsed
		return nil
	}
	return field{key, read, func() string { return show(*to) }}
}

// list binds a key to a member that is an array. Every bad element is told, and
// is zero in the member, so that the indexes of the others hold.
func list[T any](key string, to *[]T, parse func(any) (T, *fault), show func(T) string) field {
	read := func(v value) []complaint {
		elements, ok := v.raw.([]value)
		if !ok {
			return []complaint{{*wrongType(v.raw, "an array", `write ["...", "..."]`), v.at}}
		}
		var bad []complaint
		var all []T
		for _, e := range elements {
			parsed, f := parse(e.raw)
			if f != nil {
				bad = append(bad, complaint{*f, e.at})
			}
			all = append(all, parsed)
		}
		*to = all
		return bad
	}
	return field{key, read, func() string {
		var shown []string
		for _, t := range *to {
			shown = append(shown, show(t))
		}
		return "[" + strings.Join(shown, ", ") + "]"
	}}
}

// fromText makes a parser of TOML values from one of strings.
func fromText[T any](parse func(string) (T, *fault), example string) func(any) (T, *fault) {
	return func(raw any) (T, *fault) {
		s, ok := raw.(string)
		if !ok {
			var none T
			return none, wrongType(raw, "a string", "write "+example)
		}
		return parse(s)
	}
}

func textField(key string, to *string, parse func(string) (string, *fault), example string) field {
	return one(key, to, fromText(parse, example), showText)
}

// choiceField binds a key to a member that is one of a few words.
func choiceField(key string, to *string, words ...string) field {
	want := "write one of " + quoteAll(words)
	return textField(key, to, func(s string) (string, *fault) {
		if !slices.Contains(words, s) {
			return "", wrong(quote(s)+" is not known here", want)
		}
		return s, nil
	}, "one of "+quoteAll(words))
}

func quoteAll(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quote(w)
	}
	return strings.Join(quoted, ", ")
}

func durationField(key string, to *time.Duration, s span) field {
	return one(key, to, fromText(s.parse, `a duration in quotes, "30s"`), func(d time.Duration) string {
		return showText(showDuration(d))
	})
}

func sizeField(key string, to *int64, from, low int64) field {
	return one(key, to, fromText(sizeParser(from, low), `a size in quotes, "64KiB"`), func(n int64) string {
		return showText(showSize(n))
	})
}

func numberField[T int | uint16](key string, to *T, from, max int64) field {
	want := fmt.Sprintf("write a whole number from %d to %d", from, max)
	parse := func(raw any) (T, *fault) {
		n, ok := raw.(int64)
		switch {
		case !ok:
			return 0, wrongType(raw, "a whole number", want)
		case n < from || n > max:
			return 0, wrong(strconv.FormatInt(n, 10)+" is out of range", want)
		}
		return T(n), nil
	}
	return one(key, to, parse, func(n T) string { return strconv.FormatInt(int64(n), 10) })
}

// fractionField binds a key to a float that satisfies ok; want says which do.
func fractionField(key string, to *float64, ok func(float64) bool, want string) field {
	parse := func(raw any) (float64, *fault) {
		f, isFloat := raw.(float64)
		if n, isInt := raw.(int64); isInt {
			f, isFloat = float64(n), true
		}
		switch {
		case !isFloat:
			return 0, wrongType(raw, "a number", want)
		case math.IsNaN(f) || math.IsInf(f, 0) || !ok(f):
			return 0, wrong(showFraction(f)+" is out of range", want)
		}
		return f + 0, nil // -0 becomes 0
	}
	return one(key, to, parse, showFraction)
}

// shareField binds a key to a share, 0 to 1.
func shareField(key string, to *float64) field {
	return fractionField(key, to, func(f float64) bool { return 0 <= f && f <= 1 }, "write a share from 0.0 to 1.0")
}

func flagField(key string, to *bool) field {
	parse := func(raw any) (bool, *fault) {
		b, ok := raw.(bool)
		if !ok {
			return false, wrongType(raw, "a boolean", "write true or false")
		}
		return b, nil
	}
	return one(key, to, parse, strconv.FormatBool)
}

func showFraction(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.ContainsAny(s, ".NI") { // nor NaN, +Inf
		s += ".0"
	}
	return s
}

// showText writes a TOML basic string that expands to s again.
func showText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '$':
			b.WriteString("$$")
		case isControl(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func wrongType(raw any, wanted, remedy string) *fault {
	return wrong("is "+typeName(raw)+", not "+wanted, remedy)
}

func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a fraction"
	case bool:
		return "a boolean"
	case []value:
		return "an array"
	case *table:
		return "a table"
	case []*table:
		return "an array of tables"
	case time.Time:
		return "a date or time"
	}
	return "something else"
}
