package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// RunSeconds is like CPUSeconds, to the nanosecond, for windows too short for ticks of 10 ms: the scheduler's own account
// of each living thread (schedstats, Linux 2.6.23). Threads that have ended are not in it. Without that account it is
// CPUSeconds.
func RunSeconds(pids []int) (float64, error) {
	sum := uint64(0)
	for _, pid := range pids {
		ns, err := runNanoseconds(pid)
		if err != nil {
			return CPUSeconds(pids)
		}
		sum += ns
	}
	return float64(sum) / 1e9, nil
}

func runNanoseconds(pid int) (sum uint64, err error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	tasks, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("list threads of process %d: %w", pid, err)
	}
	for _, t := range tasks {
		text, err := os.ReadFile(dir + "/" + t.Name() + "/schedstat")
		if os.IsNotExist(err) && len(tasks) > 1 {
			continue // a thread that ended just now
		}
		if err != nil {
			return 0, fmt.Errorf("read run time of process %d: %w", pid, err)
		}
		first, _, _ := strings.Cut(string(text), " ")
		ns, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("parse run time of process %d: %w", pid, err)
		}
		sum += ns
	}
	return sum, nil
}
