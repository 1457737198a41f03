package tuning

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const fileHead = "# Written by `longsplice tune apply --persist`, taken away by `longsplice tune revert`.\n"

// value is what is to be written.
func (c *Change) value() *value {
	switch c.Kind {
	case Sysctl:
		return &value{Text: raw(c.Text + "\n")}
	case File:
		return &value{Text: raw(c.Text), Mode: 0o644, UID: os.Geteuid(), GID: os.Getegid()}
	}
	return &value{Text: raw(c.Text)}
}

// kept is a sysctl that shall come back at the next boot.
type kept struct{ name, text, why string }

// settings are those of earlier applies and those of needs; where both have one, the need's.
func settings(needs []Need, earlier *record) (all []kept) {
	put := func(s kept) {
		for i := range all {
			if all[i].name == s.name {
				all[i] = s
				return
			}
		}
		all = append(all, s)
	}
	for i := range earlier.Steps {
		if s := &earlier.Steps[i]; s.Kind == Sysctl {
			put(kept{s.Name, show(Sysctl, s.wanted()), s.Why})
		}
	}
	for _, n := range needs {
		if n.Kind == Sysctl {
			put(kept{n.Name, strings.Join(strings.Fields(n.Wanted), " "), n.Why})
		}
	}
	return all
}

// lasting are the files by which a boot sets sysctls as they are wanted. Those of connection tracking exist only once its
// module is loaded, and systemd-sysctl does not wait for it: it is loaded at boot, before.
func lasting(r Roots, all []kept) (files []Change) {
	if len(all) == 0 {
		return nil
	}
	var text strings.Builder
	text.WriteString(fileHead)
	tracked := false
	for _, s := range all {
		fmt.Fprintf(&text, "\n# %s\n%s = %s\n", oneLine(s.why), s.name, s.text)
		tracked = tracked || strings.Contains(s.name, "nf_conntrack")
	}
	if tracked {
		files = append(files, Change{
			Kind: File, Name: filepath.Join(r.Etc, modulesFile), Text: fileHead + "nf_conntrack\n",
			Why: "settings of nf_conntrack are lost at boot if its module is loaded after they are set",
		})
	}
	return append(files, Change{
		Kind: File, Name: filepath.Join(r.Etc, sysctlFile), Text: text.String(),
		Why: "sets " + plural(len(all), "sysctl") + " again at each boot",
	})
}

// unitFiles are one file for each unit that needs name.
func unitFiles(r Roots, needs []Need) (files []Change) {
	for _, n := range needs {
		unit, key, ok := strings.Cut(n.Name, " ")
		if n.Kind != Unit || !ok {
			continue
		}
		path := filepath.Join(r.Etc, fmt.Sprintf(dropInFile, unit))
		line := fmt.Sprintf("# %s\n%s=%s\n", oneLine(n.Why), key, n.Wanted)
		if last := len(files) - 1; last >= 0 && files[last].Name == path {
			files[last].Text += line
			files[last].Why += "; " + n.Why
			continue
		}
		files = append(files, Change{Kind: File, Name: path, Why: n.Why, Text: fileHead + "[Service]\n" + line})
	}
	return files
}

// oneLine keeps a comment a comment.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// afterwards is what a person has to know, and do, once a plan is carried out.
func afterwards(p *Plan, persist bool) (notes []string) {
	changes := func(has func(c Change) bool) bool { return slices.ContainsFunc(p.Changes, has) }
	if !persist && changes(func(c Change) bool { return c.Kind == Sysctl }) {
		notes = append(notes, "sysctls are set until the next boot; with --persist each boot sets them again")
	}
	if changes(func(c Change) bool { return c.Kind == Address }) {
		notes = append(notes, "addresses are there until the next boot: what configures the network (networkd, netplan, ifupdown) has to bring them back")
	}
	if changes(func(c Change) bool { return filepath.Base(c.Name) == filepath.Base(dropInFile) }) {
		notes = append(notes, "the unit's limits take effect with `systemctl daemon-reload` and a restart or `longsplice upgrade`")
	}
	return notes
}

// overridden tells of lines that are read after ours at boot and say something else: they would win.
func overridden(r Roots, all []kept, needs []Need) (notes []string) {
	h := &host{files: readBootLines(r)}
	for _, s := range all {
		if l := h.after(s.name); l != nil && l.value != s.text {
			notes = append(notes, fmt.Sprintf("%s sets %s = %s and wins at boot over %s: remove that line", l.at(), s.name, l.value, filepath.Join(r.Etc, sysctlFile)))
		}
	}
	for _, n := range needs {
		unit, key, _ := strings.Cut(n.Name, " ")
		if n.Kind != Unit {
			continue
		}
		if path, value := laterDropIn(r, unit, key); path != "" && value != n.Wanted {
			notes = append(notes, fmt.Sprintf("%s sets %s=%s and wins over %s: remove that line", path, key, value, fmt.Sprintf(dropInFile, unit)))
		}
	}
	return notes
}

// laterDropIn is the last drop-in that sets a key of [Service] and is read after ours; "" if there is none.
func laterDropIn(r Roots, name, key string) (path, value string) {
	folders := []string{r.Etc + "/systemd/system", r.Run + "/systemd/system", r.Lib + "/systemd/system"}
	for _, p := range confFiles(folders, name+".d") {
		u := &unit{values: map[string][]string{}}
		u.read(p, "[Service]")
		if v := u.last(key); v != "" && filepath.Base(p) > filepath.Base(dropInFile) {
			path, value = p, v
		}
	}
	return path, value
}
