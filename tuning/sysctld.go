package tuning

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// bootLine is one line of a sysctl.d file.
type bootLine struct {
	name  string // as we write it, with dots
	value string // one blank between numbers
	file  string
	line  int
}

// readBootLines reads what is set at boot in the order of sysctl.d(5): files by name whatever their folder, of two with one
// name that of the first folder, and /etc/sysctl.conf last, as sysctl(8) --system has it. (systemd-sysctl reads that file
// only where a link in sysctl.d leads to it.)
func readBootLines(r Roots) (all []bootLine) {
	for _, path := range bootFiles(r) {
		for i, line := range lines(path) {
			if s, ok := parseBootLine(line); ok {
				s.file, s.line = path, i+1
				all = append(all, s)
			}
		}
	}
	return all
}

func bootFiles(r Roots) []string {
	local := filepath.Join(filepath.Dir(r.Lib), "local/lib")
	files := confFiles([]string{r.Etc, r.Run, local, r.Lib}, "sysctl.d")
	files = slices.DeleteFunc(files, func(path string) bool { // a link to /dev/null hides those of its name
		to, err := filepath.EvalSymlinks(path)
		return err == nil && to == "/dev/null"
	})
	if last := r.Etc + "/sysctl.conf"; exists(last) {
		files = append(files, last)
	}
	return files
}

// parseBootLine reads "name = value". A dash before the name means that a failure is no matter.
func parseBootLine(line string) (bootLine, bool) {
	line = strings.TrimSpace(line)
	name, value, ok := strings.Cut(line, "=")
	if !ok || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
		return bootLine{}, false
	}
	name = strings.TrimSpace(strings.TrimPrefix(name, "-"))
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		name = strings.NewReplacer("/", ".", ".", "/").Replace(name)
	}
	return bootLine{name: name, value: oneBlank(value)}, true
}

// oneBlank makes values comparable: the kernel writes tabs where people write blanks.
func oneBlank(value string) string { return strings.Join(strings.Fields(value), " ") }

// winner is the bootLine of a sysctl that counts, and those that it overrides.
func (h *host) winner(name string) (won *bootLine, lost []bootLine) {
	for i := range h.files {
		if s := &h.files[i]; s.name == name {
			if won != nil {
				lost = append(lost, *won)
			}
			won = s
		}
	}
	return won, lost
}

// after is the last file that sets a sysctl and that would win over what `tune apply --persist` writes; nil if there is none.
func (h *host) after(name string) *bootLine {
	won, _ := h.winner(name)
	if won == nil {
		return nil
	}
	if base := filepath.Base(won.file); base > filepath.Base(sysctlFile) || base == "sysctl.conf" {
		return won
	}
	return nil
}

// at is where a line stands.
func (b *bootLine) at() string { return fmt.Sprintf("%s:%d", b.file, b.line) }
