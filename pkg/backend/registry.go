package backend

import (
	"sync"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Identity is what makes a backend the same one over snapshots, and where it is.
type Identity struct {
	Pool, Name, Address string
	To                  sys.Sockaddr
	Addr                sys.Addr
	PoolNumber          int
	MaySelfConnect      bool
	Live                *PoolLive
}

// Registry gives out numbers and keeps backends alive over snapshots. It is used by the control side only.
type Registry struct {
	mu    sync.Mutex
	all   []*Backend // by number; nil: free
	byKey map[key]*Backend
}

type key struct{ pool, name, address string }

// NewRegistry makes an empty registry.
func NewRegistry() *Registry { return &Registry{byKey: map[key]*Backend{}} }

// Get returns the backend of that pool, name and address; it makes one, of unknown health, if there is none.
func (r *Registry) Get(i Identity) *Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := key{i.Pool, i.Name, i.Address}
	if b := r.byKey[k]; b != nil {
		return b
	}
	b := &Backend{
		Pool: i.Pool, Name: i.Name, Address: i.Address, To: i.To, Addr: i.Addr, Number: r.number(),
		PoolNumber: i.PoolNumber, MaySelfConnect: i.MaySelfConnect, pool: i.Live,
	}
	r.all[b.Number] = b
	r.byKey[k] = b
	return b
}

func (r *Registry) number() Number {
	for i, b := range r.all {
		if b == nil {
			return Number(i)
		}
	}
	r.all = append(r.all, nil)
	return Number(len(r.all) - 1)
}

// Free gives a number back. The caller has made sure that no session, no counter row that is still shown and no
// worker's snapshot refers to it.
func (r *Registry) Free(b *Backend) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byKey, key{b.Pool, b.Name, b.Address})
	r.all[b.Number] = nil
}

// All returns the backends by number; free numbers are nil.
func (r *Registry) All() []*Backend {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*Backend(nil), r.all...)
}
