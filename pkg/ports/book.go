package ports

import (
	"net/netip"
	"sync"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Book keeps pairs over snapshots: pools that reach one backend address from one source share its pair, and a session that
// outlives the configuration it began with still has a pair to give its port back to. The control side alone uses it.
type Book struct {
	mu     sync.Mutex
	all    []*Pair // by number; nil: free
	byKey  map[key]*Pair
	kernel Range
}

type key struct {
	source  netip.Addr
	backend sys.Addr
	own     Range
}

// NewBook makes an empty book.
func NewBook() *Book { return &Book{all: make([]*Pair, 1), byKey: map[key]*Pair{}} }

// Pair returns the pair of a source and a backend's address, and makes it if there is none.
func (b *Book) Pair(source netip.Addr, backend sys.Addr, own Range) *Pair {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := key{source, backend, own}
	if p := b.byKey[k]; p != nil {
		return p
	}
	p := NewPair(own)
	p.Number, p.Source, p.From = b.number(), source, sys.SockaddrInet(netip.AddrPortFrom(source, 0))
	b.all[p.Number] = p
	b.byKey[k] = p
	p.setKernel(b.kernel)
	return p
}

// SetKernel says what the kernel chooses ports from (net.ipv4.ip_local_port_range); it may change at any time.
func (b *Book) SetKernel(r Range) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kernel = r
	for _, p := range b.byKey {
		p.setKernel(r)
	}
}

func (p *Pair) setKernel(r Range) {
	if !p.Own() {
		p.kernel.Store(uint32(r.First)<<16 | uint32(r.Last))
	}
}

func (b *Book) number() Number {
	for i, p := range b.all[1:] {
		if p == nil {
			return Number(i + 1)
		}
	}
	b.all = append(b.all, nil)
	return Number(len(b.all) - 1)
}

// All returns the pairs by number; free numbers are nil, and so is number 0.
func (b *Book) All() []*Pair {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*Pair(nil), b.all...)
}

// Keep forgets the pairs that no session holds a port of, but for those in use: the ones that a worker may still take ports
// from.
func (b *Book) Keep(inUse map[*Pair]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, p := range b.byKey {
		if !inUse[p] && p.Used() == 0 {
			delete(b.byKey, k)
			b.all[p.Number] = nil
		}
	}
}
