package tuning

import (
	"strings"
	"testing"
)

func TestPlanNamesWhatWouldWinOverIt(t *testing.T) {
	const unit = "systemd/system/longsplice.service.d/"
	ports := "net.ipv4.ip_local_port_range"
	for _, c := range []struct {
		name, path, text string
		want             string // in a note; "": none
	}{
		{"a later file", "etc/sysctl.d/99-sysctl.conf", "# mine\n" + ports + " = 2000 3000\n", "/etc/sysctl.d/99-sysctl.conf:2 sets " + ports + " = 2000 3000"},
		{"a later file of a package", "usr/lib/sysctl.d/95-x.conf", "net/ipv4/ip_local_port_range=2000\t3000\n", "/usr/lib/sysctl.d/95-x.conf:1 sets"},
		{"the last of all", "etc/sysctl.conf", ports + " = 2000 3000\n", "/etc/sysctl.conf:1 sets"},
		{"an earlier file", "etc/sysctl.d/50-x.conf", ports + " = 2000 3000\n", ""},
		{"a later file that agrees", "etc/sysctl.d/99-sysctl.conf", ports + " = 10240 65535\n", ""},
		{"a later file of something else", "etc/sysctl.d/99-sysctl.conf", "net.ipv4.tcp_fin_timeout = 5\n", ""},
		{"a later drop-in", "etc/" + unit + "override.conf", "[Service]\nLimitNOFILE=1024\n", unit + "override.conf sets LimitNOFILE=1024 and wins"},
		{"a later drop-in of a package", "usr/lib/" + unit + "60-x.conf", "[Service]\nLimitNOFILE=1024\n", unit + "60-x.conf sets LimitNOFILE=1024 and wins"},
		{"an earlier drop-in", "etc/" + unit + "10-x.conf", "[Service]\nLimitNOFILE=1024\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTree(t)
			h.put(c.path, c.text, 0o644)
			notes := strings.Join(mustPlan(t, h.tuner(), needs(), true).Notes, "\n")
			if c.want != "" && !strings.Contains(notes, c.want) || c.want == "" && strings.Contains(notes, "wins") {
				t.Errorf("the notes are\n%s\nwant %q", notes, c.want)
			}
			if notes := strings.Join(mustPlan(t, h.tuner(), needs(), false).Notes, "\n"); strings.Contains(notes, "wins") {
				t.Errorf("without --persist nothing is read at boot, and the notes are\n%s", notes)
			}
		})
	}
}

func TestPlanSaysWhatIsLeftToDo(t *testing.T) {
	h := newTree(t)
	const boot, network, reload = "until the next boot; with --persist", "has to bring them back", "systemctl daemon-reload"
	for _, c := range []struct {
		name    string
		needs   []Need
		persist bool
		want    string
	}{
		{"sysctls", needs()[:1], false, boot},
		{"sysctls that are kept", needs()[:1], true, ""},
		{"addresses", needs()[5:6], true, network},
		{"a unit", needs()[7:], true, reload},
		{"a unit that is left out", needs()[7:], false, ""},
		{"nothing", nil, true, ""},
	} {
		notes := strings.Join(mustPlan(t, h.tuner(), c.needs, c.persist).Notes, "\n")
		for _, note := range []string{boot, network, reload} {
			if strings.Contains(notes, note) != (note == c.want) {
				t.Errorf("%s: the notes are %q, want %q", c.name, notes, c.want)
			}
		}
	}
}
