package backend

// Cursor is a worker's place in a pool, so that ties and turns are taken by all backends in turn. It moves when a pick
// has found somebody, and only there: a rank of members that is passed over takes no turns from the next.
type Cursor struct{ next uint32 }

// Pick chooses a member for a new session: the primaries, then the backups; without regard to health while the pool is
// in panic. avoid is a backend that just failed (NoBackend: none): then those whose last connect failed are passed over
// too, or the attempts of a session would go to and fro between two dead ones; it is taken again only if there is no other.
// Pick returns nil when every member is draining, full, ejected or (outside a panic) unhealthy. The choice of the maglev
// algorithm is a function of hash and the members' state alone, the same on every worker and box.
func (p *Pool) Pick(c *Cursor, hash uint64, nowMs int64, avoid Number) *Member {
	q := query{hash: hash, nowMs: nowMs, avoid: avoid, wary: true, sessions: p.Live.Sessions.Load(), panicking: p.Live.Panic.Load()}
	if t := &p.primary; p.Algorithm == Maglev && t.weight != 0 { // nearly always the end of it; a third faster than by calls
		if m := &t.members[t.table.Lookup(hash)]; q.takes(m) && !t.overShare(m, &q) {
			return m
		}
	}
	return p.search(c, &q)
}

// PickWithPorts is Pick for a session that has met a backend to which no port of ours is left: it passes over all that are
// known to be so.
func (p *Pool) PickWithPorts(c *Cursor, hash uint64, nowMs int64, avoid Number) *Member {
	return p.search(c, &query{
		hash: hash, nowMs: nowMs, avoid: avoid, wary: true, sessions: p.Live.Sessions.Load(),
		panicking: p.Live.Panic.Load(), withPorts: true,
	})
}

func (p *Pool) search(c *Cursor, q *query) *Member {
	for {
		m := p.pick(c, q)
		switch {
		case m != nil || q.avoid == NoBackend:
			return m
		case q.wary:
			q.wary = false
		default:
			q.avoid = NoBackend
		}
	}
}

func (p *Pool) pick(c *Cursor, q *query) *Member {
	if m := p.primary.pick(p.Algorithm, c, q); m != nil || len(p.backup.members) == 0 {
		return m
	}
	return p.backup.pick(p.Algorithm, c, q)
}

// query is what one pick looks for.
type query struct {
	hash      uint64
	nowMs     int64
	sessions  int64 // of the whole pool
	avoid     Number
	wary      bool // with somebody to avoid: avoid all whose last connect failed
	panicking bool
	withPorts bool // pass over those to which no port is left
}

// takes tells whether a member may get a new session.
func (q *query) takes(m *Member) bool {
	switch {
	case m.Weight == 0, q.avoid != NoBackend && q.avoids(m), m.Draining(), m.Ejected(q.nowMs): // Number lies on a line of its own
		return false
	case m.Health() == Unhealthy && !q.panicking:
		return false
	case q.withPorts && m.Ports.Latched(q.nowMs):
		return false
	}
	return m.MaxSessions == 0 || m.Sessions() < m.MaxSessions
}

func (q *query) avoids(m *Member) bool {
	return m.Number == q.avoid || q.wary && m.failures.Load() > 0
}

// overShare is bounded load (Mirrokni, Thorup, Zadimoghaddam: "Consistent Hashing with Bounded Loads", 2017): whether
// the member holds factor times its fair part already, the new session included in the total.
func (t *tier) overShare(m *Member, q *query) bool {
	return t.factor != 0 && m.Sessions()*t.usable.Load()*1024 >= t.factor*(q.sessions+1)*m.Weight
}

func (t *tier) pick(a Algorithm, c *Cursor, q *query) *Member {
	switch {
	case t.weight == 0:
		return nil
	case a == LeastSessions:
		return t.leastSessions(c, q)
	case a == RoundRobin:
		return t.roundRobin(c, q)
	}
	return t.maglev(q)
}

// walkSteps bounds how far a hash walks on through the table before the members are gone through in order: far enough
// that one in a thousand gets there with nine tenths of the members down.
const walkSteps = 64

func (t *tier) maglev(q *query) *Member {
	m := &t.members[t.table.Lookup(q.hash)]
	if q.takes(m) && !t.overShare(m, q) {
		return m
	}
	for attempt := 1; attempt <= walkSteps; attempt++ {
		m = &t.members[t.table.Next(q.hash, attempt)]
		if q.takes(m) && !t.overShare(m, q) {
			return m
		}
	}
	start := int(q.hash % uint64(len(t.members)))
	if m := t.sweep(start, q, true); m != nil {
		return m
	}
	return t.sweep(start, q, false)
}

// sweep is the first member from start on that takes a session, within its share if bounded.
func (t *tier) sweep(start int, q *query, bounded bool) *Member {
	for i := range t.members {
		m := &t.members[(start+i)%len(t.members)]
		if q.takes(m) && !(bounded && t.overShare(m, q)) {
			return m
		}
	}
	return nil
}

// leastSessions takes the member with the fewest sessions for its weight; ties go round.
func (t *tier) leastSessions(c *Cursor, q *query) *Member {
	n := uint32(len(t.members))
	var best *Member
	var bestSessions int64
	for i := range n {
		m := &t.members[(c.next+i)%n]
		if !q.takes(m) {
			continue
		}
		if s := m.Sessions(); best == nil || s*best.Weight < bestSessions*m.Weight {
			best, bestSessions = m, s
		}
	}
	if best != nil {
		c.next++
	}
	return best
}

// roundRobin takes the next of the weighted sequence; members that take none are skipped. Where many in a row take none,
// the one behind them must not get all their turns: then sessions decide.
func (t *tier) roundRobin(c *Cursor, q *query) *Member {
	n := uint32(len(t.sequence))
	for i := range min(n, walkSteps) {
		if m := &t.members[t.sequence[(c.next+i)%n]]; q.takes(m) {
			c.next += i + 1
			return m
		}
	}
	return t.leastSessions(c, q)
}
