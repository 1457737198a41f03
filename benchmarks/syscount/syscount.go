// Package syscount counts the system calls of processes by a BPF program on the raw tracepoint sys_enter. It needs
// neither tracefs nor hardware counters, but CAP_BPF and CAP_PERFMON (or root) and Linux 5.7.
//
// While it counts, every system call of the machine runs the program (about 0.1 us, more for those that are counted),
// so it is to be asked for, and not for runs whose times matter. Functions may be called from any goroutine; a Counter
// belongs to one.
package syscount

import (
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

const (
	numbers  = 512  // call numbers told apart; larger ones count as the last
	maxCount = 4096 // processes
)

// Counts is how many system calls were entered.
type Counts struct {
	Total uint64            `json:"total"`
	Calls map[string]uint64 `json:"calls"` // by name; "syscall 449" where the name is not known here
}

// Counter counts from Start to Stop.
type Counter struct {
	counts *ebpf.Map
	link   link.Link
}

// Start counts the calls of these processes with all their threads; a process that they start later is not counted. The
// error says what is missing, such as the privilege.
func Start(pids []int) (*Counter, error) {
	watched, err := watch(pids)
	if err != nil {
		return nil, err
	}
	defer watched.Close() // the program holds it
	counts, err := ebpf.NewMap(&ebpf.MapSpec{Name: "counts", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: numbers})
	if err != nil {
		return nil, fmt.Errorf("count system calls: %w", err)
	}
	c := &Counter{counts: counts}
	if c.link, err = attach(watched, counts); err != nil {
		counts.Close()
		return nil, fmt.Errorf("count system calls: %w", err)
	}
	return c, nil
}

// watch makes the set of process numbers, as this process's pid namespace has them.
func watch(pids []int) (*ebpf.Map, error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Name: "watched", Type: ebpf.Hash, KeySize: 4, ValueSize: 1, MaxEntries: maxCount})
	if err != nil {
		return nil, fmt.Errorf("count system calls: %w", err)
	}
	for _, pid := range pids {
		if err := m.Put(uint32(pid), uint8(1)); err != nil {
			m.Close()
			return nil, fmt.Errorf("count system calls of %d: %w", pid, err)
		}
	}
	return m, nil
}

func attach(watched, counts *ebpf.Map) (link.Link, error) {
	dev, ino, err := pidNamespace()
	if err != nil {
		return nil, err
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "syscount", Type: ebpf.RawTracepoint, License: "GPL", Instructions: program(watched.FD(), counts.FD(), dev, ino),
	})
	if err != nil {
		return nil, err
	}
	defer prog.Close() // the link holds it
	return link.AttachRawTracepoint(link.RawTracepointOptions{Name: "sys_enter", Program: prog})
}

// pidNamespace names this process's pid namespace as bpf_get_ns_current_pid_tgid wants it: the kernel's own encoding of
// the device number, 20 bits of minor, which is not the one of stat(2).
func pidNamespace() (dev, ino int64, err error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0, 0, &os.PathError{Op: "stat", Path: "/proc/self/ns/pid", Err: err}
	}
	return int64(unix.Major(st.Dev))<<20 | int64(unix.Minor(st.Dev)), int64(st.Ino), nil
}

// Read returns the counts so far.
func (c *Counter) Read() (*Counts, error) {
	sum := &Counts{Calls: map[string]uint64{}}
	for nr := range uint32(numbers) {
		var n uint64
		if err := c.counts.Lookup(nr, &n); err != nil {
			return nil, fmt.Errorf("read counts of system calls: %w", err)
		}
		if n > 0 {
			sum.Total += n
			sum.Calls[name(int(nr))] += n
		}
	}
	return sum, nil
}

// Stop ends the counting. A Counter that was stopped is of no further use.
func (c *Counter) Stop() error {
	defer c.counts.Close()
	if err := c.link.Close(); err != nil {
		return fmt.Errorf("stop counting system calls: %w", err)
	}
	return nil
}
