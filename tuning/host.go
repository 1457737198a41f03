package tuning

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// host is what is known of a machine. Sysctls are read when they are asked for.
type host struct {
	roots   Roots
	wanted  map[string]string // sysctls as Needs would make them: they hide what the kernel says
	unread  []string          // sysctls that were asked for and are not there
	process *process          // the running program; nil: none
	others  int               // further processes of the program
	unit    *unit
	net     network
	memory  int64 // bytes of RAM
	workers int64
	cpus    int64
	files   []bootLine // what sysctl.d says, in the order in which it is applied
}

// readHost looks at everything but the sysctls.
func readHost(r Roots, g *Goal) *host {
	h := &host{roots: r, wanted: map[string]string{}}
	h.process, h.others = findProcess(r, g.Config.Process.Admin)
	h.unit = readUnit(r)
	h.net = readNetwork(r)
	h.memory = field(r.Proc+"/meminfo", "MemTotal:") << 10
	h.cpus = h.usableCPUs()
	if h.workers = int64(g.Config.Process.Workers); h.workers == 0 {
		h.workers = h.cpus
	}
	h.files = readBootLines(r)
	return h
}

// sysctl is a value as the kernel writes it; ok is false where this kernel, or this network namespace, has none.
func (h *host) sysctl(name string) (value string, ok bool) {
	if v, hidden := h.wanted[name]; hidden {
		return v, true
	}
	v, err := os.ReadFile(h.roots.SysctlPath(name))
	return strings.TrimSpace(string(v)), err == nil
}

// number is a sysctl's first number. A value beyond int64 is the largest one: fs.file-max is that by default.
func (h *host) number(name string) (n int64, ok bool) {
	v, ok := h.sysctl(name)
	if !ok {
		return 0, false
	}
	all := numbers(v)
	if len(all) == 0 {
		return 0, false
	}
	return all[0], true
}

// triple is a sysctl of three numbers: tcp_mem, tcp_rmem, tcp_wmem.
func (h *host) triple(name string) (n [3]int64, ok bool) {
	v, _ := h.sysctl(name)
	all := numbers(v)
	if len(all) != 3 {
		return n, false
	}
	return [3]int64(all), true
}

// numbers are those of a text in columns; what is none is left out.
func numbers(text string) (all []int64) {
	for _, word := range strings.Fields(text) {
		n, err := strconv.ParseInt(word, 10, 64)
		if err == nil || isRange(err) {
			all = append(all, n)
		}
	}
	return all
}

// field is the number behind a word at the beginning of a line: "MemTotal:  123 kB". 0 if there is none.
func field(path, word string) int64 {
	rest := fieldText(path, word)
	if all := numbers(rest); len(all) > 0 {
		return all[0]
	}
	return 0
}

// fieldText is the rest of the line that begins with a word; "" if there is none.
func fieldText(path, word string) string {
	for _, line := range lines(path) {
		if rest, ok := strings.CutPrefix(line, word); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

// lines of a file, none if it cannot be read.
func lines(path string) []string {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimRight(string(data), "\n"), "\n")
}

// text is a file's first line; "" if it cannot be read.
func text(path string) string {
	if all := lines(path); len(all) > 0 {
		return strings.TrimSpace(all[0])
	}
	return ""
}

// names of a folder in order, none if it cannot be read.
func names(dir string) (all []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// usableCPUs is what the program counts its workers by: the affinity, or less if cpu.max allows less.
func (h *host) usableCPUs() int64 {
	status := h.roots.Proc + "/self/status"
	if h.process != nil {
		status = h.process.dir + "/status"
	}
	n := countCPUs(fieldText(status, "Cpus_allowed_list:"))
	if online := countCPUs(text(h.roots.Sys + "/devices/system/cpu/online")); online > 0 && (n == 0 || online < n) {
		n = online
	}
	n = max(n, 1)
	if quota := h.cpuQuota(); quota > 0 && int64(quota+0.999) < n {
		return int64(quota + 0.999)
	}
	return n
}

// countCPUs counts a list such as "0-3,6"; 0 if it is none.
func countCPUs(list string) (n int64) {
	for _, part := range strings.Split(list, ",") {
		from, to, found := strings.Cut(part, "-")
		if !found {
			to = from
		}
		a, errA := strconv.ParseInt(from, 10, 16)
		b, errB := strconv.ParseInt(to, 10, 16)
		if errA != nil || errB != nil || b < a {
			return 0
		}
		n += b - a + 1
	}
	return n
}

// kernelAtLeast compares with the running kernel; true if it does not say.
func (h *host) kernelAtLeast(major, minor int) bool {
	release, _ := h.sysctl("kernel.osrelease")
	parts := strings.FieldsFunc(release, func(c rune) bool { return c < '0' || c > '9' })
	if len(parts) < 2 {
		return true
	}
	a, _ := strconv.Atoi(parts[0])
	b, _ := strconv.Atoi(parts[1])
	return a > major || a == major && b >= minor
}

// path sees a path of the real tree through the roots.
func (r Roots) path(p string) string {
	for _, root := range []struct{ real, here string }{{"/run/", r.Run}, {"/etc/", r.Etc}, {"/usr/lib/", r.Lib}} {
		if rest, ok := strings.CutPrefix(p, root.real); ok {
			return filepath.Join(root.here, rest)
		}
	}
	return p
}
