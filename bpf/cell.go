package bpf

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/cilium/ebpf"
)

// Cell is what steer.c knows of one worker: struct cell there, which says what each field means.
type Cell struct {
	given, since atomic.Uint64
	_            [48]byte
	seen, held   atomic.Uint64
	id           uint64
	_            [40]byte
}

// Tell is called by the worker after each of its turns, with the sessions that it holds: memory alone, no system call.
func (c *Cell) Tell(sessions int) {
	given := c.given.Load()
	c.held.Store(uint64(sessions))
	c.seen.Store(given)
}

// memory is the cells, as both sides see them.
type memory struct {
	raw  []byte
	rows []Cell
}

func mapMemory(m *ebpf.Map, workers int) (memory, error) {
	size := int(unsafe.Sizeof(Cell{}))
	if int(m.ValueSize()) != size {
		return memory{}, fmt.Errorf("map the cells: one has %d bytes in C and %d in Go", m.ValueSize(), size)
	}
	raw, err := syscall.Mmap(m.FD(), 0, workers*size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return memory{}, fmt.Errorf("map the cells: %w", err)
	}
	rows := unsafe.Slice((*Cell)(unsafe.Pointer(&raw[0])), workers)
	for i := range rows {
		rows[i].id = uint64(i)
	}
	return memory{raw, rows}, nil
}

// Cell is worker's own; it is gone after Close.
func (m memory) Cell(worker int) *Cell { return &m.rows[worker] }

func (m *memory) unmap() {
	if m.raw != nil {
		_ = syscall.Munmap(m.raw)
		m.raw, m.rows = nil, nil
	}
}
