package tuning

import (
	"fmt"
	"strconv"
)

// bound says whether the quotas of users hold for the program: a running one shows it, else its unit does.
func (h *host) bound() bool {
	if h.process != nil {
		return !h.process.privileged
	}
	return !h.unit.privileged()
}

const pipeFormula = "one pipe for 128 files, at most 4,096, of relay.pipe_bytes each, in pages of 4 KiB"

func pipeQuota(h *host, g *Goal) (Limit, bool) {
	return h.pipePages(g, "fs.pipe-user-pages-soft", "beyond it an unprivileged user gets pipes of 8 KiB without a word, and bulk is copied instead of spliced")
}

func pipeHardQuota(h *host, g *Goal) (Limit, bool) {
	return h.pipePages(g, "fs.pipe-user-pages-hard", "beyond it an unprivileged user gets no pipe at all, and bulk is copied instead of spliced")
}

// pipePages is one of the two quotas of a user; 0 is none.
func (h *host) pipePages(g *Goal, name, why string) (Limit, bool) {
	pages, ok := h.number(name)
	if !ok {
		return h.missing(name)
	}
	pipes := g.pipes(g.fdsFor(h.workers))
	needed := (pipes + 2) * g.pipeBytes() / 4096
	l := Limit{Name: name, State: Fine, Current: Count(pages), Needed: Count(needed), Sessions: Unbounded, Formula: pipeFormula, Why: why}
	switch {
	case pages == 0:
		l.Current, l.Needed = "0 (no quota)", "-"
	case !h.bound():
		l.Needed, l.Why = "-", "the program has CAP_SYS_RESOURCE or CAP_SYS_ADMIN: the quotas of users do not hold for it"
	case pages < needed:
		l.raise(h, name, strconv.FormatInt(roundUp(needed), 10))
	}
	return l, true
}

func pipeSize(h *host, g *Goal) (Limit, bool) {
	const name = "fs.pipe-max-size"
	bytes, ok := h.number(name)
	if !ok {
		return h.missing(name)
	}
	needed := g.pipeBytes()
	l := Limit{
		Name: name, State: Fine, Current: Count(bytes), Needed: Count(needed), Sessions: Unbounded, Formula: "relay.pipe_bytes",
		Why: fmt.Sprintf("an unprivileged program cannot make its pipes larger, and bulk through small ones costs 1.7 times the CPU (measured: 64 KiB beside 1 MiB); wanted are %s", size(needed)),
	}
	if bytes < needed && h.bound() {
		l.raise(h, name, strconv.FormatInt(needed, 10))
	}
	return l, true
}
