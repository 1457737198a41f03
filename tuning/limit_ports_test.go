package tuning

import (
	"fmt"
	"testing"
)

// pools writes a configuration of pools, each with a frontend.
func pools(pools ...string) (text string) {
	for i, p := range pools {
		text += fmt.Sprintf("[[frontend]]\nname = \"f%d\"\nlisten = [\"0.0.0.0:%d\"]\npool = \"p%d\"\n[[pool]]\nname = \"p%d\"\n%s\n", i, 400+i, i, i, p)
	}
	return text
}

func backends(addresses ...string) (text string) {
	for i, a := range addresses {
		text += fmt.Sprintf("[[pool.backend]]\nname = \"b%d\"\naddress = %q\n", i, a)
	}
	return text
}

func TestPortsAreOfPairs(t *testing.T) {
	const each, two = 28_232, "source_addresses = [\"10.0.0.10-10.0.0.11\"]\n"
	for _, c := range []struct {
		name string
		text string
		want int64
	}{
		{"one source, one backend", pools(backends("10.0.1.1:80")), each},
		{"three backends", pools(backends("10.0.1.1:80", "10.0.1.1:81", "10.0.1.2:80")), 3 * each},
		{"two sources, two backends", pools(two + backends("10.0.1.1:80", "10.0.1.2:80")), 4 * each},
		{"two pools share a backend: the pairs are the same", pools(backends("10.0.1.1:80"), backends("10.0.1.1:80")), each},
		{"two pools, two backends", pools(backends("10.0.1.1:80"), backends("10.0.1.2:80")), 2 * each},
		{"the same backend from other sources", pools(two+backends("10.0.1.1:80"), backends("10.0.1.1:80")), 3 * each},
		{"a source of the other family takes no part", pools("source_addresses = [\"10.0.0.10\", \"2001:db8::5\"]\n" + backends("10.0.1.1:80", "[2001:db8:1::1]:80")), 2 * each},
		{"a source that the host lacks takes no part", pools("source_addresses = [\"10.0.0.10\", \"10.7.7.7\"]\n" + backends("10.0.1.1:80")), each},
		{"draining backends and backups take no part", pools(backends("10.0.1.1:80", "10.0.1.2:80") + "weight = 0\n" + "[[pool.backend]]\nname = \"x\"\naddress = \"10.0.1.3:80\"\nbackup = true\n"), each},
		{"a name counts as one address", pools(backends("db.example.org:80")), each},
		{"own ports", pools("local_ports = \"10000-19999\"\n" + two + backends("10.0.1.1:80")), 20_000},
		{"own ports beside the kernel's", pools("local_ports = \"10000-19999\"\n"+two+backends("10.0.1.1:80"), backends("10.0.1.1:80")), 20_000 + each},
		{"unix sockets need no ports", pools(backends("10.0.1.1:80", "unix:/run/b.sock")), Unbounded},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := newHost(t, "edge-box")
			h.set(rangeName, "32768\t60999")
			r := h.inspect(h.goal(c.text))
			l := r.limit(rangeName)
			if l == nil {
				l = r.limit("local_ports")
			}
			if l.Sessions != c.want {
				t.Errorf("got %d (%s), want %d", l.Sessions, l.Current, c.want)
			}
		})
	}
}

func TestTheKernelsRangeIsMoved(t *testing.T) {
	for _, c := range []struct {
		name     string
		now      string
		text     string
		sessions int
		want     string // of ip_local_port_range; "": nothing
		reserved string
	}{
		{"enough", "32768\t60999", pools(backends("10.0.1.1:80")), 28_000, "", ""},
		{"wider", "32768\t60999", pools(backends("10.0.1.1:80")), 40_000, "10240\t65535", ""}, // 10250 is reserved already
		{"as wide as it gets", "32768\t60999", pools(backends("10.0.1.1:80")), 60_000, "1024\t65535", "9100,10250"},
		{"never narrower", "5000\t65535", pools(backends("10.0.1.1:80")), 60_000, "", ""},
		{"wider than that is not to be had", "1024\t65535", pools(backends("10.0.1.1:80")), 70_000, "", ""},
		{"out of the way of local_ports", "32768\t60999", pools("local_ports = \"20000-39999\"\n" + backends("10.0.1.1:80")), 1000, "40000\t65535", ""},
		{"below local_ports", "32768\t60999", pools("local_ports = \"30000-65535\"\n" + backends("10.0.1.1:80")), 1000, "1024\t29999", "9100,10250"},
		{"wider beside local_ports", "40000\t49999", pools("local_ports = \"20000-29999\"\n"+backends("10.0.1.1:80"), backends("10.0.1.2:80")), 45_000, "30000\t65535", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := newHost(t, "edge-box")
			h.set(rangeName, c.now)
			g := h.goal(c.text)
			g.Sessions = c.sessions
			got := map[string]string{}
			for _, n := range h.inspect(g).Needs {
				got[n.Name] = n.Wanted
			}
			if got[rangeName] != c.want || got[reservedName] != c.reserved {
				t.Errorf("got range %q and reserved %q, want %q and %q", got[rangeName], got[reservedName], c.want, c.reserved)
			}
		})
	}
}

// Ports are reserved before the range grows over them.
func TestPortsAreReservedFirst(t *testing.T) {
	h, _ := newHost(t, "edge-box")
	h.set(rangeName, "32768\t60999")
	g := h.goal(pools(backends("10.0.1.1:80")))
	g.Sessions = 60_000
	place := map[string]int{}
	for i, n := range h.inspect(g).Needs {
		place[n.Name] = i + 1
	}
	if place[reservedName] == 0 || place[reservedName] > place[rangeName] {
		t.Errorf("got %v", place)
	}
}
