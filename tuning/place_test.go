package tuning

import (
	"encoding/json"
	"testing"
)

func TestValuesThatAreTheSame(t *testing.T) {
	for _, c := range []struct {
		name, now, wanted string
		same              bool
	}{
		{"net.ipv4.tcp_mem", "1\t2\t3\n", "1 2 3", true},
		{"net.ipv4.tcp_mem", "1\t2\t4\n", "1 2 3", false},
		{"net.ipv4.tcp_mem", "12\t3\n", "1 23", false},
		{"net.ipv4.ip_local_reserved_ports", "1000-1006,8443\n", "8443,1000-1005,1006", true},
		{"net.ipv4.ip_local_reserved_ports", "1000-1006\n", "1000-1005", false},
		{"net.ipv4.ip_local_reserved_ports", "\n", "", true},
		{"net.ipv4.ip_local_reserved_ports", "x\n", "x", true},
		{"net.core.somaxconn", "1000,1001", "1000-1001", false},
		{"fs.pipe-max-size", "1048576\n", "1000000", true}, // rounded up by the kernel
		{"fs.pipe-max-size", "1048576\n", "400000", false},
		{"fs.pipe-max-size", "1000000\n", "1048576", false},
		{"net.netfilter.nf_conntrack_buckets", "262144\n", "262000", true},
		{"net.core.somaxconn", "1048576\n", "1000000", false},
	} {
		if got := holds(Sysctl, c.name, &value{Text: raw(c.now)}, &value{Text: raw(c.wanted)}); got != c.same {
			t.Errorf("%s: %q holds %q: %v", c.name, c.now, c.wanted, got)
		}
	}
}

func TestRawSurvivesJSON(t *testing.T) {
	for _, c := range []struct{ text, written string }{
		{"32768\t60999\n", `"32768\t60999\n"`},
		{"", `""`},
		{"caf\xe9", `"base64:Y2Fm6Q=="`},
		{"base64:", `"base64:YmFzZTY0Og=="`},
	} {
		written, err := json.Marshal(raw(c.text))
		if err != nil || string(written) != c.written {
			t.Errorf("%q is written as %s, %v; want %s", c.text, written, err, c.written)
		}
		var back raw
		if err := json.Unmarshal(written, &back); err != nil || string(back) != c.text {
			t.Errorf("%q comes back as %q, %v", c.text, back, err)
		}
	}
}
