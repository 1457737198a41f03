package config

import "net/netip"

// What on_full can be.
const (
	OnFullRefuse = "refuse" // accept and reset
	OnFullWait   = "wait"   // leave it in the kernel's queue
)

// Frontend is one [[frontend]]: where clients come in, and the pool they go to.
type Frontend struct {
	Name                 string
	Listen               []Address // never empty, never a host name
	Pool                 string    // always the name of a pool of the same Config
	MaxSessions          int       // 0: no limit of its own
	MaxSessionsPerClient int       // 0: no limit
	ClientPrefix         ClientPrefix
	AcceptRate           int // new sessions per second; 0: no limit
	OnFull               string
	Backlog              int // 0: net.core.somaxconn
	DeferAccept          bool
	Freebind             bool
	Shared               bool   // other processes of this user may listen there too
	Interface            string // "": any
	AcceptProxyFrom      []netip.Prefix
	Allow                []netip.Prefix // empty: everybody
	Deny                 []netip.Prefix // wins over Allow
	Timeouts             Timeouts
}

// ClientPrefix says how many leading bits of an address make one client.
type ClientPrefix struct {
	V4 int // 1 to 32
	V6 int // 1 to 128
}
