package tuning

import (
	"fmt"
	"net/netip"

	"github.com/longsplice/longsplice/pkg/config"
)

// configured is the least max_sessions that the configuration itself sets.
func configured(h *host, g *Goal) (Limit, bool) {
	c := g.Config
	least, where := int64(Unbounded), ""
	take := func(n int64, name string) {
		if n > 0 && (least == Unbounded || n < least) {
			least, where = n, name
		}
	}
	take(int64(c.Process.MaxSessions), "process.max_sessions")
	take(sum(c.Frontends, func(f *config.Frontend) int { return f.MaxSessions }), "max_sessions of all frontends")
	var backends []config.Backend
	for i := range c.Pools {
		backends = append(backends, c.Pools[i].Backends...)
	}
	take(sum(backends, func(b *config.Backend) int { return b.MaxSessions }), "max_sessions of all backends")
	if least == Unbounded {
		return Limit{}, false
	}
	l := Limit{
		Name: where, State: Fine, Current: Count(least), Needed: Count(int64(g.Sessions)), Sessions: least,
		Formula: "as configured", Why: "the configuration takes no more than that",
	}
	if least < int64(g.Sessions) {
		l.State, l.Command = Short, fmt.Sprintf("raise %s in the configuration, then: longsplice reload", where)
	}
	return l, true
}

// sum adds limits up; 0, no limit, if one of them is.
func sum[T any](all []T, limit func(*T) int) (n int64) {
	for i := range all {
		one := limit(&all[i])
		if one == 0 {
			return 0
		}
		n += int64(one)
	}
	return n
}

// lacking are the source addresses that the host does not have.
func (h *host) lacking(g *Goal) (all []netip.Addr) {
	for _, a := range g.sources() {
		if _, planned := h.wanted[a.String()]; !planned && !h.net.has(a) {
			all = append(all, a)
		}
	}
	return all
}

// sourceAddresses: all that are configured have to be there.
func sourceAddresses(h *host, g *Goal) (Limit, bool) {
	all := g.sources()
	if len(all) == 0 {
		return Limit{}, false
	}
	lacking := h.lacking(g)
	l := Limit{
		Name: "source_addresses", State: Fine, Current: Count(int64(len(all) - len(lacking))), Needed: Count(int64(len(all))), Sessions: Unbounded,
		Formula: "addresses of this host among the configured ones", Why: "`run` refuses a source address that the host does not have",
	}
	if len(lacking) == 0 {
		return l, true
	}
	l.State, l.Sessions, l.Command = Short, 0, "longsplice tune apply"
	l.brief = fmt.Sprintf("source address %s, which this host does not have,", lacking[0])
	device := h.sourceDevice(g)
	for _, a := range lacking {
		l.needs = append(l.needs, Need{Kind: Address, Name: fmt.Sprintf("%s dev %s", netip.PrefixFrom(a, a.BitLen()), device), Wanted: Present, Why: l.Why})
	}
	if device == "" {
		l.needs, l.Command = nil, `set [tuning].interface: no route tells where the addresses belong`
	}
	return l, true
}

// sourceDevice is where source addresses belong: [tuning].interface, or the device of the route to a backend.
func (h *host) sourceDevice(g *Goal) string {
	if g.Interface != "" {
		return g.Interface
	}
	return h.backendDevice(g)
}

// backendDevice is the device of the route to the first backend of a pool with source addresses, or of any pool.
func (h *host) backendDevice(g *Goal) (device string) {
	for i := range g.Config.Pools {
		p := &g.Config.Pools[i]
		for _, b := range p.Backends {
			if !b.Address.AddrPort.IsValid() {
				continue
			}
			if d := h.net.deviceTo(b.Address.AddrPort.Addr()); d != "" && (device == "" || len(p.SourceAddresses) > 0) {
				device = d
				break
			}
		}
	}
	return device
}
