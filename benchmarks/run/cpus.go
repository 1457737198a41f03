package run

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ParseCPUs reads a list as taskset(1) does: "0", "0-3,8".
func ParseCPUs(text string) (cpus []int, err error) {
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || first < 0 || last < first || last > 8191 {
			return nil, fmt.Errorf("processors %q: want numbers and ranges: 0-3,8", text)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	slices.Sort(cpus)
	return slices.Compact(cpus), nil
}

// CPUList is the other way.
func CPUList(cpus []int) string {
	var parts []string
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, strconv.Itoa(cpus[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", cpus[i], cpus[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// SplitCPUs gives the balancer the first processors that this process may use, one a thread, and the rest to the load.
// If that leaves none, they share: shared is true, and rates say little.
func SplitCPUs(threads int) (balancer, rest []int, shared bool, err error) {
	usable, err := usableCPUs()
	if err != nil {
		return nil, nil, false, err
	}
	n := min(threads, len(usable))
	if n == len(usable) && n > 1 {
		n--
	}
	balancer, rest = usable[:n], usable[n:]
	if len(rest) == 0 {
		rest, shared = usable, true
	}
	return balancer, rest, shared || threads > n, nil
}

func usableCPUs() (cpus []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("get affinity: %w", err)
	}
	for cpu := range 64 * len(set) {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
