package tuning

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is the running program.
type process struct {
	pid        int
	dir        string // /proc/PID
	soft, hard int64  // RLIMIT_NOFILE; MaxInt64: unlimited
	privileged bool   // CAP_SYS_RESOURCE or CAP_SYS_ADMIN: the pipe quotas of users do not count
	guessed    bool   // found without its lock: it may serve another configuration
	elsewhere  bool   // in another network namespace: what we read of net.* is not its own
}

const program = "longsplice"

// findProcess finds the program by the lock beside its admin socket, else by looking through /proc; others is how many
// more there are. Its limits are what counts: a shell's are of no interest.
func findProcess(r Roots, admin string) (p *process, others int) {
	if pid, err := strconv.Atoi(text(r.path(admin) + ".lock")); admin != "" && err == nil && runs(r, pid) {
		return readProcess(r, pid), 0
	}
	var found []*process
	for _, name := range names(r.Proc) {
		if pid, err := strconv.Atoi(name); err == nil && text(filepath.Join(r.Proc, name, "comm")) == program && runs(r, pid) {
			found = append(found, readProcess(r, pid))
		}
	}
	if len(found) == 0 {
		return nil, 0
	}
	near := max(slices.IndexFunc(found, func(p *process) bool { return !p.elsewhere }), 0)
	found[near].guessed = true
	return found[near], len(found) - 1
}

// runs says whether a process was started with the command `run`, by whatever name the program has.
func runs(r Roots, pid int) bool {
	data, _ := os.ReadFile(filepath.Join(r.Proc, strconv.Itoa(pid), "cmdline"))
	words := strings.Split(string(data), "\x00")
	return len(words) > 1 && words[1] == "run"
}

func readProcess(r Roots, pid int) *process {
	p := &process{pid: pid, dir: filepath.Join(r.Proc, strconv.Itoa(pid))}
	p.soft, p.hard = noFile(p.dir + "/limits")
	p.privileged = privileged(fieldText(p.dir+"/status", "CapEff:"))
	own, errA := os.Readlink(r.Proc + "/self/ns/net")
	its, errB := os.Readlink(p.dir + "/ns/net")
	p.elsewhere = errA == nil && errB == nil && own != its
	return p
}

// noFile reads both limits of open files of /proc/PID/limits; 0 if they are not there.
func noFile(path string) (soft, hard int64) {
	words := strings.Fields(fieldText(path, "Max open files"))
	if len(words) < 2 {
		return 0, 0
	}
	return fileLimit(words[0]), fileLimit(words[1])
}

// fileLimit reads a number, "unlimited" or "infinity"; 0 if it is none of them.
func fileLimit(word string) int64 {
	if word == "unlimited" || word == "infinity" {
		return math.MaxInt64
	}
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil && !isRange(err) {
		return 0
	}
	return n
}

// isRange: the number is valid and too large, and ParseInt has returned the largest there is.
func isRange(err error) bool { return errors.Is(err, strconv.ErrRange) }

// privileged reads a mask of capabilities in hexadecimal: bits 21, CAP_SYS_ADMIN, and 24, CAP_SYS_RESOURCE.
func privileged(mask string) bool {
	caps, err := strconv.ParseUint(mask, 16, 64)
	return err == nil && caps&(1<<21|1<<24) != 0
}

// cgroup is the folder of the control group, version 2, of the program, or else of this process.
func (h *host) cgroup() string {
	dir := h.roots.Proc + "/self"
	if h.process != nil {
		dir = h.process.dir
	}
	return filepath.Join(h.roots.Sys, "fs/cgroup", fieldText(dir+"/cgroup", "0::"))
}

// cgroups are the folders from that one up to the root: each of them limits.
func (h *host) cgroups() (all []string) {
	root := filepath.Join(h.roots.Sys, "fs/cgroup")
	for dir := h.cgroup(); strings.HasPrefix(dir, root); dir = filepath.Dir(dir) {
		all = append(all, dir)
	}
	return all
}

// memoryMax is the least memory.max of the groups, and the file; 0: none. A unit that does not run yet has MemoryMax.
func (h *host) memoryMax() (bytes int64, path string) {
	for _, dir := range h.cgroups() {
		if all := numbers(text(dir + "/memory.max")); len(all) == 1 && (bytes == 0 || all[0] < bytes) {
			bytes, path = all[0], dir+"/memory.max"
		}
	}
	if n := parseBytes(h.unit.last("MemoryMax")); h.process == nil && n > 0 && (bytes == 0 || n < bytes) {
		return n, h.unit.name + " MemoryMax"
	}
	return bytes, path
}

// cpuQuota is the least cpu.max of the groups in CPUs; 0: none.
func (h *host) cpuQuota() (cpus float64) {
	for _, dir := range h.cgroups() {
		all := numbers(text(dir + "/cpu.max")) // "max 100000" has but one number
		if len(all) == 2 && all[1] > 0 {
			if n := float64(all[0]) / float64(all[1]); cpus == 0 || n < cpus {
				cpus = n
			}
		}
	}
	if n, err := strconv.ParseFloat(strings.TrimSuffix(h.unit.last("CPUQuota"), "%"), 64); h.process == nil && err == nil && (cpus == 0 || n/100 < cpus) {
		return n / 100
	}
	return cpus
}

// parseBytes reads a size as systemd writes it: 512M, 4G; 0 if it is none, or a share.
func parseBytes(size string) int64 {
	if size == "" {
		return 0
	}
	shift := strings.Index("KMGT", size[len(size)-1:])
	n, err := strconv.ParseInt(strings.TrimRight(size, "KMGT"), 10, 64)
	if err != nil {
		return 0
	}
	return n << (10 * (shift + 1))
}
