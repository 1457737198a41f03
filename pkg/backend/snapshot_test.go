package backend

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Each hash key of the configuration sees just what its name says.
func TestHashSeesWhatTheKeySays(t *testing.T) {
	at := func(text string) sys.Addr { return sys.AddrFrom(netip.MustParseAddrPort(text)) }
	h := flow.NewHasher([16]byte{1, 2, 3})
	base := [2]sys.Addr{at("192.0.2.7:4000"), at("198.51.100.1:443")}
	for _, c := range []struct {
		name                          string
		key                           HashKey
		client, port, network, listen bool // what of a session changes the hash
		id                            bool
		unix                          bool
	}{
		{name: "5-tuple", key: HashTuple, client: true, port: true, network: true, listen: true},
		{name: "client", key: HashClient, client: true, network: true},
		{name: "client-prefix", key: HashClientPrefix, network: true},
		{name: "a unix socket", key: HashTuple, unix: true, id: true},
	} {
		f := &Frontend{Pool: &Pool{PoolOptions: PoolOptions{Hash: c.key}}, Prefix4: 24, Prefix6: 64}
		listen := base[1]
		if c.unix {
			listen = sys.Addr{}
		}
		of := func(client, listen sys.Addr, id uint64) uint64 { return f.Hash(&h, client, listen, id) }
		want := of(base[0], listen, 1)
		for _, d := range []struct {
			what    string
			hash    uint64
			changes bool
		}{
			{"the same again", of(base[0], listen, 1), false},
			{"another client of the network", of(at("192.0.2.8:4000"), listen, 1), c.client},
			{"another port", of(at("192.0.2.7:4001"), listen, 1), c.port},
			{"another network", of(at("192.0.3.7:4000"), listen, 1), c.network},
			{"another session", of(base[0], listen, 2), c.id},
		} {
			if (d.hash != want) != d.changes {
				t.Errorf("%s: %s changes the hash: %t, want %t", c.name, d.what, d.hash != want, d.changes)
			}
		}
		if !c.unix && (of(base[0], at("198.51.100.1:444"), 1) != want) != c.listen {
			t.Errorf("%s: another listener changes the hash: want %t", c.name, c.listen)
		}
	}
}

func TestHashAllocatesNothing(t *testing.T) {
	f := &Frontend{Pool: &Pool{}, Prefix4: 24, Prefix6: 64}
	h := flow.NewHasher([16]byte{1})
	client, listen := sys.AddrFrom(netip.MustParseAddrPort("192.0.2.7:4000")), sys.AddrFrom(netip.MustParseAddrPort("198.51.100.1:443"))
	var sum uint64
	for _, f.Pool.Hash = range []HashKey{HashTuple, HashClient, HashClientPrefix} {
		if n := testing.AllocsPerRun(100, func() { sum += f.Hash(&h, client, listen, 1) }); n != 0 {
			t.Errorf("key %d: %v allocations for a hash", f.Pool.Hash, n)
		}
	}
}
