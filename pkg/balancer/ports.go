package balancer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/sys"
)

// ownPorts is the pool's local_ports.
func ownPorts(p *config.Pool) ports.Range {
	return ports.Range{First: p.LocalPorts.From, Last: p.LocalPorts.To}
}

// sourcesFor are the pool's sources of the family of a backend's address. With local_ports alone it is the address that the
// kernel would use: ports count towards each backend all the same.
func sourcesFor(p *config.Pool, backend netip.Addr) (all []netip.Addr) {
	if len(p.SourceAddresses) == 0 && ownPorts(p) != (ports.Range{}) {
		if backend.Is4() {
			return []netip.Addr{netip.IPv4Unspecified()}
		}
		return []netip.Addr{netip.IPv6Unspecified()}
	}
	for _, a := range p.Sources() {
		if a.Is4() == backend.Is4() {
			all = append(all, a)
		}
	}
	return all
}

// portsTowards is what a pool's sessions to a backend take their ports from; none for a unix socket.
func (b *Balancer) portsTowards(p *config.Pool, to sys.Addr) (s ports.Set) {
	if to == (sys.Addr{}) {
		return nil
	}
	for _, source := range sourcesFor(p, to.AddrPort().Addr()) {
		s = append(s, b.book.Pair(source, to, ownPorts(p)))
	}
	return s
}

// pairsOf are the pairs that workers take ports from under a snapshot; nil: there is none yet.
func pairsOf(s *backend.Snapshot) map[*ports.Pair]bool {
	used := map[*ports.Pair]bool{}
	if s == nil {
		return used
	}
	for _, p := range s.Pools {
		for i := range p.Members {
			for _, pair := range p.Members[i].Ports {
				used[pair] = true
			}
		}
	}
	return used
}

// checkHost refuses sources and ports that this host cannot give, before anything is opened.
func (b *Balancer) checkHost(context.Context) error {
	if ps := LacksForPorts(b.cfg); len(ps) > 0 {
		return errors.New(config.Problems(ps).Error()) // no fault of the configuration's: the exit code says so
	}
	return nil
}

// LacksForPorts tells what this host lacks for source_addresses and local_ports. Nothing stays open.
func LacksForPorts(c *config.Config) (ps []config.Problem) {
	from, to := sys.EphemeralPorts()
	kernel := ports.Range{First: from, Last: to}
	for i := range c.Pools {
		p := &c.Pools[i]
		if ownPorts(p).Overlaps(kernel) {
			ps = append(ps, c.Blame("pool."+p.Name, "local_ports",
				fmt.Sprintf("%s overlaps net.ipv4.ip_local_port_range, %s: every port bound there is lost to all other programs of this host", ownPorts(p), kernel),
				"`longsplice tune plan` shows how to narrow the kernel's range, `longsplice tune apply` does it"))
		}
		if lacking, err := lackingSources(p); len(lacking) > 0 {
			ps = append(ps, c.Blame("pool."+p.Name, "source_addresses", fmt.Sprintf("%s: %v", someOf(lacking), err), sourceRemedy(err)))
		}
	}
	return ps
}

// lackingSources are those that cannot be bound, and why the first one cannot.
func lackingSources(p *config.Pool) (lacking []string, first error) {
	for _, a := range p.Sources() {
		if err := sys.ProbeSource(a); err != nil {
			if first == nil {
				first = err
			}
			lacking = append(lacking, a.String())
		}
	}
	return lacking, first
}

func sourceRemedy(err error) string {
	if errors.Is(err, sys.EADDRNOTAVAIL) {
		return "this host has no such address: `longsplice tune plan` shows how to add it to an interface, `longsplice tune apply` does it"
	}
	return "see bind(2)"
}

// someOf names the first few.
func someOf(names []string) string {
	const few = 4
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

// portsOf names what a trend is of: one pair, or all ports towards a backend.
type portsOf struct {
	pair    *ports.Pair
	backend *backend.Backend
}

// portTrend is how fast ports go.
type portTrend struct {
	at    time.Time
	taken int64   // used and resting
	rate  float64 // more of them a second, smoothed over about ten seconds
}

// note adds a look.
func (t *portTrend) note(now time.Time, taken int64) {
	if seconds := now.Sub(t.at).Seconds(); !t.at.IsZero() && seconds > 0 {
		weight := min(seconds/10, 1)
		t.rate += weight * (float64(taken-t.taken)/seconds - t.rate)
	}
	t.at, t.taken = now, taken
}

// runsOut is in how many seconds nothing is left; 0: not within a day.
func (t *portTrend) runsOut(left int64) float64 {
	if t == nil || t.rate <= 0 {
		return 0
	}
	if s := float64(max(left, 0)) / t.rate; s < (24 * time.Hour).Seconds() {
		return s
	}
	return 0
}

// portUsage is the ports towards a backend; kernelPorts is how many the kernel gives out between two addresses. Without
// sources every session of the pool takes one of those.
func portUsage(m *backend.Member, kernelPorts int64) ports.Usage {
	if len(m.Ports) == 0 {
		return ports.Usage{Used: m.Sessions(), Limit: kernelPorts}
	}
	var sum ports.Usage
	for _, p := range m.Ports {
		u := pairUsage(p, kernelPorts)
		sum.Used += u.Used
		sum.Resting += u.Resting
		sum.Limit += u.Limit
	}
	return sum
}

func pairUsage(p *ports.Pair, kernelPorts int64) ports.Usage {
	u := p.Usage(monotonicMs())
	if !p.Own() {
		u.Limit = kernelPorts
	}
	return u
}

// portStatus is for people; nil for a unix socket.
func (b *Balancer) portStatus(m *backend.Member, kernelPorts int64) *PortStatus {
	if m.Addr == (sys.Addr{}) {
		return nil
	}
	u := portUsage(m, kernelPorts)
	b.watch.mu.Lock()
	defer b.watch.mu.Unlock()
	s := &PortStatus{Used: u.Used, Resting: u.Resting, Limit: u.Limit}
	s.RunsOutS = b.watch.ports[portsOf{backend: m.Backend}].runsOut(u.Limit - u.Used - u.Resting)
	for _, p := range m.Ports {
		u := pairUsage(p, kernelPorts)
		s.Sources = append(s.Sources, SourceStatus{
			Source: sourceName(p), Ports: p.Range().String(), Used: u.Used, Resting: u.Resting, Limit: u.Limit,
			RunsOutS: b.watch.ports[portsOf{pair: p}].runsOut(u.Limit - u.Used - u.Resting),
		})
	}
	return s
}

// fullestPorts looks at every backend.
func (b *Balancer) fullestPorts() (fullest FullestPorts) {
	kernelPorts, most := sys.KernelPorts(), -1.0
	for _, p := range b.snap.Load().Pools {
		for i := range p.Members {
			m := &p.Members[i]
			if m.Addr == (sys.Addr{}) {
				continue
			}
			u := portUsage(m, kernelPorts)
			if share := float64(u.Used+u.Resting) / float64(max(u.Limit, 1)); share > most {
				most = share
				fullest = FullestPorts{Backend: p.Name + "/" + m.Name, Used: u.Used, Resting: u.Resting, Limit: u.Limit, RunsOutS: b.watch.runsOut(m, u)}
			}
		}
	}
	return fullest
}

// runsOut is in how many seconds the ports towards a backend run out.
func (w *watched) runsOut(m *backend.Member, u ports.Usage) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ports[portsOf{backend: m.Backend}].runsOut(u.Limit - u.Used - u.Resting)
}

func sourceName(p *ports.Pair) string {
	if p.Source.IsUnspecified() {
		return "any"
	}
	return p.Source.String()
}

// explainSource says where a session to a backend would come from; "" where the kernel chooses.
func explainSource(m *backend.Member) string {
	if len(m.Ports) == 0 {
		return ""
	}
	u := portUsage(m, sys.KernelPorts())
	from := "the address that the kernel chooses"
	if s := m.Ports[0]; !s.Source.IsUnspecified() {
		var names []string
		for _, p := range m.Ports {
			names = append(names, p.Source.String())
		}
		from = someOf(names) + " in turn"
	}
	return fmt.Sprintf("it comes from %s, from ports %s: %d of %d towards this backend are in use, %d rest", from, m.Ports[0].Range(), u.Used, u.Limit, u.Resting)
}

// portsLowAt is the share of the ports towards a backend above which there is a warning.
const portsLowAt = 0.9

// monitorPorts sees ports go, and says so before they are gone.
func (b *Balancer) monitorPorts() {
	b.noteKernelPorts()
	kernelPorts, now := sys.KernelPorts(), time.Now()
	for _, p := range b.snap.Load().Pools {
		for i := range p.Members {
			m := &p.Members[i]
			if m.Addr == (sys.Addr{}) {
				continue
			}
			u := portUsage(m, kernelPorts)
			left := b.watch.notePorts(now, m, u, kernelPorts)
			if taken := u.Used + u.Resting; float64(taken) >= portsLowAt*float64(u.Limit) {
				b.Emit(portsLow(m, u, left))
			}
		}
	}
	b.watch.mu.Lock()
	defer b.watch.mu.Unlock()
	maps.DeleteFunc(b.watch.ports, func(_ portsOf, t *portTrend) bool { return t.at != now }) // pairs and backends that are gone
}

// noteKernelPorts tells the pairs what the kernel chooses from.
func (b *Balancer) noteKernelPorts() {
	from, to := sys.EphemeralPorts()
	b.book.SetKernel(ports.Range{First: from, Last: to})
}

// notePorts follows the trends, and returns in how many seconds the ports towards a backend run out.
func (w *watched) notePorts(now time.Time, m *backend.Member, u ports.Usage, kernelPorts int64) float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	note := func(of portsOf, u ports.Usage) *portTrend {
		if w.ports[of] == nil {
			w.ports[of] = &portTrend{}
		}
		w.ports[of].note(now, u.Used+u.Resting)
		return w.ports[of]
	}
	for _, p := range m.Ports {
		if t := w.ports[portsOf{pair: p}]; t == nil || t.at != now { // pools share pairs
			note(portsOf{pair: p}, pairUsage(p, kernelPorts))
		}
	}
	return note(portsOf{backend: m.Backend}, u).runsOut(u.Limit - u.Used - u.Resting)
}

func portsLow(m *backend.Member, u ports.Usage, runsOutS float64) Event {
	text := fmt.Sprintf("%d of %d local ports towards %s are in use", u.Used, u.Limit, m.Address)
	if u.Resting > 0 {
		text += fmt.Sprintf(" and %d rest (TIME_WAIT, or somebody else has them)", u.Resting)
	}
	switch {
	case u.Used+u.Resting >= u.Limit:
		text += ": no new session goes there until one ends"
	case runsOutS > 0:
		text += fmt.Sprintf(": they run out in about %s at this rate", time.Duration(runsOutS*float64(time.Second)).Round(time.Second))
	}
	return Event{
		Name: "ports_low", Level: "warn", Subject: m.Pool + "/" + m.Name,
		Message: text + "; add source_addresses or widen the range (`longsplice tune plan`)",
		Fields: map[string]string{
			"pool": m.Pool, "backend": m.Name, "used": fmt.Sprint(u.Used), "resting": fmt.Sprint(u.Resting), "limit": fmt.Sprint(u.Limit),
		},
	}
}
