package tuning

import (
	"fmt"
	"strings"
)

// A danger is a setting that people copy from each other and that does not do what they hope. applies gets the value: the
// kernel's, or that of a sysctl.d file if the kernel has no such sysctl any more.
type danger struct {
	name    string
	applies func(h *host, value string) bool
	text    string
}

func always(*host, string) bool { return true }

func is(values ...string) func(*host, string) bool {
	return func(_ *host, value string) bool {
		for _, v := range values {
			if value == v {
				return true
			}
		}
		return false
	}
}

func below(n int64) func(*host, string) bool {
	return func(_ *host, value string) bool {
		all := numbers(value)
		return len(all) > 0 && all[0] < n
	}
}

var dangerous = []danger{
	{
		"net.ipv4.tcp_tw_recycle", always,
		"removed in Linux 4.12: it dropped connections of clients behind one NAT address. Nothing replaces it; tcp_tw_reuse=1 is for outgoing connections",
	},
	{
		"net.ipv4.tcp_fin_timeout", below(60),
		"it is the time in FIN_WAIT2 and does not shorten TIME_WAIT, which is 60 s in the kernel's source",
	},
	{
		"net.ipv4.tcp_mem", tcpMemInBytes,
		"the unit is pages of 4 KiB: this is more than the host's memory, and TCP would take all of it before it slows down",
	},
	{
		"net.ipv4.tcp_timestamps", is("0"),
		"without timestamps ports rest 60 s in TIME_WAIT and cannot be used again before, round trips are measured worse, and SYN cookies lose window scaling; it hides nothing since Linux 4.10 (the offset is random)",
	},
	{
		"net.ipv4.ip_local_port_range", below(firstPort),
		"ports below 1024 are of services: an outgoing connection may take one from a daemon that starts later",
	},
	{
		"net.ipv4.tcp_tw_reuse", is("1"),
		"it is for outgoing connections alone, and only with timestamps: sockets that clients left in TIME_WAIT stay as they are, and cost 250 B each",
	},
	{
		"net.ipv4.tcp_max_tw_buckets", below(16384),
		"few entries do not free ports sooner: sockets skip TIME_WAIT, and late segments meet the next connection on the port",
	},
	{
		"net.ipv4.tcp_abort_on_overflow", is("1"),
		"a full accept queue then resets clients instead of letting them try again after 1 s",
	},
	{
		"net.ipv4.tcp_low_latency", is("1"),
		"does nothing since Linux 4.14",
	},
	{
		"net.ipv4.tcp_fack", always,
		"does nothing since Linux 4.15",
	},
	{
		"net.ipv4.tcp_syncookies", is("2"),
		"every connection is made by a cookie: that is for tests",
	},
	{
		"net.ipv4.tcp_sack", is("0"),
		"without selective acknowledgements one lost segment costs a whole window",
	},
	{
		"net.ipv4.tcp_window_scaling", is("0"),
		"windows then end at 64 KiB: no session is faster than 64 KiB a round trip",
	},
	{
		"net.ipv4.tcp_retries2", below(5),
		"connections then break in a few seconds of lost packets; longsplice has timeouts of its own for that",
	},
}

func tcpMemInBytes(h *host, value string) bool {
	all := numbers(value)
	return len(all) == 3 && h.memory > 0 && all[2] > h.memory/4096
}

// dangers are the settings above that this host has, and limits of a thousand million files.
func dangers(h *host, _ *Goal) (notes []Note) {
	for _, d := range dangerous {
		won, _ := h.winner(d.name)
		value, live := h.sysctl(d.name)
		where := ""
		switch {
		case won != nil:
			where = " (" + won.at() + ")"
		case !live:
			continue
		}
		if !live {
			value = won.value
		}
		if value = oneBlank(value); d.applies(h, value) && (won != nil || !quiet(d.name)) {
			notes = append(notes, Note{About: d.name, Text: fmt.Sprintf("%s%s: %s", value, where, d.text)})
		}
	}
	return append(notes, hugeFiles(h)...)
}

// quiet are sysctls of which the kernel has a value that says nothing about who set it.
func quiet(name string) bool {
	return strings.HasSuffix(name, "tcp_fack") || strings.HasSuffix(name, "tcp_tw_reuse") || strings.HasSuffix(name, "tcp_low_latency")
}

// absurdFiles is a limit that no host needs: the table alone is 8 B for each, and programs that close or walk "all
// descriptors up to the limit" take minutes.
const absurdFiles = 1 << 28

func hugeFiles(h *host) (notes []Note) {
	const why = "a thousand million files: a descriptor table of 8 GiB if it were used, and programs that walk through all numbers up to their limit take minutes; 4 million are enough for 2 million sessions"
	if h.process != nil && h.process.hard >= absurdFiles {
		notes = append(notes, Note{About: "RLIMIT_NOFILE", Text: fmt.Sprintf("%s of pid %d: %s", files64(h.process.hard), h.process.pid, why)})
	}
	if most := h.openMost(); most >= absurdFiles && h.unit.file != "" && h.unit.noFile() >= absurdFiles {
		notes = append(notes, Note{About: h.unit.name + " LimitNOFILE", Text: fmt.Sprintf("%s, cut to fs.nr_open %s: %s", h.unit.last("LimitNOFILE"), Count(most), why)})
	}
	return notes
}
