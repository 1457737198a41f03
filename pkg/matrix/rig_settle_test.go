package matrix

import (
	"fmt"
	"time"
)

// settle waits until the program is as it was at its start, and fails the test with what is left otherwise.
func (p *program) settle() {
	p.t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left = p.leftovers(); len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	for _, l := range left {
		p.t.Errorf("after the test: %s", l)
	}
	if page := p.sessions(); len(page.Sessions) > 0 {
		p.t.Logf("%d sessions are left, the first: %+v", page.Matched, page.Sessions[0])
	}
}

// leftovers is what a test has left behind, a line for each thing.
func (p *program) leftovers() (left []string) {
	add := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	for _, f := range p.frontends() {
		var ended uint64
		for _, n := range f.Ended {
			ended += n
		}
		if f.Accepted != ended+uint64(f.Active) {
			add("frontend %s: accepted %d, ended %d, active %d", f.Name, f.Accepted, ended, f.Active)
		}
	}
	if p.setup.leaving {
		return left
	}
	s := p.status()
	if s.Sessions.Held != 0 {
		add("%d sessions held", s.Sessions.Held)
	}
	if s.Pipes.Used != 0 {
		add("%d pipes in use", s.Pipes.Used)
	}
	for _, pool := range p.pools() {
		for _, b := range pool.Backends {
			if b.Ports != nil && b.Ports.Used != 0 {
				add("%d local ports towards %s/%s in use", b.Ports.Used, pool.Name, b.Name)
			}
		}
	}
	if p.setup.before != nil { // the process is another program's child
		return left
	}
	allowed := p.fdsIdle + fdSlack + 2*int(s.Pipes.Idle)
	if n := p.fds(); p.fdsIdle > 0 && n > allowed {
		add("%d descriptors open, %d at the start and %d idle pipes", n, p.fdsIdle, s.Pipes.Idle)
	}
	return left
}

// fdSlack is for connections of health checks and of the admin API, which come and go.
const fdSlack = 24
