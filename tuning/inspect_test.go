package tuning

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var hosts = []string{"debian-vm", "edge-box", "container", "blog-sysctls", "million"}

// TestReportsOfHosts compares with the golden files; LONGSPLICE_UPDATE=1 writes them.
func TestReportsOfHosts(t *testing.T) {
	for _, name := range hosts {
		t.Run(name, func(t *testing.T) {
			h, g := newHost(t, name)
			got := strings.ReplaceAll(h.inspect(g).summary(), h.dir, "")
			golden := filepath.Join("testdata/hosts", name+".golden")
			if os.Getenv("LONGSPLICE_UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("not as in %s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// Whatever is needed, meeting it leaves nothing that meeting it could mend.
func TestNeedsAreAllThatIsNeeded(t *testing.T) {
	for _, name := range hosts {
		t.Run(name, func(t *testing.T) {
			h, g := newHost(t, name)
			r := h.inspect(g)
			for _, n := range r.Needs {
				switch n.Kind {
				case Sysctl:
					h.set(n.Name, n.Wanted)
				case Unit:
					h.put("etc/systemd/system/longsplice.service.d/99-tune.conf", "[Service]\nLimitNOFILE="+n.Wanted+"\n", 0o644)
				case Address:
					address, _, _ := strings.Cut(n.Name, "/")
					h.put("proc/net/fib_trie", h.get("proc/net/fib_trie")+"     |-- "+address+"\n        /32 host LOCAL\n", 0o644)
				}
			}
			again := h.inspect(g)
			if len(again.Needs) > 0 {
				t.Errorf("still needed: %+v", again.Needs)
			}
			if again.Verdict.Sessions != r.Verdict.After {
				t.Errorf("%d sessions where %d were promised: %s", again.Verdict.Sessions, r.Verdict.After, again.Verdict.Text)
			}
		})
	}
}

func TestInspectChangesNothing(t *testing.T) {
	for _, name := range hosts {
		h, g := newHost(t, name)
		was := h.dump()
		h.inspect(g)
		h.expectDump(was)
	}
}

func TestInspectOfNoHost(t *testing.T) {
	g, err := Suppose()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Inspect(Under(t.TempDir()), g); err == nil || !strings.Contains(err.Error(), "is /proc mounted?") {
		t.Errorf("got %v", err)
	}
}

// The names that scripts hold on to.
func TestReportAsJSON(t *testing.T) {
	h, g := newHost(t, "debian-vm")
	text, err := json.Marshal(h.inspect(g))
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Goal, Verdict        map[string]any
		Limits, Needs, Notes []map[string]any
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		of   map[string]any
		keys string
	}{
		{r.Goal, "files interface sessions supposed"},
		{r.Verdict, "binds binds_after next outlook sessions sessions_after short text"},
		{r.Limits[0], "command current formula name needed sessions state why"},
		{r.Needs[0], "current kind name wanted why"},
		{r.Notes[0], "about text"},
	} {
		if got := strings.Join(sorted(c.of), " "); got != c.keys {
			t.Errorf("got %q, want %q", got, c.keys)
		}
	}
}

// Every limit has all that a person needs to understand it, on every host.
func TestEveryLimitIsExplained(t *testing.T) {
	for _, name := range hosts {
		h, g := newHost(t, name)
		r := h.inspect(g)
		for _, l := range r.Limits {
			if l.Name == "" || l.Formula == "" || l.Why == "" || l.Current == "" || l.Needed == "" {
				t.Errorf("%s: something is missing: %+v", name, l)
			}
			if (l.Command == "") != (l.State == Fine) {
				t.Errorf("%s: %s is %s, and the command is %q", name, l.Name, l.State, l.Command)
			}
			if l.State == Short && l.Sessions >= int64(g.Sessions) {
				t.Errorf("%s: %s is short of %d with %d", name, l.Name, g.Sessions, l.Sessions)
			}
		}
		names := make([]string, 0, len(r.Limits))
		for _, l := range r.Limits {
			names = append(names, l.Name)
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != len(r.Limits) {
			t.Errorf("%s: two limits have one name: %v", name, names)
		}
	}
}

func TestAGoalThatIsJustHeld(t *testing.T) {
	h, g := newHost(t, "edge-box")
	g.Sessions = int(h.inspect(g).Verdict.Sessions)
	if v := h.inspect(g).Verdict; v.Short != 0 || !strings.HasPrefix(v.Text, "this host holds the 1,048,576 sessions of the goal, and about 1,000,000 sessions at most: ") {
		t.Errorf("got %+v", v)
	}
	g.Sessions++
	if v := h.inspect(g).Verdict; v.Short == 0 || !strings.HasPrefix(v.Text, "this host holds about 1,000,000 sessions: ") {
		t.Errorf("one more: got %+v", v)
	}
}

// A need that grows in a later round still knows what was there at first.
func TestNeedsRememberWhatWasThere(t *testing.T) {
	all := put(put(nil, Need{Name: "a", Current: "1", Wanted: "2"}), Need{Name: "a", Current: "2", Wanted: "3"})
	if want := []Need{{Name: "a", Current: "1", Wanted: "3"}}; !slices.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
}
