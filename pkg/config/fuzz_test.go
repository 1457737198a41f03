package config

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzParse holds that nothing panics, that every problem has a line of the
// file and something to say, and that a configuration survives being printed.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"contract.toml", "everything.toml", "fifteen.toml"} {
		data, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add(shortest)
	f.Add("[frontend]\na.b.c = [[], [{}], {x = 1}]\n\"\" = 1\n")
	f.Add("process = { name = \"${A:-$$}\", http = \"[::1]:1\" }\n" + shortest)
	f.Fuzz(func(t *testing.T, text string) {
		first, warnings, err := Parse("f", []byte(text), Options{Env: fuzzEnv})
		checkPlaces(t, text, warnings)
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("an error that is no Problems: %v", err)
			}
			checkPlaces(t, text, problems)
			return
		}
		checkPlaces(t, text, first.Unsupported())
		var b bytes.Buffer
		if err := first.Print(&b); err != nil {
			t.Fatal(err)
		}
		second, _, err := Parse("printed", b.Bytes(), Options{Env: noEnv})
		if err != nil {
			t.Fatalf("%v\n%s", err, b.String())
		}
		if diff := cmp.Diff(first, second, equal); diff != "" {
			t.Fatalf("-read +printed and read\n%s\n%s", diff, b.String())
		}
	})
}

// fuzzEnv has a variable that tries to get out of its string.
func fuzzEnv(name string) (string, bool) {
	return "\"\n[x]\n${A} #\\", name == "A"
}

func checkPlaces(t *testing.T, text string, problems []Problem) {
	lines := strings.Count(text, "\n") + 1
	for _, p := range problems {
		if p.Line < 1 || p.Line > lines || p.What == "" || p.File == "" {
			t.Errorf("of %d lines: %+v", lines, p)
		}
	}
}
