package scenarios

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const good = `# Purpose: to be read
# by a test.
name = "tiny"
[[case]]
name = "one"
about = "one thing"
set = "short"
workload = "idle"
serve = "echo"
spread = true
[case.load]
sessions = [10, 20]
up = true
rate = 0.5
for = "1s"
`

func TestAFileIsReadInItsOrder(t *testing.T) {
	s, err := Parse("tiny.toml", []byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if s.Purpose != "to be read by a test." || s.Name != "tiny" || len(s.Cases) != 1 {
		t.Fatalf("got %+v", s)
	}
	c := s.Cases[0]
	want := []string{"idle", "--sessions=10", "--sessions=20", "--up=true", "--rate=0.5", "--for=1s"}
	if diff := cmp.Diff(want, c.Args()); diff != "" {
		t.Error(diff)
	}
	if c.ID() != "tiny/one" || !c.Spread || c.Set != Short || c.Serve != "echo" {
		t.Errorf("got %+v", c)
	}
}

func TestFaultsAreSaidWithTheirLine(t *testing.T) {
	change := func(old, text string) string { return strings.Replace(good, old, text, 1) }
	tests := []struct{ name, text, want string }{
		{"no purpose", change("# Purpose: to be read\n", "# to be read\n"), `x.toml:1: the file does not say what it is for; want a first line "# Purpose: ..."`},
		{"not TOML", change("[[case]]", "[[case]"), "x.toml:4: "},
		{"an unknown key", change("spread = true", "spraed = true"), "x.toml:10: case.spraed: unknown key; there are name, about, set"},
		{"an unknown key of the file", change(`name = "tiny"`, "name = \"tiny\"\nsize = 1"), "x.toml:4: size: unknown key; there are name and [[case]]"},
		{"a key twice", change("up = true", "rate = 1"), "x.toml:14: "},
		{"the wrong type", change("spread = true", "spread = 7"), "x.toml:10: "},
		{"an unknown set", change(`"short"`, `"medium"`), `x.toml:7: case[0].set: is "medium"; want "short" (make bench) or "full"`},
		{"no workload", change("workload = \"idle\"\n", ""), `x.toml:4: case[0].workload: is ""; want lower-case letters`},
		{"a name with blanks", change(`"one"`, `"one two"`), `x.toml:5: case[0].name: is "one two"; want lower-case`},
		{"no words for tables", change(`"one thing"`, `" "`), "x.toml:6: case[0].about: is empty; want"},
		{"a flag that the run gives", change("up = true", `to = "127.0.0.1:1"`), "x.toml:13: case[0].load.to: is given by the run itself"},
		{"a flag's value that no flag takes", change("up = true", "up = { a = 1 }"), "x.toml:13: case[0].load.up: is a map"},
		{"no case", "# Purpose: none.\nname = \"x\"\n", "x.toml:1: case: there is none; want one [[case]]"},
		{"a case twice", good + strings.Split(good, "name = \"tiny\"\n")[1], `x.toml:17: case[1].name: "one" is there twice`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Parse("x.toml", []byte(tc.text))
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s...", err, tc.want)
			}
		})
	}
}

func TestAllFaultsAreSaidTogether(t *testing.T) {
	text := strings.NewReplacer(`"short"`, `"medium"`, `"one"`, `"One"`).Replace(good)
	_, err := Parse("x.toml", []byte(text))
	if err == nil || strings.Count(err.Error(), "x.toml:") != 2 {
		t.Errorf("got %v; want two lines", err)
	}
}

func TestEveryFileIsListed(t *testing.T) {
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	entries, err := files.ReadDir(".")
	if err != nil || len(entries) != len(all) {
		t.Errorf("%d scenarios of %d files (%v)", len(all), len(entries), err)
	}
	for _, s := range all {
		if !slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == s.Name+".toml" }) {
			t.Errorf("scenario %q is not in the file of its name", s.Name)
		}
		if !slices.ContainsFunc(s.Cases, func(c Case) bool { return c.Set == Short }) {
			t.Errorf("scenario %s has no case in the short set", s.Name)
		}
	}
}

func TestChoose(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(own, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		words []string
		want  []string
		fault string
	}{
		{"a case", []string{"echo/64"}, []string{"echo/64"}, ""},
		{"a case twice is one", []string{"echo/64", "echo/64"}, []string{"echo/64"}, ""},
		{"in the order of the words", []string{"idle/4000", "echo/64"}, []string{"idle/4000", "echo/64"}, ""},
		{"a file", []string{own}, []string{"tiny/one"}, ""},
		{"a file that is not there", []string{"/nowhere/x.toml"}, nil, "no such file"},
		{"an unknown scenario", []string{"ehco"}, nil, `unknown scenario "ehco"; there are idle, echo,`},
		{"an unknown case", []string{"echo/65"}, nil, `scenario echo has no case "65"; it has 64, `},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			cases, err := Choose(tc.words, false)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) {
					t.Errorf("got %v, want %q in it", err, tc.fault)
				}
				return
			}
			if diff := cmp.Diff(tc.want, ids(cases)); diff != "" || err != nil {
				t.Error(diff, err)
			}
		})
	}
}

func TestTheShortSetIsPartOfTheFullOne(t *testing.T) {
	short, err1 := Choose(nil, false)
	full, err2 := Choose(nil, true)
	if err1 != nil || err2 != nil || len(short) == 0 || len(full) <= len(short) {
		t.Fatalf("%d and %d cases (%v, %v)", len(short), len(full), err1, err2)
	}
	for _, id := range ids(short) {
		if !slices.Contains(ids(full), id) {
			t.Errorf("%s is in the short set alone", id)
		}
	}
}

func TestOverrides(t *testing.T) {
	c := Case{Workload: "idle", Load: []Flag{{"sessions", []string{"1000", "4000"}}, {"for", []string{"1s"}}}}
	before := c
	c.Give("for", "1m")
	if want := "--for=1s"; before.Args()[3] != want {
		t.Errorf("the copy changed, too: %v", before.Args())
	}
	c.Scale("sessions", 400)
	c.Give("for", "2s")
	c.Give("warm", "1s")
	want := []string{"idle", "--sessions=100", "--sessions=400", "--for=2s", "--warm=1s"}
	if diff := cmp.Diff(want, c.Args()); diff != "" {
		t.Error(diff)
	}
	if before.Top("sessions") != 4000 || before.Has("warm") {
		t.Errorf("the copy changed, too: %v", before.Args())
	}
}

func TestEstimatesFollowTheLoad(t *testing.T) {
	of := func(flags ...Flag) time.Duration { return (&Case{Load: flags}).Estimate() }
	if short, long := of(Flag{"for", []string{"1s"}}), of(Flag{"for", []string{"5s"}}, Flag{"warm", []string{"1s"}}); long-short != 5*time.Second {
		t.Errorf("%s and %s", short, long)
	}
	if of(Flag{"bytes", []string{"12000000000"}}) < 10*time.Second {
		t.Error("12 GB take no time")
	}
}

func ids(cases []Case) (list []string) {
	for _, c := range cases {
		list = append(list, c.ID())
	}
	return list
}
