package scale

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// errNoGroup says that the kernel's memory cannot be told by process here.
var errNoGroup = errors.New("no memory cgroup")

// group is a memory cgroup below our own, for the balancers alone: the kernel charges it for their sockets, files and
// tables of descriptors, whatever else the machine does. An accepted socket is charged since Linux 6.12 (it is made while
// a packet is handled, for nobody, and was never charged before); on older kernels there is no group.
type group struct {
	dir  string
	read func(dir string) (int64, error)
}

func newGroup() (*group, error) {
	if !since(6, 12) {
		return nil, fmt.Errorf("%w: accepted sockets are charged since Linux 6.12", errNoGroup)
	}
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoGroup, err)
	}
	parent, read := ownGroup(string(text))
	g := &group{dir: filepath.Join(parent, fmt.Sprintf("longsplice-scale-%d", os.Getpid())), read: read}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoGroup, err)
	}
	// In version 1 accepted sockets are charged only where TCP's memory is limited; this limit is none.
	_ = os.WriteFile(filepath.Join(g.dir, "memory.kmem.tcp.limit_in_bytes"), []byte(strconv.Itoa(1<<60)), 0)
	if _, err := g.bytes(); err != nil { // version 2, and the controller is not ours to hand on
		g.remove()
		return nil, fmt.Errorf("%w: %w", errNoGroup, err)
	}
	return g, nil
}

// ownGroup finds our memory cgroup in the text of /proc/self/cgroup: version 1 names the controller, version 2 has one
// tree for all (cgroups(7)).
func ownGroup(text string) (dir string, read func(string) (int64, error)) {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && f[1] == "memory" {
			return filepath.Join("/sys/fs/cgroup/memory", f[2]), readVersion1
		}
		if len(f) == 3 && f[0] == "0" {
			dir, read = filepath.Join("/sys/fs/cgroup", f[2]), readVersion2
		}
	}
	return dir, read
}

func readVersion1(dir string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "memory.kmem.usage_in_bytes"))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

func readVersion2(dir string) (int64, error) {
	text, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if n, ok := strings.CutPrefix(line, "kernel "); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s/memory.stat has no line about the kernel", dir)
}

// bytes is the kernel's memory that the group's processes are charged for.
func (g *group) bytes() (int64, error) { return g.read(g.dir) }

// add moves a process into the group; what it has already stays where it was charged.
func (g *group) add(pid int) error {
	if err := os.WriteFile(filepath.Join(g.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
		return fmt.Errorf("move process %d to its cgroup: %w", pid, err)
	}
	return nil
}

// remove takes the group down; its processes have ended, but may linger in it for a moment.
func (g *group) remove() {
	for range 100 {
		if err := os.Remove(g.dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// since says whether the kernel is of that version or newer.
func since(major, minor int) bool {
	var name unix.Utsname
	if unix.Uname(&name) != nil {
		return false
	}
	var a, b int
	_, err := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &a, &b)
	return err == nil && (a > major || a == major && b >= minor)
}
