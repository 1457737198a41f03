package report

import (
	"cmp"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// sysctls that move the figures: buffers, congestion control, ports and queues.
var sysctls = []string{
	"net.core.rmem_max", "net.core.somaxconn", "net.core.wmem_max", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_congestion_control",
	"net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_wmem",
}

// ThisMachine describes the machine that the program runs on; what cannot be read is left empty.
func ThisMachine() Machine {
	m := Machine{CPU: cpuModel(), CPUs: runtime.NumCPU(), Sysctls: map[string]string{}}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Machine[:])
	}
	var s unix.Sysinfo_t
	if unix.Sysinfo(&s) == nil {
		m.MemoryBytes = uint64(s.Totalram) * uint64(s.Unit) //nolint:unconvert // 32 bits on some architectures
	}
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) == nil {
		m.OpenFiles = l.Max
	}
	for _, name := range sysctls {
		if text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/")); err == nil {
			m.Sysctls[name] = strings.Join(strings.Fields(string(text)), " ")
		}
	}
	if text, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled"); err == nil {
		m.Sysctls["transparent_hugepage"] = strings.TrimSpace(string(text))
	}
	return m
}

// cpuModel is the first "model name" of /proc/cpuinfo; arm64 has none, there it is the architecture.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return cmp.Or(runtime.GOARCH, "unknown")
}
