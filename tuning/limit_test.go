package tuning

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
)

// lowered is one limit of a host that was in order, set low.
type lowered struct {
	look   look
	change func(h *tree, g *Goal)
	want   string // the name of the limit that comes first
	text   string // of the verdict; "": a warning, which the verdict does not speak of
}

// set is a change of sysctls: name, value, name, value.
func set(words ...string) func(*tree, *Goal) {
	return func(h *tree, _ *Goal) {
		for i := 0; i < len(words); i += 2 {
			h.set(words[i], words[i+1])
		}
	}
}

// putFile is a change of a file.
func putFile(rel, text string) func(*tree, *Goal) {
	return func(h *tree, _ *Goal) { h.put(rel, text+"\n", 0o644) }
}

// written is a change of the configuration.
func written(was, is string) func(*tree, *Goal) {
	return func(h *tree, g *Goal) {
		h.edit("longsplice.toml", was, is)
		*g = h.goal(h.get("longsplice.toml"))
	}
}

func both(a, b func(*tree, *Goal)) func(*tree, *Goal) {
	return func(h *tree, g *Goal) { a(h, g); b(h, g) }
}

const (
	edgeGroup   = "sys/fs/cgroup/system.slice/longsplice.service/"
	fewPorts    = "30000\t32499" // × 200 pairs: 500,000
	ownPorts    = "source_addresses = [\"10.0.0.10-10.0.0.109\"]\nlocal_ports = \"20000-29999\"\n"
	sourcesLine = "source_addresses = [\"10.0.0.10-10.0.0.109\"]\n"
)

// edgeLowered are changes of edge-box, whose goal is 500,000 sessions.
var edgeLowered = []lowered{
	{openFiles, set("fs.nr_open", "20000"), "fs.nr_open", "fs.nr_open 20,000 binds first"},
	{processFiles, putFile("proc/4711/limits", "Max open files 1024 20000 files"), "RLIMIT_NOFILE hard limit", "about 9,700 sessions: RLIMIT_NOFILE hard limit 20,000 binds first; next nf_conntrack_max 2,097,152"},
	{serviceFiles, putFile("etc/systemd/system/longsplice.service.d/60-low.conf", "[Service]\nLimitNOFILE=1024:65536"), "longsplice.service LimitNOFILE", "longsplice.service LimitNOFILE 65,536 binds first"},
	{allFiles, set("fs.file-max", "600000"), "fs.file-max", "fs.file-max 600,000 binds first"},
	{watches, set("fs.epoll.max_user_watches", "500000"), "fs.epoll.max_user_watches", "fs.epoll.max_user_watches 500,000 binds first"},
	{configured, written("[tuning]", "[process]\nmax_sessions = 1000\n[tuning]"), "process.max_sessions", "holds about 1,000 sessions: process.max_sessions 1,000 binds first"},
	{configured, written("\"10.0.1.1:8080\"\n\n", "\"10.0.1.1:8080\"\nmax_sessions = 100\n\n"), "", ""}, // the other backend has no limit
	{localPorts, set("net.ipv4.ip_local_port_range", "30000\t30999"), "net.ipv4.ip_local_port_range", "about 200,000 sessions: ip_local_port_range (1,000 per source and backend) binds first"},
	{localPorts, set("net.ipv4.ip_local_port_range", "30000\t32499", "net.ipv4.ip_local_reserved_ports", "30000-31999"), "net.ipv4.ip_local_port_range", "about 100,000 sessions: ip_local_port_range (500 per source and backend)"},
	{localPorts, both(written(sourcesLine, strings.Replace(ownPorts, "29999", "20999", 1)), set("net.ipv4.ip_local_port_range", "30000\t60999")), "local_ports", "about 200,000 sessions: local_ports (1,000 per source and backend) binds first"},
	{portOverlap, written(sourcesLine, ownPorts), "ip_local_port_range beside local_ports", "holds 0 sessions: the overlap of ip_local_port_range and local_ports binds first"},
	{portListeners, set("net.ipv4.ip_local_port_range", "400\t65535"), "net.ipv4.ip_local_reserved_ports", "what falls short is port 443 inside ip_local_port_range, not reserved"},
	{portListeners, set("net.ipv4.ip_local_reserved_ports", ""), "net.ipv4.ip_local_reserved_ports", ""},
	{sourceAddresses, written("10.0.0.109", "10.0.0.110"), "source_addresses", "holds 0 sessions: source address 10.0.0.110, which this host does not have, binds first"},
	{reuse, set("net.ipv4.ip_local_port_range", fewPorts, "net.ipv4.tcp_tw_reuse", "2"), "net.ipv4.tcp_tw_reuse", "about 250,000 sessions: tcp_tw_reuse 2 binds first"},
	{timestamps, set("net.ipv4.ip_local_port_range", fewPorts, "net.ipv4.tcp_timestamps", "0"), "net.ipv4.tcp_timestamps", "about 250,000 sessions: tcp_timestamps 0 binds first"},
	{timestamps, set("net.ipv4.tcp_timestamps", "0"), "net.ipv4.tcp_timestamps", "what falls short is tcp_timestamps 0"},
	{timeWaits, set("net.ipv4.tcp_max_tw_buckets", "5000"), "net.ipv4.tcp_max_tw_buckets", "what falls short is tcp_max_tw_buckets 5,000"},
	{acceptQueue, set("net.core.somaxconn", "128"), "net.core.somaxconn", "about 12,000 sessions: somaxconn 128 binds first"},
	{synQueue, set("net.ipv4.tcp_max_syn_backlog", "128", "net.ipv4.tcp_syncookies", "0"), "net.ipv4.tcp_max_syn_backlog", "about 9,600 sessions: tcp_max_syn_backlog 128 binds first"},
	{synCookies, set("net.ipv4.tcp_syncookies", "0", "net.ipv4.tcp_max_syn_backlog", "65536"), "net.ipv4.tcp_syncookies", "what falls short is tcp_syncookies 0"},
	{synCookies, set("net.ipv4.tcp_syncookies", "2"), "net.ipv4.tcp_syncookies", "what falls short is tcp_syncookies 2"},
	{cpuBacklog, set("net.core.netdev_max_backlog", "300"), "net.core.netdev_max_backlog", "about 300,000 sessions: netdev_max_backlog 300 binds first"},
	{migrate, set("net.ipv4.tcp_migrate_req", "0"), "net.ipv4.tcp_migrate_req", "what falls short is tcp_migrate_req 0"},
	{memory, putFile("proc/meminfo", "MemTotal: 4194304 kB"), "RAM", "about 260,000 sessions: RAM 4 GiB binds first"},
	{cgroupMemory, putFile(edgeGroup+"memory.max", "1073741824"), "cgroup memory.max", "about 65,000 sessions: cgroup memory.max 1 GiB binds first"},
	{cgroupMemory, putFile("sys/fs/cgroup/system.slice/memory.max", "1073741824"), "cgroup memory.max", "about 65,000 sessions: cgroup memory.max 1 GiB binds first"},
	{tcpMemory, set("net.ipv4.tcp_mem", "94176\t125571\t188352"), "net.ipv4.tcp_mem", "about 94,000 sessions: tcp_mem 188,352 pages binds first"},
	{cgroupMemory, both(putFile(edgeGroup+"memory.max", "2147483648"), putFile("sys/fs/cgroup/system.slice/memory.max", "1073741824")), "cgroup memory.max", "cgroup memory.max 1 GiB binds first"},
	{cgroupMemory, both(putFile(edgeGroup+"memory.max", "1073741824"), putFile("sys/fs/cgroup/system.slice/memory.max", "2147483648")), "cgroup memory.max", "cgroup memory.max 1 GiB binds first"},
	{tcpMemory, set("net.ipv4.tcp_mem", "990000\t995000\t999000"), "net.ipv4.tcp_mem", "about 490,000 sessions: tcp_mem 999,000 pages binds first"},
	{tcpMemory, set("net.ipv4.tcp_mem", "4294967296\t4294967296\t4294967296"), "net.ipv4.tcp_mem", ""},
	{receiveBuffers, set("net.ipv4.tcp_rmem", "4096\t4096\t6291456"), "net.ipv4.tcp_rmem", "what falls short is tcp_rmem 4096 4096 6291456"},
	{receiveBuffers, set("net.ipv4.tcp_rmem", "4096\t131072\t67108864"), "net.ipv4.tcp_rmem", ""},
	{sendBuffers, set("net.ipv4.tcp_wmem", "4096\t16384\t65536"), "net.ipv4.tcp_wmem", "what falls short is tcp_wmem 4096 16384 65536"},
	{orphans, set("net.ipv4.tcp_max_orphans", "8192"), "net.ipv4.tcp_max_orphans", "about 65,000 sessions: tcp_max_orphans 8,192 binds first"},
	{finTimeout, set("net.ipv4.tcp_fin_timeout", "5"), "net.ipv4.tcp_fin_timeout", ""},
	{finTimeout, set("net.ipv4.tcp_fin_timeout", "600"), "net.ipv4.tcp_fin_timeout", ""},
	{notSent, set("net.ipv4.tcp_notsent_lowat", "16384"), "net.ipv4.tcp_notsent_lowat", ""},
	{conntrack, set("net.netfilter.nf_conntrack_max", "65536"), "net.netfilter.nf_conntrack_max", "about 32,000 sessions: nf_conntrack_max 65,536 binds first"},
	{conntrackBuckets, set("net.netfilter.nf_conntrack_buckets", "1024"), "net.netfilter.nf_conntrack_buckets", "what falls short is nf_conntrack_buckets 1024"},
	{conntrackTimeouts, set("net.netfilter.nf_conntrack_tcp_timeout_close_wait", "60"), "net.netfilter.nf_conntrack_tcp_timeout_close_wait", "what falls short is nf_conntrack_tcp_timeout_close_wait 60"},
	{conntrackTimeouts, set("net.netfilter.nf_conntrack_tcp_timeout_established", "30"), "net.netfilter.nf_conntrack_tcp_timeout_established", "what falls short is nf_conntrack_tcp_timeout_established 30"},
	{pipeQuota, set("fs.pipe-user-pages-soft", "16384"), "fs.pipe-user-pages-soft", "what falls short is fs.pipe-user-pages-soft 16,384"},
	{pipeHardQuota, set("fs.pipe-user-pages-hard", "16384"), "fs.pipe-user-pages-hard", "what falls short is fs.pipe-user-pages-hard 16,384"},
	{pipeSize, set("fs.pipe-max-size", "65536"), "fs.pipe-max-size", "what falls short is fs.pipe-max-size 65,536"},
	{reversePath, both(written("[tuning]", "[tuning]\ninterface = \"eth1\""), set("net.ipv4.conf.eth1.rp_filter", "1", "net.ipv4.conf.eth1.arp_ignore", "1", "net.ipv4.conf.eth1.arp_announce", "2")), "net.ipv4.conf.eth1.rp_filter", "what falls short is net.ipv4.conf.eth1.rp_filter 1"},
	{arp, set("net.ipv4.conf.eth0.arp_ignore", "0"), "net.ipv4.conf.eth0.arp_ignore", ""},
	{cpuMax, both(putFile(edgeGroup+"cpu.max", "250000 100000"), written("[tuning]", "[process]\nworkers = 16\n[tuning]")), "cgroup cpu.max", ""},
	{receiveQueues, both(putFile("sys/class/net/eth0/queues/rx-0/rps_cpus", "0000"), putFile("sys/class/net/eth0/queues/rx-1/rps_cpus", "0000")), "eth0 receive queues", ""},
	{receiveQueues, both(putFile("sys/class/net/eth0/queues/tx-0/xps_cpus", "0000,00000000"), putFile("sys/class/net/eth0/queues/tx-1/xps_cpus", "0000")), "eth0 send queues", ""},
	{interrupts, putFile("proc/irq/82/effective_affinity_list", "0"), "eth0 interrupts", ""},
}

func TestEachLimitIsNamedFirst(t *testing.T) {
	for i, c := range edgeLowered {
		t.Run(fmt.Sprintf("%d %s", i, c.want), func(t *testing.T) {
			t.Parallel()
			h, g := newHost(t, "edge-box")
			c.change(h, &g)
			r := h.inspect(g)
			switch first := r.Limits[0]; {
			case c.want == "":
				if first.State != Fine {
					t.Errorf("%s is %s, and nothing is short", first.Name, first.State)
				}
				return
			case first.Name != c.want || first.State == Fine:
				t.Fatalf("the first limit is %s, which is %s", first.Name, first.State)
			case c.text == "" && first.State != Warn:
				t.Errorf("%s is %s, and should be a warning", first.Name, first.State)
			}
			if !strings.Contains(r.Verdict.Text, c.text) {
				t.Errorf("%q is not in %q", c.text, r.Verdict.Text)
			}
			if short := r.Verdict.Short > 0; short == (c.text == "") {
				t.Errorf("%d fall short", r.Verdict.Short)
			}
		})
	}
}

func TestEveryLimitIsLowered(t *testing.T) {
	name := func(f look) string { return runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name() }
	tried := map[string]bool{}
	for _, c := range edgeLowered {
		tried[name(c.look)] = true
	}
	for _, f := range limits {
		if !tried[name(f)] {
			t.Errorf("no line of edgeLowered sets %s low", name(f))
		}
	}
}

// Meeting the needs of each lowered limit leaves nothing that is short, but for what no sysctl moves.
func TestNeedsMendEachLimit(t *testing.T) {
	byHand := map[string]bool{"RLIMIT_NOFILE hard limit": true, "RAM": true, "cgroup memory.max": true, "process.max_sessions": true, "local_ports": true}
	for i, c := range edgeLowered {
		t.Run(fmt.Sprintf("%d %s", i, c.want), func(t *testing.T) {
			t.Parallel()
			h, g := newHost(t, "edge-box")
			c.change(h, &g)
			r := h.inspect(g)
			if byHand[c.want] || c.text == "" {
				if len(r.Needs) > 0 {
					t.Errorf("needs %v of what is not for tune to change", r.Needs)
				}
				return
			}
			if r.Verdict.After < int64(g.Sessions) {
				t.Errorf("after %d needs the host holds %d: %s", len(r.Needs), r.Verdict.After, r.Verdict.Outlook)
			}
			for _, n := range r.Needs {
				if n.Why == "" || n.Wanted == "" || n.Wanted == n.Current || lowers(n) {
					t.Errorf("%+v", n)
				}
			}
		})
	}
}

// lowers says whether a need lowers a number. A port range is moved, and modes are no numbers.
func lowers(n Need) bool {
	current, wanted := numbers(n.Current), numbers(n.Wanted)
	switch n.Name {
	case rangeName, reservedName, "net.ipv4.tcp_syncookies", "net.ipv4.tcp_tw_reuse":
		return false
	}
	for i := range min(len(current), len(wanted)) {
		if wanted[i] < current[i] {
			return true
		}
	}
	return false
}
