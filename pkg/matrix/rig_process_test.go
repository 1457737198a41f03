package matrix

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// fds is how many descriptors the process has open, without those of /proc itself. -1: it is gone.
func (p *program) fds() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		return -1
	}
	return len(entries)
}

// rss is the process's resident memory in bytes.
func (p *program) rss() int64 { return p.procStatus("VmRSS:") << 10 }

// switches is how often its threads have gone to sleep by themselves: a loop that is at rest does so a few times a second.
func (p *program) switches() (n int64) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid()))
	for _, task := range tasks {
		n += p.procStatusOf(fmt.Sprintf("/proc/%d/task/%s/status", p.pid(), task.Name()), "voluntary_ctxt_switches:")
	}
	return n
}

func (p *program) procStatus(field string) int64 {
	return p.procStatusOf(fmt.Sprintf("/proc/%d/status", p.pid()), field)
}

func (p *program) procStatusOf(path, field string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == field {
			n, _ := strconv.ParseInt(words[1], 10, 64)
			return n
		}
	}
	return 0
}

// cpu is the user and system time that the process has used. The kernel counts it in ticks of 10 ms.
func (p *program) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	words := strings.Fields(after)
	if len(words) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(words[11], 10, 64)
	system, err2 := strconv.ParseInt(words[12], 10, 64)
	if errors.Join(err1, err2) != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}
