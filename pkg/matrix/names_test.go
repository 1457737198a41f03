package matrix

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// T24: the addresses behind a host name change each second. Sessions on addresses that went away are kept, and of the
// clients only those move whom the change concerns: at most 1/N + 1 % for each address that comes or goes.
func TestNameChanges(t *testing.T) {
	names, port := newNameServer(t), echoPort(t)
	now := loopbacks(4, 1, 10)
	names.set("churn.example", well, now...)
	key := filepath.Join(t.TempDir(), "hash.key") // always the same, so that the same clients move in every run
	if err := os.WriteFile(key, []byte("000102030405060708090a0b0c0d0e0f"), 0o600); err != nil {
		t.Fatal(err)
	}
	front := freeAddress(t, "127.0.0.1")
	backends := []string{"churn.example:" + port}
	p := run(t, setup{
		before:  names.resolved(t),
		process: fmt.Sprintf("hash_key_file = %q", key),
		config: frontend("front", front, "pool") + pool("pool", backends, "resolve = \"1s\"", noChecks) +
			frontend("table", freeAddress(t, "127.0.0.1"), "table") + pool("table", backends, "resolve = \"1s\"\nhash = \"client\"", noChecks),
	})
	all := gather(t, front, scaled(4000))
	talking := all.keepTalking()

	fresh := loopbacks(4, 11, 10)
	before := p.places(1000)
	for i, change := range []string{"one more", "one less", "another one", "another one", "one more", "one less"} {
		n, concerned := len(now), 1
		switch change {
		case "one more":
			now, fresh = append(now, fresh[0]), fresh[1:]
			n = len(now)
		case "one less":
			now = now[1:]
		case "another one":
			now, fresh = append(now[1:], fresh[0]), fresh[1:]
			concerned = 2
		}
		names.set("churn.example", well, now...)
		p.await(change, func() bool { return slices.Equal(p.members("table"), now) && slices.Equal(p.members("pool"), now) })
		after := p.places(len(before))
		moved := 0
		for c := range before {
			if before[c] != after[c] {
				moved++
			}
		}
		share, most := float64(moved)/float64(len(before)), float64(concerned)*(1/float64(n)+0.01)
		t.Logf("change %d, %s, of %d: %.1f %% of the clients move", i, change, n, 100*share)
		if share > most {
			t.Errorf("change %d, %s, of %d: %.1f %% of the clients move, want at most %.1f %%", i, change, n, 100*share, 100*most)
		}
		before = after
	}
	gather(t, front, scaled(400))
	if n, first := failures(talking()); n > 0 {
		t.Errorf("%d of %d sessions failed: %v", n, len(all), first)
	}
	p.wantEnds(map[string]uint64{})
}

// T24: name servers fail in every way they can. The last good answer stays until there is another one, and what somebody
// else sends is not believed.
func TestNameServerFails(t *testing.T) {
	names, port := newNameServer(t), echoPort(t)
	troubles := map[string]answering{
		"servfail": servfail, "notfound": notFound, "empty": empty, "silent": silent, "garbled": garbled, "truncated": truncated, "forged": forged,
	}
	hosts := slices.Sorted(maps.Keys(troubles))
	old, fresh := loopbacks(5, 1, len(hosts)), loopbacks(5, 101, len(hosts))
	var backends []string
	for i, host := range hosts {
		names.set(host+".example", well, old[i])
		backends = append(backends, net.JoinHostPort(host+".example", port))
	}
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{before: names.resolved(t), config: frontend("front", front, "pool") + pool("pool", backends, "resolve = \"1s\"", noChecks)})
	all := gather(t, front, scaled(1000))
	talking := all.keepTalking()

	asked := map[string]int{}
	for host, how := range troubles {
		names.set(host+".example", how)
		asked[host] = names.asked(host + ".example")
	}
	p.await("every name to be asked for three times", func() bool {
		return !slices.ContainsFunc(hosts, func(host string) bool { return names.asked(host+".example") < asked[host]+3 })
	})
	if now := p.members("pool"); !slices.Equal(now, old) {
		t.Errorf("the last good answers did not stay: %v, want %v", now, old)
	}
	for _, host := range hosts {
		if said := p.countEvents("degraded", host+".example") > 0; said != (host != "forged") {
			t.Errorf("%s: said that look-ups fail: %v", host, said)
		}
	}
	gather(t, front, 100)
	for i, host := range hosts {
		names.set(host+".example", well, fresh[i])
	}
	p.await("the new addresses", func() bool { return slices.Equal(p.members("pool"), fresh) })
	gather(t, front, 100)
	if n, first := failures(talking()); n > 0 {
		t.Errorf("%d of %d sessions failed: %v", n, len(all), first)
	}
	p.wantEnds(map[string]uint64{})
}

// echoPort is the port of a process that echoes on every loopback address.
func echoPort(t *testing.T) string {
	t.Helper()
	_, port, _ := net.SplitHostPort(echoHosts(t, 0, 1)[0])
	return port
}

// loopbacks is n addresses from 127.0.GROUP.FIRST on.
func loopbacks(group, first, n int) (all []netip.Addr) {
	for i := range n {
		all = append(all, netip.AddrFrom4([4]byte{127, 0, byte(group), byte(first + i)}))
	}
	return all
}

// members is the addresses of a pool's backends now, without those that are gone from the answers. In order.
func (p *program) members(pool string) (all []netip.Addr) {
	p.t.Helper()
	for _, s := range p.pools() {
		for _, b := range s.Backends {
			if s.Name == pool && !b.Removed {
				all = append(all, netip.MustParseAddrPort(b.Address).Addr())
			}
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return all
}

// places asks where each of n clients of the frontend "table" would go now.
func (p *program) places(n int) []string {
	p.t.Helper()
	places := make([]string, n)
	errs := inParallel(n, func(i int) error {
		client := fmt.Sprintf("10.0.%d.%d:4711", i/250, i%250)
		body, err := p.ask(http.MethodGet, "/v1/explain?frontend=table&client="+url.QueryEscape(client))
		var e balancer.Explanation
		if err == nil {
			err = json.Unmarshal(body, &e)
		}
		places[i] = e.Address
		return err
	})
	if n, first := failures(errs); n > 0 {
		p.t.Fatalf("%d questions were not answered: %v", n, first)
	}
	return places
}
