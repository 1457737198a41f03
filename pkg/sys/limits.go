package sys

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// RaiseNoFile raises the soft RLIMIT_NOFILE to the hard limit, fs.nr_open or want, whichever is least, and returns
// both limits as they are then. It goes through syscall.Setrlimit, so that the Go runtime does not give children the
// old limit back.
func RaiseNoFile(want uint64) (soft, hard uint64, err error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, 0, fmt.Errorf("getrlimit RLIMIT_NOFILE: %w", err)
	}
	most := min(r.Max, uint64(ReadInt("/proc/sys/fs/nr_open", 1<<20)))
	if target := max(r.Cur, min(most, want)); target > r.Cur {
		r.Cur = target
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
			return r.Cur, r.Max, fmt.Errorf("setrlimit RLIMIT_NOFILE %d: %w", target, err)
		}
	}
	return r.Cur, r.Max, nil
}

// GrowFDTable makes the kernel allocate the process's descriptor table for n descriptors now. Each later doubling
// would stop a thread of a multi-threaded process for 8 to 22 ms.
func GrowFDTable(n uint64) error {
	if n < 2 {
		return nil
	}
	fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, int(n-1))
	if errors.Is(err, unix.EBADF) { // no standard input
		var null int
		if null, err = unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
		defer unix.Close(null)
		fd, err = unix.FcntlInt(uintptr(null), unix.F_DUPFD_CLOEXEC, int(n-1))
	}
	if err != nil {
		return fmt.Errorf("grow descriptor table to %d: %w", n, err)
	}
	return unix.Close(fd)
}

// OpenFDs is how many descriptors the process has open; -1 if the kernel (before 6.2) does not tell without a walk.
func OpenFDs() int64 {
	var st unix.Stat_t
	if unix.Stat("/proc/self/fd", &st) != nil || st.Size == 0 {
		return -1
	}
	return st.Size
}

// UsableCPUs is how many CPUs the process may use: its affinity, and less if the cgroup's cpu.max allows less (rounded
// up). whole tells whether that is every CPU there is.
func UsableCPUs() (n int, whole bool) {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return 1, false
	}
	n = set.Count()
	whole = n == onlineCPUs(n)
	if quota := cgroupCPUs(); quota > 0 && quota < n {
		return quota, false
	}
	return n, whole
}

// onlineCPUs counts /sys/devices/system/cpu/online; fallback if it cannot be read.
func onlineCPUs(fallback int) int {
	data, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return fallback
	}
	return countCPUs(string(data), fallback)
}

// countCPUs counts a list such as "0-3,6"; fallback if it is none.
func countCPUs(list string, fallback int) int {
	n := 0
	for _, part := range strings.Split(strings.TrimSpace(list), ",") {
		from, to, found := strings.Cut(part, "-")
		if !found {
			to = from
		}
		a, errA := strconv.ParseUint(from, 10, 16)
		b, errB := strconv.ParseUint(to, 10, 16)
		if errA != nil || errB != nil || b < a {
			return fallback
		}
		n += int(b - a + 1)
	}
	return n
}

// cgroupCPUs is cpu.max of our cgroup (version 2) in whole CPUs; 0: no quota.
func cgroupCPUs() int {
	data, err := os.ReadFile("/sys/fs/cgroup" + cgroupPath() + "/cpu.max")
	if err != nil {
		return 0
	}
	return wholeCPUs(string(data))
}

// wholeCPUs reads cpu.max: microseconds of CPU time, "max" for no quota, and of time.
func wholeCPUs(cpuMax string) int {
	var quota, period uint32
	if n, _ := fmt.Sscanf(cpuMax, "%d %d", &quota, &period); n != 2 || period == 0 {
		return 0
	}
	return int(max((uint64(quota)+uint64(period)-1)/uint64(period), 1))
}

func cgroupPath() string {
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return ""
	}
	return unifiedPath(string(data))
}

// unifiedPath finds the cgroup of version 2 among the lines of /proc/self/cgroup; "" for the root.
func unifiedPath(cgroups string) string {
	for _, line := range strings.Split(cgroups, "\n") {
		if path, ok := strings.CutPrefix(line, "0::"); ok && path != "/" {
			return path
		}
	}
	return ""
}

// PinThread binds the calling thread to one CPU.
func PinThread(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	return unix.SchedSetaffinity(0, &set)
}

// MemoryTotal is the memory the process may use: the host's, or less by the cgroup's memory.max.
func MemoryTotal() int64 {
	total := int64(0)
	var si unix.Sysinfo_t
	if unix.Sysinfo(&si) == nil {
		total = int64(si.Totalram) * int64(si.Unit)
	}
	if limit := ReadInt("/sys/fs/cgroup"+cgroupPath()+"/memory.max", 0); limit > 0 {
		total = min(total, limit)
	}
	return total
}

// PipeLimit is how many pipes of pipeBytes the user may have before the kernel hands out useless ones; -1 if it does
// not care (CAP_SYS_RESOURCE, CAP_SYS_ADMIN, or fs.pipe-user-pages-soft = 0).
func PipeLimit(pipeBytes int64) int64 {
	soft := ReadInt("/proc/sys/fs/pipe-user-pages-soft", 0)
	if soft == 0 || hasCapability(unix.CAP_SYS_RESOURCE) || hasCapability(unix.CAP_SYS_ADMIN) {
		return -1
	}
	return max(soft*4096/pipeBytes-2, 0)
}

func hasCapability(c int) bool {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&hdr, &data[0]) != nil {
		return false
	}
	return data[c/32].Effective&(1<<(c%32)) != 0
}

// EphemeralPorts is net.ipv4.ip_local_port_range: where the kernel takes local ports from.
func EphemeralPorts() (from, to uint16) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return 32768, 60999
	}
	return portRange(string(data))
}

// KernelPorts is how many local ports the kernel gives out by itself between two addresses: net.ipv4.ip_local_port_range
// without net.ipv4.ip_local_reserved_ports.
func KernelPorts() int64 {
	from, to := EphemeralPorts()
	reserved, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_reserved_ports")
	if err != nil {
		reserved = nil
	}
	return int64(to-from) + 1 - reservedWithin(string(reserved), from, to)
}

// reservedWithin counts the ports of a list such as "8080,9000-9010" that lie in a range.
func reservedWithin(list string, from, to uint16) (n int64) {
	for _, part := range strings.Split(strings.TrimSpace(list), ",") {
		first, last, found := strings.Cut(part, "-")
		if !found {
			last = first
		}
		a, errA := strconv.ParseUint(first, 10, 16)
		b, errB := strconv.ParseUint(last, 10, 16)
		if low, high := max(a, uint64(from)), min(b, uint64(to)); errA == nil && errB == nil && low <= high {
			n += int64(high-low) + 1
		}
	}
	return n
}

// portRange reads ip_local_port_range; the kernel's default if it cannot be made sense of.
func portRange(text string) (from, to uint16) {
	if n, _ := fmt.Sscanf(text, "%d %d", &from, &to); n != 2 || from == 0 || to < from {
		return 32768, 60999
	}
	return from, to
}

// ReadInt reads the first number of a file of /proc or /sys; fallback where there is none.
func ReadInt(path string, fallback int64) int64 {
	data, err := os.ReadFile(path)
	if err != nil {
		return fallback
	}
	return firstInt(string(data), fallback)
}

func firstInt(text string, fallback int64) int64 {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return fallback
	}
	n, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return fallback
	}
	return n
}

// Release is the kernel's version, as uname prints it.
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// LockFile takes an exclusive lock on a file, made if need be, and writes our process id into it. If another process
// has it, the error is EWOULDBLOCK and owner its process id (0 if unknown). The lock lasts until fd is closed.
func LockFile(path string) (fd, owner int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return -1, 0, fmt.Errorf("open %s: %w", path, err)
	}
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		unix.Close(fd)
		return -1, int(ReadInt(path, 0)), fmt.Errorf("lock %s: %w", path, err)
	}
	if err := unix.Ftruncate(fd, 0); err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("truncate %s: %w", path, err)
	}
	if _, err := unix.Pwrite(fd, []byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("write %s: %w", path, err)
	}
	return fd, 0, nil
}
