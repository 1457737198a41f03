package backend

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/sys"
)

func TestRegistryKeepsNumbers(t *testing.T) {
	live, r := &PoolLive{}, NewRegistry()
	get := func(pool, name, address string) *Backend {
		return r.Get(Identity{Pool: pool, Name: name, Address: address, Live: live})
	}
	a, b, c := get("p", "a", "1"), get("p", "b", "1"), get("q", "a", "1")
	a.SetHealth(Healthy)
	if a.Health() != Healthy || b.Health() != Unknown {
		t.Errorf("health %d and %d, want healthy and unknown", a.Health(), b.Health())
	}
	if get("p", "a", "1") != a {
		t.Error("the same pool, name and address gave another backend")
	}
	moved := get("p", "a", "2")
	if moved == a || moved.Health() != Unknown {
		t.Error("another address gave the same backend, or its health")
	}
	for want, x := range []*Backend{a, b, c, moved} {
		if x.Number != Number(want) || r.All()[want] != x {
			t.Errorf("%s/%s has number %d, want %d", x.Pool, x.Name, x.Number, want)
		}
	}
	r.Free(b)
	if all := r.All(); all[1] != nil || len(all) != 4 {
		t.Errorf("after Free, All is %v", all)
	}
	if d := get("p", "b", "1"); d.Number != 1 || d == b {
		t.Errorf("number %d, want the free one, 1, for a new backend", d.Number)
	}
}

func TestAcquireHoldsTheLimitAmongWorkers(t *testing.T) {
	const limit, tries = 10, 64
	live := &PoolLive{}
	b := NewRegistry().Get(Identity{Pool: "p", Name: "a", Live: live})
	for range 200 {
		got := together(tries, func(int) bool { return b.Acquire(limit) })
		if got > limit || b.Sessions() != int64(got) || live.Sessions.Load() != int64(got) {
			t.Fatalf("%d of %d got in, %d and in the pool %d are counted; limit %d", got, tries, b.Sessions(), live.Sessions.Load(), limit)
		}
		for range got {
			b.Release()
		}
	}
	if b.Sessions() != 0 || live.Sessions.Load() != 0 {
		t.Errorf("%d and in the pool %d are left", b.Sessions(), live.Sessions.Load())
	}
}

func TestAdmits(t *testing.T) {
	networks := func(cidrs ...string) flow.Networks {
		var p []netip.Prefix
		for _, c := range cidrs {
			p = append(p, netip.MustParsePrefix(c))
		}
		return flow.NewNetworks(p)
	}
	cases := []struct {
		name        string
		allow, deny []string
		want        bool
	}{
		{"no lists", nil, nil, true},
		{"allowed", []string{"10.0.0.0/8"}, nil, true},
		{"not among the allowed", []string{"192.0.2.0/24"}, nil, false},
		{"denied", nil, []string{"10.1.0.0/16"}, false},
		{"not among the denied", nil, []string{"192.0.2.0/24"}, true},
		{"deny wins", []string{"10.0.0.0/8"}, []string{"10.1.2.3/32"}, false},
	}
	client := sys.AddrFrom(netip.MustParseAddrPort("10.1.2.3:1")).IP
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := Frontend{Allow: networks(c.allow...), Deny: networks(c.deny...)}
			if got := f.Admits(client); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
