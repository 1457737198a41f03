package proc

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// FDs counts the open file descriptors of all pids together, and those of them that are ends of pipes. A descriptor that
// is closed while the list is read may be counted or not.
func FDs(pids []int) (all, pipes int, err error) {
	for _, pid := range pids {
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		entries, err := os.ReadDir(dir)
		if err != nil {
			return 0, 0, fmt.Errorf("list descriptors of process %d: %w", pid, err)
		}
		all += len(entries)
		for _, e := range entries {
			if to, err := os.Readlink(dir + "/" + e.Name()); err == nil && strings.HasPrefix(to, "pipe:") {
				pipes++
			}
		}
	}
	return all, pipes, nil
}

// Kernel is memory of the whole machine that grows with the sockets it has, whoever opened them.
type Kernel struct {
	Slab    int64 // bytes in slab caches: socket structures, files, dentries, and everything else (proc(5): Slab)
	TCP     int64 // bytes in TCP's buffers, in and out
	Sockets int   // TCP sockets in this network namespace, in any state with a full socket; TIME_WAIT is not one
}

// ReadKernel takes the figures from /proc/meminfo and /proc/net/sockstat.
func ReadKernel() (Kernel, error) {
	memory, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return Kernel{}, fmt.Errorf("read kernel memory: %w", err)
	}
	sockets, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return Kernel{}, fmt.Errorf("read socket counts: %w", err)
	}
	return ParseKernel(string(memory), string(sockets))
}

// ParseKernel is ReadKernel over the text of the two files.
func ParseKernel(meminfo, sockstat string) (k Kernel, err error) {
	slab, err1 := field(meminfo, "Slab:", "")
	alloc, err2 := field(sockstat, "TCP:", "alloc")
	pages, err3 := field(sockstat, "TCP:", "mem")
	if err := errors.Join(err1, err2, err3); err != nil {
		return Kernel{}, err
	}
	return Kernel{Slab: slab << 10, TCP: pages * int64(os.Getpagesize()), Sockets: int(alloc)}, nil
}

// field finds the number behind the name in the line that begins with start; no name: behind start itself.
func field(text, start, name string) (int64, error) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != start {
			continue
		}
		for i := range f[1:] {
			if name == "" || f[i] == name {
				return strconv.ParseInt(f[i+1], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no %s %s in what the kernel says", start, name)
}
