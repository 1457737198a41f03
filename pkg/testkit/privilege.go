package testkit

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// requirePrivileged is set in CI: a test that would skip for want of a privilege or a program fails there.
const requirePrivileged = "LONGSPLICE_REQUIRE_PRIVILEGED"

var capabilities = map[string]uint{
	"CAP_NET_ADMIN":    unix.CAP_NET_ADMIN,
	"CAP_NET_RAW":      unix.CAP_NET_RAW,
	"CAP_SYS_ADMIN":    unix.CAP_SYS_ADMIN,
	"CAP_SYS_RESOURCE": unix.CAP_SYS_RESOURCE,
	"CAP_BPF":          unix.CAP_BPF,
}

// Privileged lets t go on if this process has what. That is "root", or one of the capabilities above followed by what it
// is wanted for ("CAP_NET_ADMIN: network namespaces"). Otherwise t skips, or fails under LONGSPLICE_REQUIRE_PRIVILEGED=1.
func Privileged(t testing.TB, what string) {
	t.Helper()
	name, _, _ := strings.Cut(what, ":")
	held := os.Geteuid() == 0
	if bit, known := capabilities[name]; known {
		held = hasCapability(bit)
	}
	if !held {
		Missing(t, "privilege "+what)
	}
}

// NeedProgram returns the path of an installed program, looked for also where Debian puts daemons. Without it t skips, or
// fails under LONGSPLICE_REQUIRE_PRIVILEGED=1.
func NeedProgram(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	Missing(t, "program "+name)
	return ""
}

// Missing ends t: a skip that names what this machine lacks, or a failure under LONGSPLICE_REQUIRE_PRIVILEGED=1.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv(requirePrivileged) == "1" {
		t.Fatalf("missing %s, and %s=1", what, requirePrivileged)
	}
	t.Skipf("missing %s", what)
}

// hasCapability reads the effective set of the calling thread.
func hasCapability(bit uint) bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[bit/32].Effective&(1<<(bit%32)) != 0
}
