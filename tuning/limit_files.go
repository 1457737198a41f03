package tuning

import (
	"fmt"
	"math"
	"strconv"
)

const filesFormula = "(files - listeners - 3 per worker - checks - 64 - 2 per pipe) / 2"

// files is the row of one limit of open files.
func files(h *host, g *Goal, name string, value int64, why string) Limit {
	needed := g.fdsFor(h.workers)
	l := Limit{
		Name: name, State: Fine, Current: files64(value), Needed: Count(needed), Formula: filesFormula, Why: why,
		Sessions: g.sessionsWithin(value, h.workers),
	}
	if l.Sessions < int64(g.Sessions) {
		l.State = Short
	}
	return l
}

func files64(n int64) string {
	if n == math.MaxInt64 {
		return "unlimited"
	}
	return Count(n)
}

// processFiles is RLIMIT_NOFILE of the running program, which raises its soft limit to the hard one by itself.
func processFiles(h *host, g *Goal) (Limit, bool) {
	p := h.process
	if p == nil || p.hard == 0 {
		return Limit{}, false
	}
	l := files(h, g, "RLIMIT_NOFILE hard limit", min(p.hard, h.openMost()),
		fmt.Sprintf("each session has two sockets; longsplice, pid %d, raises its soft limit (%s now) to the hard one and no further", p.pid, files64(p.soft)))
	if l.State == Fine {
		return l, true
	}
	l.Command = fmt.Sprintf("ulimit -n %d && longsplice run", roundUp(g.fdsFor(h.workers)))
	if h.unit.serves(p) {
		l.Command = "systemctl restart " + h.unit.name
		if h.serviceFiles() < g.fdsFor(h.workers) {
			l.Command = "longsplice tune apply --persist && " + l.Command
		}
	}
	return l, true
}

// serviceFiles is what the next start would give: by systemd, or else by whatever pid 1 is.
func serviceFiles(h *host, g *Goal) (Limit, bool) {
	u := h.unit
	if u.file == "" && h.process != nil {
		return Limit{}, false
	}
	if u.file == "" && !u.managed {
		_, hard := noFile(h.roots.Proc + "/1/limits")
		l := files(h, g, "RLIMIT_NOFILE of services", min(hard, h.openMost()), "what pid 1 has is what it gives to those that it starts")
		if l.State == Short {
			l.Command = fmt.Sprintf("ulimit -n %d && longsplice run", roundUp(g.fdsFor(h.workers)))
		}
		return l, hard > 0
	}
	name := u.name + " LimitNOFILE"
	l := files(h, g, name, h.serviceFiles(), "systemd gives this hard limit at the next start; a value above fs.nr_open is cut down to it without a word")
	if l.State == Short {
		wanted := strconv.FormatInt(roundUp(g.fdsFor(h.workers)), 10)
		l.Command = "longsplice tune apply --persist"
		if u.noFile() < g.fdsFor(h.workers) { // or else it is fs.nr_open alone that has to grow
			l.needs = []Need{{Kind: Unit, Name: name, Current: u.last("LimitNOFILE"), Wanted: wanted, Why: l.Why}}
		}
	}
	return l, true
}

// serviceFiles is LimitNOFILE as the kernel lets it be.
func (h *host) serviceFiles() int64 { return min(h.unit.noFile(), h.openMost()) }

// openMost is fs.nr_open; the kernel's default where it cannot be read.
func (h *host) openMost() int64 {
	if n, ok := h.number("fs.nr_open"); ok {
		return n
	}
	return 1 << 20
}

// openFiles is the ceiling of RLIMIT_NOFILE.
func openFiles(h *host, g *Goal) (Limit, bool) {
	const name = "fs.nr_open"
	value, ok := h.number(name)
	if !ok {
		return h.missing(name)
	}
	l := files(h, g, name, value, "no process can have a hard limit of open files above it")
	if l.State == Short {
		l.raise(h, name, strconv.FormatInt(roundUp(g.fdsFor(h.workers)), 10))
	}
	return l, true
}

// allFiles is the whole host's table. Root may go beyond it; other programs may not, and fail.
func allFiles(h *host, g *Goal) (Limit, bool) {
	taken, _ := h.number("fs.file-nr")
	if h.process != nil {
		taken = max(taken-int64(len(names(h.process.dir+"/fd"))), 0)
	}
	return linear{
		name: "fs.file-max", units: sessionFDs, per: 1, taken: taken + g.fdsFor(h.workers) - sessionFDs*int64(g.Sessions),
		formula: "(file-max - files of other programs - what is not of sessions) / 2",
		why:     "all programs of the host share this table, and the first to need one more file fails with ENFILE",
	}.look(h, g)
}

// watches: a user's epoll entries.
func watches(h *host, g *Goal) (Limit, bool) {
	return linear{
		name: "fs.epoll.max_user_watches", units: 2, per: 1, taken: g.fixedFDs(h.workers),
		formula: "(max_user_watches - listeners and wake-ups) / 2",
		why:     "both sockets of a session stand in an epoll set, and a user may have so many entries (about 160 B each)",
	}.look(h, g)
}
