package config

import "fmt"

// claim is an address that somebody here wants to bind.
type claim struct {
	Address
	device    string // SO_BINDTODEVICE
	frontend  bool
	exclusive bool // bound without SO_REUSEPORT: a wildcard excludes it, too
	owner     string
	table     *table
	at        place
	key       string
}

// claims returns every address that this configuration binds, in the order in
// which they count: of two that conflict the later one is wrong.
func (r *reader) claims() []claim {
	var all []claim
	p, t := &r.cfg.Process, r.sources["process"]
	if p.Admin != "" {
		all = append(all, claim{Address: Address{Network: Unix, Path: p.Admin}, owner: "process.admin", table: t, at: t.place("admin"), key: "admin"})
	}
	if !p.HTTP.IsZero() {
		all = append(all, claim{Address: p.HTTP, exclusive: true, owner: "process.http", table: t, at: t.place("http"), key: "http"})
	}
	for i, f := range r.cfg.Frontends {
		t := r.frontends[i]
		for j, a := range f.Listen {
			if !a.IsZero() {
				all = append(all, claim{a, f.Interface, true, false, t.label, t, t.element("listen", j), "listen"})
			}
		}
	}
	return all
}

// conflicts says that not both can be bound. With SO_REUSEPORT a wildcard and
// one of its addresses go together, and so do two devices: socket(7).
func (c claim) conflicts(o claim) bool {
	if c.Address == o.Address {
		return c.device == o.device
	}
	wild := c.AddrPort.Addr().IsUnspecified() || o.AddrPort.Addr().IsUnspecified()
	return (c.exclusive || o.exclusive) && wild && c.Network == o.Network && c.port() == o.port()
}

func (r *reader) checkListeners() {
	claims := r.claims()
	for i, c := range claims {
		for _, before := range claims[:i] {
			if c.conflicts(before) {
				r.complainAt(c.at, c.table.key(c.key), fmt.Sprintf("%s is already used by %s at %s", c.Address, before.owner, before.at),
					"give each its own address")
				break
			}
		}
	}
	for i := range r.cfg.Pools {
		r.checkLoops(&r.cfg.Pools[i], r.pools[i], claims)
		r.checkLocalPorts(&r.cfg.Pools[i], r.pools[i], claims)
	}
}

// checkLoops refuses backends that are our own frontends. An address of this
// host behind a wildcard listener is only known to be ours if it is loopback.
func (r *reader) checkLoops(p *Pool, s poolSource, claims []claim) {
	for i, b := range p.Backends {
		for _, c := range claims {
			if c.frontend && c.reachedBy(b.Address) {
				r.complain(s.backends[i], s.ownKey("address"), fmt.Sprintf("%s is %s of %s: a loop", b.Address, c.Address, c.owner),
					"write the address of a server")
				break
			}
		}
	}
}

// reachedBy says that connecting to a arrives at c.
func (c claim) reachedBy(a Address) bool {
	if c.Address == a {
		return true
	}
	if a.Network == Unix || c.Network == Unix || a.port() != c.port() {
		return false
	}
	ours := c.AddrPort.Addr()
	if a.Network == Host {
		return a.Host == "localhost" && (ours.IsUnspecified() || ours.IsLoopback())
	}
	return a.Network == c.Network && ours.IsUnspecified() && a.AddrPort.Addr().IsLoopback()
}

func (r *reader) checkLocalPorts(p *Pool, s poolSource, claims []claim) {
	for _, c := range claims {
		if port := c.port(); port != 0 && p.LocalPorts.From <= port && port <= p.LocalPorts.To {
			r.complain(s.table, "local_ports", fmt.Sprintf("%s holds the port of %s, %s", showPortRange(p.LocalPorts), c.owner, c.Address),
				"choose a range without any listening port")
		}
	}
}
