package matrix

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// repository is the root of the tree, as seen from this package: go test runs a test in its package's folder.
const repository = "../.."

// A fault is one wrong line of the product and the test that has to notice it. A test that no fault makes fail says
// nothing: testdata/faults holds at least one for each row of the matrix.
type fault struct {
	Row     string `toml:"row"`     // of the fault matrix or the pitfalls: "T6"
	What    string `toml:"what"`    // what the product does wrong then
	File    string `toml:"file"`    // from the root of the repository
	Old     string `toml:"old"`     // text that occurs once in file
	New     string `toml:"new"`     // what stands there instead; it compiles
	Test    string `toml:"test"`    // regexp for go test -run
	Package string `toml:"package"` // the test's: "./pkg/matrix"
}

func (f fault) String() string { return f.Row + ": " + f.What }

// readFaults reads testdata/faults, in the order of the rows.
func readFaults(t *testing.T) []fault {
	t.Helper()
	paths, err := filepath.Glob("testdata/faults/*.toml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found no faults in testdata/faults: %v", err)
	}
	var all []fault
	for _, path := range paths {
		var file struct{ Fault []fault }
		meta, err := toml.DecodeFile(path, &file)
		if err != nil {
			t.Fatalf("read faults: %v", err)
		}
		if unknown := meta.Undecoded(); len(unknown) > 0 {
			t.Errorf("%s: unknown keys %v", path, unknown)
		}
		all = append(all, file.Fault...)
	}
	slices.SortStableFunc(all, func(a, b fault) int { return rowNumber(a.Row) - rowNumber(b.Row) })
	return all
}

// aRow is a row of the fault matrix ("T6") or of the pitfalls behind it ("C1").
var aRow = regexp.MustCompile(`^[A-HT][1-9][0-9]?$`)

// rowNumber is 6 for "T6", 0 for what is no row of the matrix.
func rowNumber(row string) (n int) {
	_, _ = fmt.Sscanf(row, "T%d", &n)
	return n
}

// mutated is the text of the file with the fault in it.
func (f fault) mutated() ([]byte, error) {
	if !strings.HasSuffix(f.File, ".go") || strings.HasSuffix(f.File, "_test.go") {
		return nil, fmt.Errorf("%s: not a Go file of the product", f.File)
	}
	text, err := os.ReadFile(filepath.Join(repository, f.File))
	if err != nil {
		return nil, fmt.Errorf("read the faultless file: %w", err)
	}
	if f.Old == f.New {
		return nil, errors.New("old and new are the same")
	}
	if n := strings.Count(string(text), f.Old); n != 1 {
		return nil, fmt.Errorf("%s: the old text occurs %d times, want once:\n%s", f.File, n, f.Old)
	}
	return []byte(strings.Replace(string(text), f.Old, f.New, 1)), nil
}

// parsed remembers what tests found in a folder.
var parsed = map[string]map[string]string{}

var testName = regexp.MustCompile("^(Test|Fuzz)")

// tests maps the name of each test in a folder of the tree to its doc comment.
func tests(folder string) (map[string]string, error) {
	folder = filepath.Join(repository, folder)
	if found, known := parsed[folder]; known {
		return found, nil
	}
	paths, err := filepath.Glob(filepath.Join(folder, "*_test.go"))
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, fmt.Errorf("parse tests: %w", err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && testName.MatchString(fn.Name.Name) {
				found[fn.Name.Name] = fn.Doc.Text()
			}
		}
	}
	parsed[folder] = found
	return found, nil
}

// names says whether the fault's regexp means the test; what follows a slash chooses among its cases.
func (f fault) names(test string) (bool, error) {
	top, _, _ := strings.Cut(f.Test, "/")
	return regexp.MatchString(top, test)
}

// problems is what keeps the fault from being tried, and nil if nothing does.
func (f fault) problems() (problems []error) {
	if !aRow.MatchString(f.Row) || f.What == "" || f.Test == "" {
		problems = append(problems, fmt.Errorf("row %q, what %q, test %q: one of them says nothing", f.Row, f.What, f.Test))
	}
	if _, err := f.mutated(); err != nil {
		problems = append(problems, err)
	}
	there, err := tests(f.Package)
	if err != nil {
		return append(problems, err)
	}
	for name := range there {
		if yes, err := f.names(name); err != nil || yes {
			return problems // a bad regexp is go test's to explain
		}
	}
	return append(problems, fmt.Errorf("no test in %s is called %s", f.Package, f.Test))
}

// TestEveryFaultStillApplies keeps the faults true to the product as it changes; `make faults` tries them.
func TestEveryFaultStillApplies(t *testing.T) {
	for _, f := range readFaults(t) {
		for _, err := range f.problems() {
			t.Errorf("%v: %v", f, err)
		}
	}
}

// heldRows are the rows that tests of this tree hold; docs/reliability.md says where the others are.
const heldRows = "T1 T3 T4 T5 T6 T7 T8 T11 T12 T13 T14 T15 T16 T17 T19 T20 T21 T22 T23 T24 T25 T27 T29 T30"

// TestEveryRowHasAFault looks also for rows in the doc comments of the tests here: a T and a number.
func TestEveryRowHasAFault(t *testing.T) {
	there, err := tests("pkg/matrix")
	if err != nil {
		t.Fatal(err)
	}
	faulty := map[string]bool{}
	for _, f := range readFaults(t) {
		faulty[f.Row] = true
	}
	for _, r := range strings.Fields(heldRows) {
		if !faulty[r] {
			t.Errorf("no fault of testdata/faults shows that a test of %s can fail", r)
		}
	}
	row := regexp.MustCompile(`\bT[1-9][0-9]?\b`)
	for test, doc := range there {
		for _, r := range row.FindAllString(doc, -1) {
			if !faulty[r] {
				t.Errorf("%s is a test of %s, and no fault of testdata/faults shows that it can fail", test, r)
			}
		}
	}
}

// TestFaultsThatCannotBeTried proves the two tests above able to fail.
func TestFaultsThatCannotBeTried(t *testing.T) {
	sound := fault{"T1", "the wait is shorter", "pkg/worker/loop.go", "busyWaitMs   = 5 ", "busyWaitMs   = 4 ", "TestEveryFault", "./pkg/matrix"}
	cases := []struct {
		name   string
		change func(*fault)
		want   string // a part of the one problem; "": none
	}{
		{"sound", func(*fault) {}, ""},
		{"no such file", func(f *fault) { f.File = "pkg/worker/none.go" }, "no such file"},
		{"a test is no product", func(f *fault) { f.File = "pkg/matrix/faults_test.go" }, "not a Go file of the product"},
		{"the text is gone", func(f *fault) { f.Old = "busyWaitMs = 7" }, "occurs 0 times"},
		{"the text is there twice", func(f *fault) { f.Old = "busyWaitMs" }, "times, want once"},
		{"nothing changes", func(f *fault) { f.New = f.Old }, "the same"},
		{"no such test", func(f *fault) { f.Test = "TestNoSuch" }, "no test in ./pkg/matrix is called TestNoSuch"},
		{"no such package", func(f *fault) { f.Package = "./pkg/none" }, "no test in ./pkg/none"},
		{"no row", func(f *fault) { f.Row = "six" }, "says nothing"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := sound
			c.change(&f)
			got := f.problems()
			if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0].Error(), c.want)) {
				t.Errorf("problems %v, want %q", got, c.want)
			}
		})
	}
}
