package run

import (
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/proc"
)

// NoiseLimit is the Foreign of a measurement from which on it is worth a warning: a tenth of a processor.
const NoiseLimit = 0.1

// use is processor time that was spent up to a moment.
type use struct {
	at   time.Time
	all  float64 // by everybody, in seconds: user, nice, system, and stolen by the hypervisor
	ours float64 // by the processes of the measurement and by this one
}

// readUse adds up what it can: a process that is gone counts with what it had used when it ended.
func readUse(ours []*child.Process) use {
	u := use{at: time.Now(), all: everybody()}
	u.ours, _ = proc.SelfCPUSeconds()
	for _, p := range ours {
		pids, err := proc.Tree(p.PID())
		if err != nil {
			u.ours += p.CPUSeconds()
			continue
		}
		seconds, _ := proc.CPUSeconds(pids)
		u.ours += seconds
	}
	return u
}

// foreign is how many processors others kept busy from u to now, in which the load generator lived and died. Times come
// in steps of 10 ms: below zero is zero.
func (u use) foreign(now use, generator float64) float64 {
	others := now.all - u.all - (now.ours - u.ours) - generator
	return max(0, others/now.at.Sub(u.at).Seconds())
}

// everybody reads /proc/stat's first line. Interrupts are left out: they are the measurement's own, as a rule.
func everybody() float64 {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	f := strings.Fields(line)
	sum := 0.0
	for _, i := range []int{1, 2, 3, 8} { // user nice system steal (proc_stat(5))
		if i < len(f) {
			n, _ := strconv.ParseFloat(f[i], 64)
			sum += n
		}
	}
	return sum / 100 // USER_HZ
}
