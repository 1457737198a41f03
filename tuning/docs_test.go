package tuning

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	page  = "../docs/tuning.md"
	begin = "<!-- computed: begin -->\n"
	end   = "<!-- computed: end -->"
)

// TestTheWorkedExample holds the page to what the code computes; LONGSPLICE_UPDATE=1 writes it.
func TestTheWorkedExample(t *testing.T) {
	h, g := newHost(t, "million")
	got := example(h.inspect(g))
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, okA := strings.Cut(string(data), begin)
	want, after, okB := strings.Cut(rest, end)
	if !okA || !okB {
		t.Fatalf("%s has no place for the example", page)
	}
	if os.Getenv("LONGSPLICE_UPDATE") != "" {
		if err := os.WriteFile(page, []byte(before+begin+got+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not what the code computes (-page +code):\n%s", page, diff)
	}
}

// example is a report as the page shows it.
func example(r *Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n> %s\n>\n> %s\n\n| limit | now | needed | sessions | |\n|---|---|---|---|---|\n", r.Verdict.Text, r.Verdict.Outlook)
	for i := range r.Limits {
		if l := &r.Limits[i]; l.Sessions != Unbounded || l.State != Fine {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", l.Name, l.Current, l.Needed, strings.Trim(sessions(l), "-"), l.State)
		}
	}
	b.WriteString("\n`longsplice tune apply --persist` would then set, in this order:\n\n")
	for _, n := range r.Needs {
		fmt.Fprintf(&b, "    %-8s %s: %s -> %s\n", n.Kind, n.Name, strings.Trim(oneBlank(n.Current)+" ", " "), oneBlank(n.Wanted))
	}
	b.WriteString("\n")
	return strings.ReplaceAll(b.String(), ":  ->", ": absent ->")
}

// The page speaks of every limit, by the name that doctor gives it, and of every setting that doctor explains.
func TestThePageIsComplete(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	speaks := func(name string) {
		for _, device := range []string{"eth0", "eth1", "ens3"} {
			name = strings.ReplaceAll(name, device, "IFACE")
		}
		if name = strings.TrimPrefix(name, conntrackTimeout); !strings.Contains(string(data), name) {
			t.Errorf("%s does not speak of %q", page, name)
		}
	}
	for _, c := range edgeLowered {
		speaks(c.want)
	}
	for _, name := range hosts {
		h, g := newHost(t, name)
		for _, l := range h.inspect(g).Limits {
			speaks(l.Name)
		}
	}
	for _, d := range dangerous {
		speaks(strings.TrimPrefix(d.name, "net.ipv4."))
	}
}
