package tuning

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
)

// A host of testdata/hosts is one text: what `sysctl -a` would say, then files of the tree, each below a line
// "-- path --". longsplice.toml is the configuration.

// newHost unpacks a host and returns it with what its configuration asks for.
func newHost(t *testing.T, name string) (*tree, Goal) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/hosts", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	h := &tree{t, filepath.Join(memoryDir(t), "host")}
	sysctls, files, _ := strings.Cut(string(data), "-- ")
	for line := range strings.Lines(sysctls) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\n"), " = "); ok {
			h.set(name, value)
		}
	}
	for part := range strings.SplitSeq("\n"+files, "\n-- ") {
		path, text, _ := strings.Cut(part, " --\n")
		if filepath.Base(path) == "cmdline" {
			text = strings.ReplaceAll(strings.TrimSpace(text), " ", "\x00") + "\x00"
		}
		if path = strings.TrimSpace(path); path != "" {
			h.put(path, strings.TrimRight(text, "\n")+"\n", 0o644)
		}
	}
	return h, h.goal(h.get("longsplice.toml"))
}

// goal is what a configuration asks for.
func (h *tree) goal(text string) Goal {
	h.t.Helper()
	c, _, err := config.Parse("longsplice.toml", []byte(text), config.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	return GoalOf(c)
}

func (h *tree) inspect(g Goal) *Report {
	h.t.Helper()
	r, err := Inspect(Under(h.dir), g)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

// edit replaces text in a file of the host.
func (h *tree) edit(rel, was, is string) {
	h.t.Helper()
	text := h.get(rel)
	if !strings.Contains(text, was) {
		h.t.Fatalf("%s does not contain %q", rel, was)
	}
	h.put(rel, strings.Replace(text, was, is, 1), 0o644)
}

// limit finds one by its name.
func (r *Report) limit(name string) *Limit {
	for i := range r.Limits {
		if r.Limits[i].Name == name {
			return &r.Limits[i]
		}
	}
	return nil
}

// summary is the report in a few lines, for golden files.
func (r *Report) summary() string {
	var b strings.Builder
	b.WriteString(r.Verdict.Text + "\n" + r.Verdict.Outlook + "\n\n")
	for i := range r.Limits {
		l := &r.Limits[i]
		b.WriteString(strings.TrimRight(strings.Join([]string{string(l.State), l.Name, l.Current, l.Needed, sessions(l), l.Command}, " | "), " |") + "\n")
	}
	b.WriteString("\n")
	for _, n := range r.Needs {
		b.WriteString(strings.Join([]string{string(n.Kind), n.Name, oneBlank(n.Current) + " -> " + oneBlank(n.Wanted)}, " | ") + "\n")
	}
	b.WriteString("\n")
	for _, n := range r.Notes {
		b.WriteString(n.About + ": " + n.Text + "\n")
	}
	return b.String()
}

func sessions(l *Limit) string {
	if l.Sessions == Unbounded {
		return "-"
	}
	return Count(l.Sessions)
}
