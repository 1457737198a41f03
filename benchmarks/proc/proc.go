// Package proc reads what processes and processors have cost from /proc: CPU time, resident memory, process trees.
// Functions are stateless and may be called from any goroutine.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// userHz is USER_HZ: the unit of times in /proc, 100 a second on every architecture that Go supports (proc(5)).
const userHz = 100

// Stat is the part of /proc/PID/stat that the benchmarks use.
type Stat struct {
	PID, PPID  int
	Comm       string
	CPUSeconds float64 // user + system, all threads; ended children are not in it
}

// ParseStat reads one line of /proc/PID/stat. The command may itself contain blanks and parentheses: it ends at the
// line's last ')' (proc(5)).
func ParseStat(line string) (Stat, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return Stat{}, fmt.Errorf("parse process stat %q: no command in parentheses", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:open]))
	if err != nil {
		return Stat{}, fmt.Errorf("parse process stat: %w", err)
	}
	f := strings.Fields(line[end+1:]) // f[0] is field 3, state
	if len(f) < 13 {
		return Stat{}, fmt.Errorf("parse process stat of %d: %d fields after the command, want 13 or more", pid, len(f))
	}
	ppid, err1 := strconv.Atoi(f[1])
	user, err2 := strconv.ParseUint(f[11], 10, 64)
	system, err3 := strconv.ParseUint(f[12], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Stat{}, fmt.Errorf("parse process stat of %d: %w", pid, err)
	}
	return Stat{PID: pid, PPID: ppid, Comm: line[open+1 : end], CPUSeconds: float64(user+system) / userHz}, nil
}

// Tree returns root and all its living descendants. An error means that root itself is not there.
func Tree(root int) ([]int, error) {
	if _, err := readStat(root); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if st, err := readStat(pid); err == nil { // a process may end while the list is read
			children[st.PPID] = append(children[st.PPID], pid)
		}
	}
	pids := []int{root}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids, nil
}

// cpuClock is CPUCLOCK_SCHED: the scheduler's own account of all threads of a process (include/linux/posix-timers.h).
const cpuClock = 2

// CPUSeconds is user + system time of all pids together to the nanosecond, ended threads included, ended children not:
// their CPU clocks, as clock_getcpuclockid(3) names them. The times in /proc/PID/stat are the same, in ticks of 10 ms.
func CPUSeconds(pids []int) (float64, error) {
	sum := int64(0)
	for _, pid := range pids {
		var t unix.Timespec
		if err := unix.ClockGettime(int32(^pid<<3|cpuClock), &t); err != nil {
			return 0, fmt.Errorf("read processor time of process %d: %w", pid, err) // EINVAL: there is no such process
		}
		sum += t.Nano()
	}
	return float64(sum) / 1e9, nil
}

// RSS is the resident memory of all pids together in bytes, shared pages counted once per process. It is taken from
// smaps_rollup, which walks the page tables: since Linux 6.2 the counters in statm may lag by 32 pages per CPU.
func RSS(pids []int) (int64, error) {
	sum := int64(0)
	for _, pid := range pids {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
		}
		rss, err := parseRollup(text)
		if err != nil {
			return 0, fmt.Errorf("read memory of process %d: %w", pid, err)
		}
		sum += rss
	}
	return sum, nil
}

func parseRollup(text []byte) (int64, error) {
	for line := range bytes.Lines(text) {
		f := bytes.Fields(line)
		if len(f) == 3 && string(f[0]) == "Rss:" {
			kib, err := strconv.ParseInt(string(f[1]), 10, 64)
			return kib << 10, err
		}
	}
	return 0, errors.New("no Rss line in smaps_rollup")
}

// Busy reads /proc/stat: the seconds each processor has spent on anything but idling and waiting for I/O, index =
// processor number. Time stolen by the hypervisor is not busy.
func Busy() ([]float64, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, fmt.Errorf("read processor times: %w", err)
	}
	return ParseBusy(string(text))
}

// ParseBusy is Busy over the text of /proc/stat.
func ParseBusy(text string) ([]float64, error) {
	var busy []float64
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		ticks := uint64(0)
		for _, i := range []int{1, 2, 3, 6, 7} { // user nice system irq softirq; guest time is inside user
			n, err := strconv.ParseUint(f[i], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("parse /proc/stat, %s: %w", f[0], err)
			}
			ticks += n
		}
		busy = append(busy, float64(ticks)/userHz)
	}
	if len(busy) == 0 {
		return nil, errors.New("parse /proc/stat: no processor lines")
	}
	return busy, nil
}

func readStat(pid int) (Stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Stat{}, fmt.Errorf("read process %d: %w", pid, err)
	}
	return ParseStat(string(text))
}

// SelfCPUSeconds is the calling process's user + system time.
func SelfCPUSeconds() (float64, error) {
	return CPUSeconds([]int{os.Getpid()})
}
