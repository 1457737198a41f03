package backend

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/longsplice/longsplice/pkg/maglev"
	"github.com/longsplice/longsplice/pkg/ports"
)

// Algorithm is how a pool picks.
type Algorithm uint8

// Algorithms of the configuration.
const (
	Maglev Algorithm = iota
	LeastSessions
	RoundRobin
)

// HashKey is what of a connection is hashed.
type HashKey uint8

// Hash keys of the configuration.
const (
	HashTuple HashKey = iota
	HashClient
	HashClientPrefix
)

// Member is a backend as a pool's configuration has it.
type Member struct {
	*Backend
	Weight      int64 // 0: draining
	MaxSessions int64 // 0: no limit
	Backup      bool
	Ports       ports.Set // where its sessions come from; empty: the kernel chooses address and port
}

// PoolLive is what outlives snapshots of a pool.
type PoolLive struct {
	Sessions atomic.Int64 // of all members
	Panic    atomic.Bool  // health is ignored: too few are healthy

	ejecting   atomic.Bool // a worker is deciding about an ejection
	refreshing sync.Mutex  // one Refresh at a time, or one that saw less could write last
	_          [40]byte
}

// PoolOptions are a pool's settings.
type PoolOptions struct {
	Name           string
	Number         int
	Algorithm      Algorithm
	Hash           HashKey
	BalanceFactor  float64 // 0: off
	TableSize      int
	ConnectRetries int
	EjectAfter     int64 // connect failures in a row, 0: never
	EjectForMs     int64
	MaxEjected     float64 // share of the members
	PanicThreshold float64 // healthy share below which health is ignored; 0: only when none is healthy
	ResetUnhealthy bool
}

// Pool is a set of backends and what is needed to pick one.
type Pool struct {
	PoolOptions
	Members []Member
	Live    *PoolLive

	primary, backup tier
}

// tier is the members of one rank; backups are used when no primary is to be had.
type tier struct {
	members  []Member // by name
	table    *maglev.Table
	sequence []uint16     // round robin: members in weighted, interleaved order
	weight   int64        // of all members
	usable   atomic.Int64 // weight of those that take sessions, as Refresh last saw it
	factor   int64        // balance factor in 1/1024; 0: off
}

// NewPool builds a pool. The order of members does not matter for where sessions go.
func NewPool(o PoolOptions, members []Member, live *PoolLive) (*Pool, error) {
	p := &Pool{PoolOptions: o, Members: members, Live: live}
	for _, m := range members {
		t := &p.primary
		if m.Backup {
			t = &p.backup
		}
		t.members = append(t.members, m)
	}
	for _, t := range []*tier{&p.primary, &p.backup} {
		slices.SortFunc(t.members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
		if err := t.build(o); err != nil {
			return nil, fmt.Errorf("build pool %s: %w", o.Name, err)
		}
	}
	return p, nil
}

func (t *tier) build(o PoolOptions) (err error) {
	t.factor = int64(o.BalanceFactor * 1024)
	entries := make([]maglev.Entry, len(t.members))
	for i, m := range t.members {
		t.weight += m.Weight
		t.usable.Store(t.weight)
		entries[i] = maglev.Entry{Name: m.Name, Weight: int(m.Weight)}
	}
	switch {
	case len(t.members) == 0:
	case o.Algorithm == Maglev:
		t.table, err = maglev.Build(o.TableSize, entries)
	case o.Algorithm == RoundRobin:
		t.sequence = interleave(t.members)
	}
	return err
}

// interleave is smooth weighted round robin, written out for one cycle (weights divided by their greatest common
// divisor): every member comes up weight times, spread as evenly as can be. The algorithm is nginx's of 2012
// ("Upstream: smooth weighted round-robin balancing").
func interleave(members []Member) []uint16 {
	var divisor, total int64
	for _, m := range members {
		divisor = gcd(divisor, m.Weight)
	}
	if divisor == 0 {
		return nil
	}
	for _, m := range members {
		total += m.Weight / divisor
	}
	current := make([]int64, len(members))
	sequence := make([]uint16, 0, total)
	for range total {
		best := 0
		for i, m := range members {
			current[i] += m.Weight / divisor
			if current[i] > current[best] {
				best = i
			}
		}
		current[best] -= total
		sequence = append(sequence, uint16(best))
	}
	return sequence
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// Eject puts a backend aside if its failures reached the pool's limit and not too many are aside already.
// At least one backend of several may be ejected whatever the share says. Workers may call it at the same time: while
// one decides the others do nothing, and the next failure asks again.
func (p *Pool) Eject(b *Backend, failures, nowMs int64) bool {
	if p.EjectAfter == 0 || failures < p.EjectAfter || !p.Live.ejecting.CompareAndSwap(false, true) {
		return false
	}
	may := !b.Ejected(nowMs) && p.mayEject(nowMs)
	if may {
		b.eject(nowMs + p.EjectForMs)
	}
	p.Live.ejecting.Store(false)
	return may
}

// mayEject tells whether fewer are ejected than the share allows.
func (p *Pool) mayEject(nowMs int64) bool {
	ejected := 0
	for _, m := range p.Members {
		if m.Ejected(nowMs) {
			ejected++
		}
	}
	allowed := int(p.MaxEjected * float64(len(p.Members)))
	if allowed == 0 && p.MaxEjected > 0 && len(p.Members) > 1 {
		allowed = 1
	}
	return ejected < allowed
}

// Refresh recomputes what follows from the members' health: whether the pool is in panic, and the weight among which
// bounded load shares the sessions out. The control side calls it when health has changed or an ejection has ended,
// from any goroutine.
func (p *Pool) Refresh(nowMs int64) {
	p.Live.refreshing.Lock()
	defer p.Live.refreshing.Unlock()
	configured, healthy := 0, 0
	for _, t := range []*tier{&p.primary, &p.backup} {
		usable := int64(0)
		for _, m := range t.members {
			if m.Weight == 0 || m.Draining() {
				continue
			}
			configured++
			if m.Health() != Unhealthy {
				healthy++
				if !m.Ejected(nowMs) {
					usable += m.Weight
				}
			}
		}
		t.usable.Store(max(usable, 1))
	}
	p.Live.Panic.Store(configured > 0 && (healthy == 0 || float64(healthy) < p.PanicThreshold*float64(configured)))
}
