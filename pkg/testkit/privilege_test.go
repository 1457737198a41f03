package testkit

import (
	"os"
	"strings"
	"testing"
)

func TestMissingSkipsOrFails(t *testing.T) {
	cases := []struct {
		name, require string
		wantFatal     bool
	}{
		{"skip when nobody requires it", "", false},
		{"fail when CI requires it", "1", true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(requirePrivileged, c.require)
			f := &fakeTB{}
			f.run(func(tb testing.TB) { NeedProgram(tb, "no-such-program-here") })
			message := f.skipped
			if c.wantFatal {
				message = f.fatal
			}
			if !strings.Contains(message, "no-such-program-here") {
				t.Errorf("skipped %q, failed %q: want the program's name", f.skipped, f.fatal)
			}
		})
	}
}

func TestNeedProgramReturnsItsPath(t *testing.T) {
	f := &fakeTB{}
	var path string
	f.run(func(tb testing.TB) { path = NeedProgram(tb, "sh") })
	if !strings.HasSuffix(path, "/sh") || f.skipped+f.fatal != "" {
		t.Errorf("path %q, skipped %q, failed %q", path, f.skipped, f.fatal)
	}
}

func TestPrivilegedFollowsThisProcess(t *testing.T) {
	t.Setenv(requirePrivileged, "")
	for what, held := range map[string]bool{
		"root":                       os.Geteuid() == 0,
		"CAP_NET_ADMIN: test hosts":  hasCapability(capabilities["CAP_NET_ADMIN"]),
		"CAP_SYS_RESOURCE: big pipe": hasCapability(capabilities["CAP_SYS_RESOURCE"]),
	} {
		f := &fakeTB{}
		f.run(func(tb testing.TB) { Privileged(tb, what) })
		if skipped := f.skipped != ""; skipped == held {
			t.Errorf("%s: skipped %t, held %t", what, skipped, held)
		}
	}
}
