package scale

import (
	"fmt"
	"os"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/proc"
	"golang.org/x/sys/unix"
)

const (
	// firstGuess is what a session is taken to cost until that has been measured, in bytes of the whole machine: four
	// sockets of about 4.6 KB, and a little in each of three processes.
	firstGuess = 20 << 10
	// perPair is how many sessions one source address makes to one other: less than half of the usual port range, as
	// connect(2) searches the second half the slow way.
	perPair = 10_000
	// filesEach is how many descriptors of the machine a session takes: one for each of its sockets.
	filesEach = 4
)

// plan is how many sessions are tried and over how many processes.
type plan struct {
	processes, sessions int
	budget              int64  // bytes of memory that may go
	bound               string // what set the number of sessions
}

// plan works out how far the machine goes, and takes the number asked for if that is less.
func (c *Config) plan() (plan, error) {
	each, err := perProcess()
	if err != nil {
		return plan{}, err
	}
	available, err := proc.Available()
	if err != nil {
		return plan{}, err
	}
	p := plan{budget: int64(c.Budget * float64(available))}
	p.sessions = int(p.budget / firstGuess)
	p.bound = fmt.Sprintf("memory: %.0f %% of the %.1f GB that are available", 100*c.Budget, float64(available)/1e9)
	files, err := freeFiles()
	if err != nil {
		return plan{}, err
	}
	p.limit(int(files*9/10/filesEach), "fs.file-max")
	if c.Processes > 0 {
		p.limit(c.Processes*each, fmt.Sprintf("the descriptors of %d processes, %d sessions each", c.Processes, each))
	}
	if c.Sessions > p.sessions {
		return plan{}, fmt.Errorf("scale: %d sessions are too many here: %d by %s", c.Sessions, p.sessions, p.bound)
	}
	if c.Sessions > 0 {
		p.limit(c.Sessions, "as many as asked for")
	}
	if p.processes = c.Processes; p.processes == 0 {
		p.processes = (p.sessions + each - 1) / each
	}
	if p.sessions < p.processes*c.Steps {
		return plan{}, fmt.Errorf("scale: %d sessions for %d processes and %d steps", p.sessions, p.processes, c.Steps)
	}
	return p, nil
}

func (p *plan) limit(sessions int, why string) {
	if sessions <= p.sessions {
		p.sessions, p.bound = sessions, why
	}
}

// perProcess is how many sessions one longsplice process is to hold here on average: two descriptors each, less what it keeps
// for pipes, listeners and a reserve, which is below a twentieth, and less another twentieth: a hash spreads the connections,
// and a process whose part is larger must have room for them (four standard deviations of 9,000 are 380).
func perProcess() (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read RLIMIT_NOFILE: %w", err)
	}
	return int(min(limit.Max, 4<<20)) * 90 / 100 / 2, nil
}

// freeFiles is how many more files the machine may open: fs.file-max less those in use.
func freeFiles() (uint64, error) {
	text, err := os.ReadFile("/proc/sys/fs/file-nr")
	if err != nil {
		return 0, fmt.Errorf("read the machine's limit of files: %w", err)
	}
	var used, unused, most uint64
	if _, err := fmt.Sscan(strings.TrimSpace(string(text)), &used, &unused, &most); err != nil {
		return 0, fmt.Errorf("parse fs.file-nr %q: %w", text, err)
	}
	return most - min(used, most), nil
}

// share is how many of the sessions belong to cell i.
func (p *plan) share(sessions, i int) int {
	share := sessions / p.processes
	if i < sessions%p.processes {
		share++
	}
	return share
}
