package tuning

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
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
		{"a later drop-in that agrees", "etc/" + unit + "override.conf", "[Service]\nLimitNOFILE=2097152\n", ""},
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

func TestPlanOfWhoMayNotReadTheState(t *testing.T) {
	h := newTree(t)
	h.put("var/lib/longsplice/tune.json", "{}", 0o666) // refused as one that is another's
	mustPlan(t, h.tuner(), needs(), false)
	if _, err := h.tuner().Plan(needs(), true); err == nil {
		t.Error("--persist does without what was applied before")
	}
}

func TestPlanLeavesOutWhatTheNamespaceShowsOnly(t *testing.T) {
	h := newTree(t)
	name := "net.netfilter.nf_conntrack_max"
	if err := os.Chmod(h.path(h.sysctl(name)), 0o444); err != nil {
		t.Fatal(err)
	}
	p := mustPlan(t, h.tuner(), needs(), true)
	for _, c := range p.Changes {
		if c.Name == name || c.Kind == File && strings.Contains(c.Text, name) {
			t.Errorf("planned: %+v", c)
		}
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, name+" stays as it is") {
		t.Errorf("the notes are %q", notes)
	}
}

func TestFilesThatAreNotOursToReplace(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"a link":   func(path string) error { return os.Symlink("/dev/null", path) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o755) },
	} {
		h := newTree(t)
		if err := put(h.path("etc/" + sysctlFile)); err != nil {
			t.Fatal(err)
		}
		was := h.dump()
		if _, err := h.tuner().Plan(needs(), true); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: plan says %v", name, err)
		}
		h.expectDump(was)
	}
}

func TestModesAreNotTheUmasks(t *testing.T) {
	for _, mask := range []int{0o077, 0} {
		h := newTree(t)
		before := syscall.Umask(mask)
		h.apply(needs(), true)
		syscall.Umask(before)
		for path, want := range map[string]fs.FileMode{
			"etc/" + sysctlFile:            0o644,
			"etc/modules-load.d":           0o755,
			"etc/systemd":                  0o755,
			"var/lib/longsplice":           0o755,
			"var/lib/longsplice/tune.json": 0o600,
		} {
			if info, err := os.Stat(h.path(path)); err != nil || info.Mode().Perm() != want {
				t.Errorf("umask %03o: %s is %v, %v; want %v", mask, path, info.Mode(), err, want)
			}
		}
	}
}
