package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"syscall"

	"github.com/cilium/ebpf"
)

// Since is the first Linux that has what steer.c wants: mappable arrays came with 5.5, the clock for any licence with 5.8.
const Since = "5.8"

// MaxWorkers is how many workers steer.c looks at.
const MaxWorkers = 128

// Descriptors is how many are held open for each address, beside its sockets.
const Descriptors = 2

// Steering is the program in the kernel, once for each address, and what its instances share.
type Steering struct {
	spec  *ebpf.CollectionSpec
	cells *ebpf.Map
	memory
	steered *ebpf.Map

	mu     sync.Mutex // guards what follows
	groups []*group
	last   Counts // before Close
	closed bool
}

// group is the listeners of one address.
type group struct {
	fd      int // one of them: whatever is done to it is done to all
	program *ebpf.Program
	sockets *ebpf.Map
}

// Counts are decisions since the start: one for each connection, two where a SYN cookie was sent.
type Counts struct{ ByCPU, LeastLoaded, ByKernel uint64 }

// Load brings the program into the kernel, for that many workers. errors.Is(err, fs.ErrPermission): this process may not;
// it takes CAP_BPF.
func Load(workers int) (*Steering, error) {
	if workers > MaxWorkers {
		return nil, fmt.Errorf("steer %d workers: at most %d can be", workers, MaxWorkers)
	}
	spec, err := loadSteer()
	if err != nil {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	spec.Maps[steerMapCells].MaxEntries = uint32(workers)
	spec.Maps[steerMapSockets].MaxEntries = uint32(workers)
	if err := spec.Variables[steerVarWorkers].Set(uint32(workers)); err != nil {
		return nil, fmt.Errorf("set the number of workers: %w", err)
	}
	var objects steerObjects
	if err := spec.LoadAndAssign(&objects, nil); err != nil {
		return nil, explain(err)
	}
	objects.Steer.Close() // it was a trial: each address gets its own
	objects.Sockets.Close()
	s := &Steering{spec: spec, cells: objects.Cells, steered: objects.Steered}
	if s.memory, err = mapMemory(s.cells, workers); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// explain says what is missing where the kernel refuses without a reason.
func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("wants CAP_BPF (before Linux 5.11 also some RLIMIT_MEMLOCK): %w", syscall.EPERM)
	}
	return err
}

// Attach puts the program in front of the listeners of one address: fds[i] is worker i's. They must be all the address has,
// and listen already. Connections that wait in a queue stay there.
func (s *Steering) Attach(fds []int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var objects steerObjects
	shared := map[string]*ebpf.Map{steerMapCells: s.cells, steerMapSteered: s.steered}
	if err := s.spec.LoadAndAssign(&objects, &ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		return explain(err)
	}
	objects.Cells.Close() // copies of the shared ones
	objects.Steered.Close()
	g := &group{fd: fds[0], program: objects.Steer, sockets: objects.Sockets}
	err := g.fill(fds)
	if err == nil {
		err = setOption(g.fd, soAttachReuseportEBPF, g.program.FD())
	}
	if err != nil {
		g.close()
		return fmt.Errorf("attach the program: %w", err)
	}
	s.groups = append(s.groups, g)
	return nil
}

// fill comes before attaching: from then on each slot is used.
func (g *group) fill(fds []int) error {
	for i, fd := range fds {
		if err := g.sockets.Put(uint32(i), uint64(fd)); err != nil {
			return fmt.Errorf("put the listener of worker %d into the map: %w", i, err)
		}
	}
	return nil
}

// close also empties the map, since a socket can be in one such map at a time and the kernel frees maps later.
func (g *group) close() {
	for slot := range g.sockets.MaxEntries() {
		_ = g.sockets.Delete(slot)
	}
	g.program.Close()
	g.sockets.Close()
}

// Detach takes the program away from every address whose sockets are still open.
func (s *Steering) Detach() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.groups {
		_ = setOption(g.fd, soDetachReuseportBPF, 0)
		g.close()
	}
	s.groups = nil
}

// Counts sums up what every CPU has counted.
func (s *Steering) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.last = Counts{ByCPU: s.count(0), LeastLoaded: s.count(1), ByKernel: s.count(2)}
	}
	return s.last
}

func (s *Steering) count(way uint32) (sum uint64) {
	var perCPU []uint64
	if s.steered.Lookup(way, &perCPU) != nil {
		return 0
	}
	for _, n := range perCPU {
		sum += n
	}
	return sum
}

// Close gives back what this process holds; the kernel drops a program with the last of its listeners. No cell may be used
// any more.
func (s *Steering) Close() {
	s.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, g := range s.groups {
		g.close()
	}
	s.unmap()
	s.cells.Close()
	s.steered.Close()
}

// Options of sockets that package syscall lacks; the numbers are those of amd64 and arm64.
const (
	soAttachReuseportEBPF = 52
	soDetachReuseportBPF  = 68
)

func setOption(fd, name, value int) error {
	return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, name, value)
}
