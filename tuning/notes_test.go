package tuning

import (
	"os"
	"strings"
	"testing"
)

// noted says whether a note about something holds the text.
func (r *Report) noted(about, text string) bool {
	for _, n := range r.Notes {
		if n.About == about && strings.Contains(n.Text, text) {
			return true
		}
	}
	return false
}

func TestSettingsThatPeopleCopyAreExplained(t *testing.T) {
	h, g := newHost(t, "blog-sysctls")
	r := h.inspect(g)
	for about, text := range map[string]string{
		"net.ipv4.tcp_tw_recycle":        "removed in Linux 4.12",
		"net.ipv4.tcp_fin_timeout":       "does not shorten TIME_WAIT",
		"net.ipv4.tcp_mem":               "the unit is pages",
		"net.ipv4.tcp_timestamps":        "without timestamps ports rest",
		"net.ipv4.ip_local_port_range":   "ports below 1024 are of services",
		"net.ipv4.tcp_tw_reuse":          "for outgoing connections alone",
		"longsplice.service LimitNOFILE": "a thousand million files",
		"net.netfilter.nf_conntrack_max": "is lost at boot",
		"net.core.somaxconn":             "/etc/sysctl.conf:14 wins with 65535",
	} {
		if !r.noted(about, text) {
			t.Errorf("no note about %s says %q", about, text)
		}
	}
	h, g = newHost(t, "debian-vm")
	r = h.inspect(g)
	for _, d := range dangerous { // and nothing of the kind where nobody has set anything
		if r.noted(d.name, "") {
			t.Errorf("a stock host is told about %s", d.name)
		}
	}
}

func TestDangers(t *testing.T) {
	for _, c := range []struct{ name, value, text string }{
		{"net.ipv4.tcp_tw_recycle", "0", "removed"}, // an old kernel has it
		{"net.ipv4.tcp_fin_timeout", "15", "FIN_WAIT2"},
		{"net.ipv4.tcp_mem", "8388608 12582912 16777216", "the unit is pages"},
		{"net.ipv4.tcp_timestamps", "0", "SYN cookies lose"},
		{"net.ipv4.ip_local_port_range", "1 65535", "services"},
		{"net.ipv4.tcp_max_tw_buckets", "0", "do not free ports"},
		{"net.ipv4.tcp_abort_on_overflow", "1", "resets clients"},
		{"net.ipv4.tcp_syncookies", "2", "tests"},
		{"net.ipv4.tcp_sack", "0", "whole window"},
		{"net.ipv4.tcp_window_scaling", "0", "64 KiB"},
		{"net.ipv4.tcp_retries2", "3", "few seconds"},
	} {
		h, g := newHost(t, "debian-vm")
		h.set(c.name, c.value)
		if r := h.inspect(g); !r.noted(c.name, c.text) {
			t.Errorf("%s = %s: not noted: %+v", c.name, c.value, r.Notes)
		}
	}
}

func TestConntrackThatTracksNothingIsNoLimit(t *testing.T) {
	h, g := newHost(t, "edge-box")
	h.set(conntrackNumber, "0") // beside 300,000 sockets
	h.set(conntrackMax, "1000")
	r := h.inspect(g)
	if l := r.limit(conntrackMax); l.State != Fine || l.Sessions != Unbounded || r.noted("nf_conntrack", "") {
		t.Errorf("got %+v", l)
	}
	h.set(conntrackNumber, "212")
	if r := h.inspect(g); r.limit(conntrackMax).State != Short || !r.noted("nf_conntrack", "tcp dport { 443 } notrack") {
		t.Errorf("got %+v", r.limit(conntrackMax))
	}
}

// Privileged, the program may have as many pipes as it likes.
func TestPipeQuotasAreOfTheUnprivileged(t *testing.T) {
	h, g := newHost(t, "edge-box")
	h.set("fs.pipe-user-pages-soft", "1024")
	if l := h.inspect(g).limit("fs.pipe-user-pages-soft"); l.State != Short {
		t.Errorf("unprivileged: %s", l.State)
	}
	h.edit("proc/4711/status", "0000000000000400", "0000000001000400") // CAP_SYS_RESOURCE
	if l := h.inspect(g).limit("fs.pipe-user-pages-soft"); l.State != Fine {
		t.Errorf("with CAP_SYS_RESOURCE: %s", l.State)
	}
}

func TestProgramsOfOthersAreReported(t *testing.T) {
	h, g := newHost(t, "edge-box")
	h.put("proc/900/comm", "agent\n", 0o644)
	h.put("proc/900/fdinfo/7", "pos:\t0\nprog_type:\t14\nprog_jited:\t1\n", 0o644)
	h.put("proc/900/fdinfo/8", "pos:\t0\nprog_type:\t6\n", 0o644) // xdp: no matter of ours
	if err := os.MkdirAll(h.path("proc/900/fd"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, fd := range []string{"7", "8"} {
		if err := os.Symlink("anon_inode:bpf-prog", h.path("proc/900/fd/"+fd)); err != nil {
			t.Fatal(err)
		}
	}
	h.put("sys/fs/bpf/mesh", "", 0o600)
	r := h.inspect(g)
	if !r.noted("BPF", "agent (pid 900) holds a sk_skb program") || !r.noted("BPF", "pinned by other programs: mesh") || r.noted("BPF", "no sock_ops") {
		t.Errorf("got %+v", r.Notes)
	}
}

func TestWhatIsSupposedIsSaid(t *testing.T) {
	h, _ := newHost(t, "debian-vm")
	g, err := Suppose()
	if err != nil {
		t.Fatal(err)
	}
	if r := h.inspect(g); !r.noted("configuration", "one frontend, one backend") || !r.noted("process", "not those of this shell") {
		t.Errorf("got %+v", r.Notes)
	}
}
