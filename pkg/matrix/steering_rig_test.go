package matrix

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// What follows reaches into the running program from outside: its listeners, and the program that steers between them.

// fdsNamed is the program's descriptors whose link in /proc begins with name ("socket:", "anon_inode:bpf-map"), by number.
func (p *program) fdsNamed(name string) (found []int) {
	p.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.pid())
	for fd := range 1024 { // listeners and maps are opened at the start
		if link, err := os.Readlink(filepath.Join(dir, strconv.Itoa(fd))); err == nil && strings.HasPrefix(link, name) {
			found = append(found, fd)
		}
	}
	return found
}

// fdInfo is the program's /proc/PID/fdinfo/FD.
func (p *program) fdInfo(fd int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", p.pid(), fd))
	return string(text)
}

// borrow makes one of the program's descriptors our own too, until the end of the test.
func (p *program) borrow(fd int) int {
	p.t.Helper()
	own, err := p.tryBorrow(fd)
	if err != nil {
		p.t.Fatal(err)
	}
	return own
}

// tryBorrow is borrow for a descriptor that may be gone.
func (p *program) tryBorrow(fd int) (own int, err error) {
	p.t.Helper()
	testkit.Privileged(p.t, "root: descriptors of another process")
	pidfd, err := unix.PidfdOpen(p.pid(), 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(pidfd)
	if own, err = unix.PidfdGetfd(pidfd, fd, 0); err == nil {
		p.t.Cleanup(func() { unix.Close(own) })
	}
	return own, err
}

// listenerFDs is the descriptors of the program's TCP listeners, as it numbers them: in the order of workers.
func (p *program) listenerFDs() (found []int) {
	p.t.Helper()
	for _, fd := range p.fdsNamed("socket:") {
		own, err := p.tryBorrow(fd)
		if err != nil {
			continue // of a health check, or of a question to the admin socket
		}
		listens, _ := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		domain, _ := unix.GetsockoptInt(own, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if listens == 1 && domain == unix.AF_INET {
			found = append(found, fd)
		}
	}
	return found
}

// steerer is the steering of the program's only address, in our hands.
type steerer struct {
	t        testing.TB
	listener int // one of the group
	program  int
	sockets  int // the map of listeners by worker
}

func (p *program) steerer() *steerer {
	p.t.Helper()
	s := &steerer{t: p.t, sockets: -1}
	programs := p.fdsNamed("anon_inode:bpf-prog")
	if len(programs) != 1 {
		p.t.Fatalf("the program holds %d BPF programs, want 1", len(programs))
	}
	s.program = p.borrow(programs[0])
	s.listener = p.borrow(p.listenerFDs()[0])
	for _, fd := range p.fdsNamed("anon_inode:bpf-map") {
		if strings.Contains(p.fdInfo(fd), fmt.Sprintf("map_type:\t%d\n", unix.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY)) {
			s.sockets = p.borrow(fd)
		}
	}
	return s
}

func (s *steerer) attach() {
	s.must(unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_EBPF, s.program))
}

func (s *steerer) detach() {
	s.must(unix.SetsockoptInt(s.listener, unix.SOL_SOCKET, unix.SO_DETACH_REUSEPORT_BPF, 0))
}

// empty takes a worker's listener out of the map.
func (s *steerer) empty(worker uint32) {
	arg := struct {
		mapFD uint32
		_     uint32
		key   *uint32
		_     [2]uint64
	}{mapFD: uint32(s.sockets), key: &worker}
	_, _, e := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_DELETE_ELEM, uintptr(unsafe.Pointer(&arg)), unsafe.Sizeof(arg))
	if e != 0 {
		s.must(e)
	}
}

func (s *steerer) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
