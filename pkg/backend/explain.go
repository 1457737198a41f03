package backend

// Takes tells whether a member may get a new session now, and if not, why. It is for people; Pick decides by itself.
func (p *Pool) Takes(m *Member, nowMs int64) (bool, string) {
	q := query{nowMs: nowMs, avoid: NoBackend, panicking: p.Live.Panic.Load(), withPorts: true}
	switch {
	case q.takes(m):
		return true, ""
	case m.Weight == 0 || m.Draining():
		return false, "it is draining"
	case m.Ejected(nowMs):
		return false, "it is ejected after failed connects"
	case m.MaxSessions > 0 && m.Sessions() >= m.MaxSessions:
		return false, "it is full (max_sessions)"
	case m.Ports.Latched(nowMs):
		return false, "no port of our sources towards it is left"
	}
	return false, "it is unhealthy"
}

// Share is how many sessions bounded load lets a member hold now; 0: no bound.
func (p *Pool) Share(m *Member) int64 {
	t := &p.primary
	if m.Backup {
		t = &p.backup
	}
	if t.factor == 0 || p.Algorithm != Maglev {
		return 0
	}
	usable := t.usable.Load() * 1024
	return (t.factor*(p.Live.Sessions.Load()+1)*m.Weight + usable - 1) / usable
}

// Home is the member whose slot of the table a hash falls on, whatever its state; nil without a table.
func (p *Pool) Home(hash uint64) *Member {
	if p.primary.table == nil {
		return nil
	}
	if i := p.primary.table.Lookup(hash); i >= 0 {
		return &p.primary.members[i]
	}
	return nil
}
