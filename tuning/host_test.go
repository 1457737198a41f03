package tuning

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"net.ipv4.tcp_mem":                  "/p/sys/net/ipv4/tcp_mem",
		"net/ipv4/tcp_mem":                  "/p/sys/net/ipv4/tcp_mem",
		"net.ipv4.conf.eth0/100.rp_filter":  "/p/sys/net/ipv4/conf/eth0.100/rp_filter",
		"net/ipv4/conf/eth0.100/rp_filter":  "/p/sys/net/ipv4/conf/eth0.100/rp_filter",
		deviceSysctl("eth0.100", "arp_all"): "/p/sys/net/ipv4/conf/eth0.100/arp_all",
		"single":                            "/p/sys/single",
	} {
		if got := (Roots{Proc: "/p"}).SysctlPath(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestTheProcessIsFoundByItsLock(t *testing.T) {
	h, g := newHost(t, "edge-box")
	h.put("proc/300/comm", "longsplice\n", 0o644) // another one, which serves something else
	h.put("proc/300/cmdline", "longsplice\x00run\x00", 0o644)
	h.put("proc/200/comm", "longsplice\n", 0o644) // and this very command
	h.put("proc/200/cmdline", "longsplice\x00doctor\x00", 0o644)
	r := Under(h.dir)
	admin := g.Config.Process.Admin
	if p, others := findProcess(r, admin); p == nil || p.pid != 4711 || others != 0 {
		t.Errorf("by the lock: got %+v and %d others", p, others)
	}
	h.put("run/longsplice/admin.sock.lock", "200\n", 0o644) // stale: the number belongs to somebody else by now
	if p, others := findProcess(r, admin); p == nil || p.pid != 300 || others != 1 {
		t.Errorf("without a lock: got %+v and %d others", p, others)
	}
	if !h.inspect(g).noted("process", "pid 300, found in /proc") {
		t.Error("a process that was guessed is not said to be")
	}
	for pid, ns := range map[string]string{"self": "net:[1]", "300": "net:[2]", "4711": "net:[1]"} {
		dir := h.path("proc/" + pid + "/ns")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(ns, dir+"/net"); err != nil {
			t.Fatal(err)
		}
	}
	if p, _ := findProcess(r, ""); p == nil || p.pid != 4711 || p.elsewhere {
		t.Errorf("one of our own network namespace is nearer: got %+v", p)
	}
}

// The shell that doctor runs in may have any limit; it is of no interest.
func TestTheShellsLimitIsNeverRead(t *testing.T) {
	for _, name := range hosts {
		h, g := newHost(t, name)
		was := h.inspect(g).summary()
		h.put("proc/self/limits", "Max open files 7 7 files\n", 0o644)
		if diff := cmp.Diff(was, h.inspect(g).summary()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestFilesOfTheUnit(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"systemd's default", nil, 524288},
		{"the manager's default", map[string]string{"etc/systemd/system.conf": "[Manager]\nDefaultLimitNOFILE=1024:100000\n"}, 100000},
		{"a drop-in of the manager", map[string]string{
			"etc/systemd/system.conf":                   "[Manager]\nDefaultLimitNOFILE=1\n",
			"usr/lib/systemd/system.conf.d/50-big.conf": "[Manager]\nDefaultLimitNOFILE=200000\n",
		}, 200000},
		{"the unit", map[string]string{"usr/lib/systemd/system/longsplice.service": "[Unit]\nLimitNOFILE=1\n[Service]\nLimitNOFILE=65536\n"}, 65536},
		{"an administrator's unit hides the package's", map[string]string{
			"usr/lib/systemd/system/longsplice.service": "[Service]\nLimitNOFILE=65536\n",
			"etc/systemd/system/longsplice.service":     "[Service]\nExecStart=/x\n",
		}, 524288},
		{"the last drop-in wins, whatever its folder", map[string]string{
			"etc/systemd/system/longsplice.service.d/10-a.conf": "[Service]\nLimitNOFILE=1000\n",
			"run/systemd/system/longsplice.service.d/20-b.conf": "[Service]\nLimitNOFILE=2000\n",
		}, 2000},
		{"of one name the administrator's counts", map[string]string{
			"etc/systemd/system/longsplice.service.d/10-a.conf":     "[Service]\nLimitNOFILE=1000\n",
			"usr/lib/systemd/system/longsplice.service.d/10-a.conf": "[Service]\nLimitNOFILE=2000\n",
		}, 1000},
		{"an empty assignment forgets", map[string]string{
			"etc/systemd/system/longsplice.service.d/10-a.conf": "[Service]\nLimitNOFILE=1000\n",
			"etc/systemd/system/longsplice.service.d/20-b.conf": "[Service]\nLimitNOFILE=\n",
		}, 524288},
		{"comments", map[string]string{"etc/systemd/system/longsplice.service": "[Service]\n#LimitNOFILE=1\n; LimitNOFILE=2\n LimitNOFILE = 3000\n"}, 3000},
		{"cut to fs.nr_open", map[string]string{"etc/systemd/system/longsplice.service": "[Service]\nLimitNOFILE=infinity\n"}, 1048576},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, g := newHost(t, "debian-vm")
			for rel, text := range c.files {
				h.put(rel, text, 0o644)
			}
			l := h.inspect(g).limit("longsplice.service LimitNOFILE")
			if l == nil || l.Current != Count(c.want) {
				t.Errorf("got %+v, want %d", l, c.want)
			}
		})
	}
}

func TestRoutes(t *testing.T) {
	h, _ := newHost(t, "edge-box")
	h.put("proc/net/ipv6_route", strings.Join([]string{
		"00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 00000400 00000001 00000000 00000003     eth1",
		"20010db8000100000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0",
		"20010db8000200000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00200200       lo",
	}, "\n"), 0o644)
	n := readNetwork(Under(h.dir))
	for to, want := range map[string]string{
		"10.0.1.1": "eth0", "8.8.8.8": "eth1", "192.0.2.9": "eth1", "2001:db8:1::5": "eth0", "2001:db8:2::5": "eth1", "2001:db8::9": "eth1",
	} {
		if got := n.deviceTo(netip.MustParseAddr(to)); got != want {
			t.Errorf("%s: got %q, want %q", to, got, want)
		}
	}
	for address, want := range map[string]bool{
		"127.0.0.1": true, "10.0.0.10": true, "10.0.0.109": true, "10.0.0.110": false, "2001:db8::5": true, "2001:db8::6": false, "::1": true,
	} {
		if got := n.has(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: has %v, want %v", address, got, want)
		}
	}
}

// "ip route add local 10.9.0.0/24 dev lo" makes every address of it ours.
func TestLocalRoutesAreOurAddresses(t *testing.T) {
	h, _ := newHost(t, "edge-box")
	h.edit("proc/net/fib_trie", "     |-- 10.0.0.5\n", "     |-- 10.9.0.0\n        /24 host LOCAL\n     |-- 10.0.0.5\n")
	n := readNetwork(Under(h.dir))
	if !n.has(netip.MustParseAddr("10.9.0.77")) || n.has(netip.MustParseAddr("10.9.1.77")) {
		t.Errorf("local: %v", n.local)
	}
}

func TestMissingSourcesBelongToTheRoutesInterface(t *testing.T) {
	h, _ := newHost(t, "edge-box")
	g := h.goal(strings.Replace(h.get("longsplice.toml"), "10.0.0.109", "10.0.0.111", 1))
	want := []Need{
		{Kind: Address, Name: "10.0.0.110/32 dev eth0", Wanted: Present},
		{Kind: Address, Name: "10.0.0.111/32 dev eth0", Wanted: Present},
	}
	needs := h.inspect(g).Needs
	for i := range needs {
		needs[i].Why = ""
	}
	if diff := cmp.Diff(want, needs); diff != "" {
		t.Error(diff)
	}
	g.Interface = "vlan.7"
	if got := h.inspect(g).Needs[0].Name; got != "10.0.0.110/32 dev vlan.7" {
		t.Errorf("[tuning].interface: got %s", got)
	}
}

func TestSysctlFilesInTheirOrder(t *testing.T) {
	h, g := newHost(t, "debian-vm")
	for rel, text := range map[string]string{
		"usr/lib/sysctl.d/50-a.conf":       "net.core.somaxconn = 1\n",
		"usr/lib/sysctl.d/20-masked.conf":  "net.core.somaxconn = 2\n",
		"etc/sysctl.d/20-masked.conf":      "# the package's file of this name is not read\n",
		"run/sysctl.d/30-run.conf":         "-net/core/somaxconn=3\n",
		"usr/local/lib/sysctl.d/95-l.conf": "net.core.somaxconn = 4\nkernel.pid_max = 5\n",
		"usr/lib/sysctl.d/README":          "net.core.somaxconn = 6\n",
	} {
		h.put(rel, text, 0o644)
	}
	if err := os.Symlink("/dev/null", h.path("etc/sysctl.d/50-a.conf")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range readBootLines(Under(h.dir)) {
		got = append(got, filepath.Base(line.file)+" "+line.name+"="+line.value)
	}
	want := []string{"30-run.conf net.core.somaxconn=3", "95-l.conf net.core.somaxconn=4", "95-l.conf kernel.pid_max=5"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	g.Sessions = 1_000_000
	l := h.inspect(g).limit("net.core.somaxconn")
	if at := h.path("usr/local/lib/sysctl.d/95-l.conf") + ":1"; l.SetBy != at || l.Override != at {
		t.Errorf("set by %q, overridden by %q, want %q", l.SetBy, l.Override, at)
	}
}
