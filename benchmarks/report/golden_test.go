package report

import (
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files again")

// fixture is a report with every workload, a target that is missing, two unsound runs and one that the harness limited.
func fixture(t *testing.T) *Report {
	t.Helper()
	r, err := Load("testdata/report")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTablesAreAsTheyWere(t *testing.T) {
	r := fixture(t)
	tests := []struct {
		file  string
		write func(io.Writer) error
	}{
		{"table.txt", func(w io.Writer) error { return r.Table(w, Plain) }},
		{"narrow.txt", func(w io.Writer) error { return r.Table(w, Style{Width: 60}) }},
		{"report.md", r.Markdown},
		{"moves.txt", func(w io.Writer) error { return Compare(r, changed(t)).Table(w, Plain) }},
	}
	for _, tc := range tests {
		t.Run(tc.file, func(t *testing.T) {
			var b strings.Builder
			if err := tc.write(&b); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", tc.file)
			if *update {
				if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("run with -update if this is meant:\n%s", d)
			}
		})
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	r := fixture(t)
	for _, width := range []int{80, 100, 200} {
		var b strings.Builder
		if err := r.Table(&b, Style{Width: width}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := len([]rune(strings.TrimRight(line, "\n"))); n > width && strings.HasPrefix(line, indent) {
				t.Errorf("%d columns of %d: %s", n, width, line)
			}
		}
	}
}

func TestColoursChangeNoText(t *testing.T) {
	r := fixture(t)
	var with, without strings.Builder
	if err := r.Table(&with, Style{Width: 100, Colour: true}); err != nil {
		t.Fatal(err)
	}
	if err := r.Table(&without, Plain); err != nil {
		t.Fatal(err)
	}
	bare := with.String()
	for _, code := range []string{"0", "1", "2", "31", "32"} {
		bare = strings.ReplaceAll(bare, "\x1b["+code+"m", "")
	}
	if bare == with.String() {
		t.Error("no colours")
	}
	trimmed := func(s string) (lines []string) {
		for line := range strings.Lines(s) {
			lines = append(lines, strings.TrimRight(line, " \n"))
		}
		return lines
	}
	if d := cmp.Diff(trimmed(without.String()), trimmed(bare)); d != "" {
		t.Error(d)
	}
}

func TestAFileGetsNoColours(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if st := StyleOf(f); st != Plain {
		t.Errorf("%+v, want %+v", st, Plain)
	}
}
