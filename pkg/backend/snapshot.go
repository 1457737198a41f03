package backend

import (
	"sync/atomic"

	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Snapshot is one generation of the configuration as workers use it.
type Snapshot struct {
	Generation uint64
	Frontends  []*Frontend   // by number; nil: unused
	Backends   []*Backend    // by number; nil: unused. Backends that only live sessions refer to are here too
	Pools      []*Pool       // by number
	Pairs      []*ports.Pair // by number; nil: unused. Pairs that only live sessions refer to are here too
	Hasher     flow.Hasher
}

// Timeouts of a frontend, in ms; 0 means no limit.
type Timeouts struct {
	Connect, Idle, HalfClose, FirstByte, Stall int64
}

// SocketOptions are set on sockets towards backends, lazily. Times in seconds but UserTimeoutMs; 0 means not set.
type SocketOptions struct {
	KeepaliveIdle, KeepaliveInterval, KeepaliveProbes int
	UserTimeoutMs                                     int
	NotSentLowat                                      int // bytes
}

// Frontend is one entry for clients.
type Frontend struct {
	Number  Number
	Name    string
	Pool    *Pool
	Removed bool // no longer configured; live sessions remain

	MaxSessions          int64 // 0: no limit
	MaxSessionsPerClient uint32
	Prefix4, Prefix6     int // leading bits that make one client
	RefuseWhenFull       bool
	Allow, Deny          flow.Networks
	Timeouts             Timeouts
	Options              SocketOptions

	Live *FrontendLive
}

// FrontendLive is what outlives snapshots of a frontend.
type FrontendLive struct {
	Active  atomic.Int64      // sessions held
	Clients *flow.ClientTable // nil without max_sessions_per_client
	Rate    *flow.Rate        // nil without accept_rate
	_       [40]byte
}

// protoTCP is the protocol of every flow key (RFC 9293).
const protoTCP = 6

// Hash is what the pool's table is asked with for a session of client at a listener. A unix socket (the zero listen) has
// no addresses: the session's id stands in.
func (f *Frontend) Hash(h *flow.Hasher, client, listen sys.Addr, id uint64) uint64 {
	switch {
	case listen == sys.Addr{}:
		return h.Counter(id)
	case f.Pool.Hash == HashClient:
		return h.Client(client.IP)
	case f.Pool.Hash == HashClientPrefix:
		return h.Client(flow.Prefix(client.IP, f.Prefix4, f.Prefix6))
	}
	return h.Tuple(&flow.Key{ClientIP: client.IP, ClientPort: client.Port, ListenIP: listen.IP, ListenPort: listen.Port, Proto: protoTCP})
}

// Admits tells whether the lists let a client address in; deny wins.
func (f *Frontend) Admits(ip [16]byte) bool {
	if !f.Deny.Empty() && f.Deny.Contains(ip) {
		return false
	}
	return f.Allow.Empty() || f.Allow.Contains(ip)
}
