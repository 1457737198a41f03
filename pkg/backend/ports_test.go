package backend

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/sys"
)

// withPorts is a pool of backends a, b, c, to each of which there is one port.
func withPorts(t *testing.T, a Algorithm) *Pool {
	t.Helper()
	live, registry, book := &PoolLive{}, NewRegistry(), ports.NewBook()
	var members []Member
	for i, name := range []string{"a", "b", "c"} {
		x := registry.Get(Identity{Pool: "p", Name: name, Address: name, Live: live})
		pair := book.Pair(netip.MustParseAddr("10.0.0.1"), sys.Addr{Port: uint16(i)}, ports.Range{First: 2000, Last: 2000})
		members = append(members, Member{Backend: x, Weight: 1, Ports: ports.Set{pair}})
	}
	p, err := NewPool(PoolOptions{TableSize: 1009, Algorithm: a}, members, live)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exhaust takes the last port and finds out that it was.
func (m *Member) exhaust() {
	m.Ports.Take(0, now)
	m.Ports.Take(0, now)
}

func TestABackendWithoutPortsIsPassedOver(t *testing.T) {
	for _, a := range []Algorithm{Maglev, LeastSessions, RoundRobin} {
		p, c := withPorts(t, a), Cursor{}
		p.named("b").exhaust()
		without := 0
		for i := range 300 {
			m := p.PickWithPorts(&c, hash(i), now, NoBackend)
			if m == nil || m.Name == "b" {
				t.Fatalf("algorithm %d: picked %s", a, nameOf(m))
			}
			if m := p.Pick(&c, hash(i), now, NoBackend); m.Name == "b" {
				without++
			}
		}
		if without == 0 {
			t.Errorf("algorithm %d: Pick looks at ports", a)
		}
		if takes, why := p.Takes(p.named("b"), now); takes || why != "no port of our sources towards it is left" {
			t.Errorf("takes %v: %s", takes, why)
		}
		p.named("a").exhaust()
		p.named("c").exhaust()
		if m := p.PickWithPorts(&c, 1, now, NoBackend); m != nil {
			t.Errorf("algorithm %d: picked %s without a port", a, m.Name)
		}
		p.named("b").Ports[0].Give(2000)
		if m := p.PickWithPorts(&c, 1, now, NoBackend); nameOf(m) != "b" {
			t.Errorf("algorithm %d: picked %s, want b, to which a port came back", a, nameOf(m))
		}
	}
}
