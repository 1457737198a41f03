package flow

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ip returns s as the kernel's accept would be stored: IPv4 mapped.
func ip(s string) [16]byte { return netip.MustParseAddr(s).As16() }

func TestIsIPv4Mapped(t *testing.T) {
	for s, want := range map[string]bool{
		"192.0.2.1": true, "::ffff:0.0.0.0": true, "::1": false, "::192.0.2.1": false,
		"2001:db8::ffff:c000:201": false, "1::ffff:192.0.2.1": false, "::": false,
	} {
		if got := IsIPv4Mapped(ip(s)); got != want {
			t.Errorf("IsIPv4Mapped(%s) = %v", s, got)
		}
	}
}

func TestPrefixMasksToOneClient(t *testing.T) {
	for _, c := range []struct {
		in           string
		bits4, bits6 int
		want         string
	}{
		{"192.0.2.201", 32, 64, "192.0.2.201"},
		{"192.0.2.201", 24, 64, "192.0.2.0"},
		{"192.0.2.201", 25, 64, "192.0.2.128"},
		{"192.0.2.201", 0, 0, "0.0.0.0"},
		{"192.0.2.201", 40, 64, "192.0.2.201"},
		{"2001:db8:1:2:3:4:5:6", 32, 64, "2001:db8:1:2::"},
		{"2001:db8:1:2:3:4:5:6", 32, 61, "2001:db8:1::"},
		{"2001:db8:1:2:3:4:5:6", 32, 128, "2001:db8:1:2:3:4:5:6"},
		{"2001:db8:1:2:3:4:5:6", 32, 0, "::"},
	} {
		got := Prefix(ip(c.in), c.bits4, c.bits6)
		if diff := cmp.Diff(ip(c.want), got); diff != "" {
			t.Errorf("Prefix(%s, %d, %d), want %s: %s", c.in, c.bits4, c.bits6, c.want, diff)
		}
	}
}
