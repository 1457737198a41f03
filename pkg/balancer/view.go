package balancer

import "time"

// What follows is what others see of a running balancer: the admin API shows it as JSON, the metrics and the page are
// made of it. Durations are in seconds, sizes in bytes, counters run since start.

// Status is the program as a whole.
type Status struct {
	Name       string    `json:"name"`
	Version    string    `json:"version"`
	Commit     string    `json:"commit"`
	Go         string    `json:"go"`
	PID        int       `json:"pid"`
	Started    time.Time `json:"started"`
	UptimeS    float64   `json:"uptime_s"`
	Generation uint64    `json:"generation"`
	Workers    int       `json:"workers"`
	Ready      bool      `json:"ready"`
	NotReady   string    `json:"not_ready,omitempty"` // why
	Draining   bool      `json:"draining"`

	Sessions   Gauge    `json:"sessions"`    // held, and how many may be
	BindsFirst string   `json:"binds_first"` // what the limit comes from, a sentence
	Limits     []Limit  `json:"limits"`      // all of them, the nearest first
	FDs        Gauge    `json:"fds"`
	Pipes      Pipes    `json:"pipes"`
	Steering   Steering `json:"steering"`

	Ports FullestPorts `json:"ports"`

	Kernel   string    `json:"kernel"`
	Features []Feature `json:"features"`
}

// Gauge is a number in use and its limit; Peak is the highest seen.
type Gauge struct {
	Held  int64 `json:"held"`
	Limit int64 `json:"limit"`
	Peak  int64 `json:"peak,omitempty"`
}

// Limit is how many sessions one resource allows.
type Limit struct {
	Resource string `json:"resource"`
	Sessions int64  `json:"sessions"`
	Why      string `json:"why"`
}

// Pipes is the state of all pipe pools.
type Pipes struct {
	Used     int64  `json:"used"`
	Idle     int64  `json:"idle"`
	Limit    int64  `json:"limit"`
	Degraded uint64 `json:"degraded"` // how often the kernel refused a useful pipe
}

// Steering is what chooses the worker of a new connection, and how often it did so each way.
type Steering struct {
	How         string `json:"how"`           // bpf | kernel
	Why         string `json:"why,omitempty"` // not bpf
	ByCPU       uint64 `json:"cpu"`           // the worker of the CPU that received it
	LeastLoaded uint64 `json:"least_loaded"`  // the worker with the fewest sessions
	ByKernel    uint64 `json:"kernel"`        // the kernel's hash
}

// Feature is what the self-test at start found of one thing that a kernel may have.
type Feature struct {
	Name     string `json:"name"`
	Present  bool   `json:"present"`
	Tried    bool   `json:"tried"`              // false: it could not be tried, Value says why, and counts as present
	Value    string `json:"value,omitempty"`    // what was measured, or what went wrong
	Since    string `json:"since"`              // the first Linux that has it
	Fallback string `json:"fallback,omitempty"` // what is done without it
}

// Histogram counts values by upper bound, in seconds. Counts has one more entry than Bounds, for the rest; the counts
// are not cumulative.
type Histogram struct {
	Bounds []float64 `json:"bounds"`
	Counts []uint64  `json:"counts"`
	Sum    float64   `json:"sum"`
}

// FrontendStatus is one frontend. Accepted = Active + the sum of Ended, always.
type FrontendStatus struct {
	Name        string            `json:"name"`
	Listen      []string          `json:"listen"`
	Pool        string            `json:"pool"`
	Removed     bool              `json:"removed,omitempty"`
	Draining    bool              `json:"draining,omitempty"`
	Active      int64             `json:"active"`
	MaxSessions int64             `json:"max_sessions"`
	Accepted    uint64            `json:"accepted"`
	Refused     map[string]uint64 `json:"refused"` // by reason, all of them
	Ended       map[string]uint64 `json:"ended"`   // by reason, all of them
	ToBackend   uint64            `json:"to_backend_bytes"`
	ToClient    uint64            `json:"to_client_bytes"`
	ZeroByte    uint64            `json:"zero_byte"`
	Duration    Histogram         `json:"duration"`
	AcceptQueue int64             `json:"accept_queue"`
	ListenDrops uint64            `json:"listen_drops"`
}

// PoolStatus is one pool.
type PoolStatus struct {
	Name       string          `json:"name"`
	Algorithm  string          `json:"algorithm"`
	Hash       string          `json:"hash"`
	Panic      bool            `json:"panic"`
	Connecting int64           `json:"connecting"`
	Retries    uint64          `json:"retries"`
	Connect    Histogram       `json:"connect"`
	Backends   []BackendStatus `json:"backends"`
}

// BackendStatus is one backend of a pool. State is exactly one of healthy unhealthy unknown draining ejected.
type BackendStatus struct {
	Name        string            `json:"name"`
	Address     string            `json:"address"`
	State       string            `json:"state"`
	Since       time.Time         `json:"since"`         // of the state
	Why         string            `json:"why,omitempty"` // what the last change was about
	Weight      int64             `json:"weight"`
	Backup      bool              `json:"backup,omitempty"`
	Removed     bool              `json:"removed,omitempty"`
	Sessions    int64             `json:"sessions"`
	MaxSessions int64             `json:"max_sessions"`
	ToBackend   uint64            `json:"to_backend_bytes"`
	ToClient    uint64            `json:"to_client_bytes"`
	Ended       map[string]uint64 `json:"ended"`            // by cause, all of them
	Failures    map[string]uint64 `json:"connect_failures"` // by reason, all of them
	Checks      map[string]uint64 `json:"checks"`           // by result: ok fail timeout local
	Ports       *PortStatus       `json:"ports,omitempty"`  // nil: it is a unix socket, or removed
}

// PortStatus is the local ports towards one backend: used by sessions, resting after the kernel refused them, and how many
// there are in all. Where pools reach the same address from the same source they share its ports, and each shows them all.
type PortStatus struct {
	Used     int64          `json:"used"`
	Resting  int64          `json:"resting"`
	Limit    int64          `json:"limit"`
	RunsOutS float64        `json:"runs_out_s,omitempty"` // at the rate of the last seconds; 0: not within a day
	Sources  []SourceStatus `json:"sources,omitempty"`    // none: the kernel chooses address and port
}

// FullestPorts is the local ports towards the backend of which the smallest share is left.
type FullestPorts struct {
	Backend  string  `json:"backend,omitempty"` // POOL/NAME; "": no backend has any, as unix sockets do
	Used     int64   `json:"used"`
	Resting  int64   `json:"resting"`
	Limit    int64   `json:"limit"`
	RunsOutS float64 `json:"runs_out_s,omitempty"`
}

// SourceStatus is the part of one source address.
type SourceStatus struct {
	Source   string  `json:"source"` // an address; "any": the kernel chooses it
	Ports    string  `json:"ports"`  // "10000-32000", or "chosen by the kernel"
	Used     int64   `json:"used"`
	Resting  int64   `json:"resting"`
	Limit    int64   `json:"limit"`
	RunsOutS float64 `json:"runs_out_s,omitempty"`
}

// WorkerStatus is one event loop.
type WorkerStatus struct {
	ID              int       `json:"id"`
	Sessions        int64     `json:"sessions"`
	BusyS           float64   `json:"busy_s"`
	Turns           Histogram `json:"turns"`
	CopiedBytes     uint64    `json:"copied_bytes"`
	SplicedBytes    uint64    `json:"spliced_bytes"`
	StaleEvents     uint64    `json:"stale_events"`
	PausedNoRoomS   float64   `json:"paused_no_room_s"` // accepting paused at a session limit
	PausedNoFDsS    float64   `json:"paused_no_fds_s"`  // accepting paused because the kernel gave no descriptor
	LogLinesDropped uint64    `json:"log_lines_dropped"`
}

// HostStatus is what the host as a whole uses; -1 where it cannot be read.
type HostStatus struct {
	ConntrackEntries int64 `json:"conntrack_entries"`
	ConntrackLimit   int64 `json:"conntrack_limit"`
	TCPMemoryBytes   int64 `json:"tcp_memory_bytes"`
	TimeWaitSockets  int64 `json:"timewait_sockets"`
}

// SessionQuery selects live sessions. Empty fields match all.
type SessionQuery struct {
	Frontend string
	Backend  string // NAME, POOL/NAME or POOL/
	Client   string // an address, address:port or CIDR
	Sort     string // id (default) age idle bytes
	Limit    int    // 0: 100; at most 10,000
	Cursor   string // of the page before
}

// SessionPage is what a query found.
type SessionPage struct {
	Sessions []SessionStatus `json:"sessions"`
	Matched  int             `json:"matched"` // in all
	Cursor   string          `json:"cursor,omitempty"`
}

// SessionStatus is one live session.
type SessionStatus struct {
	ID          string  `json:"id"` // 16 hex digits
	Worker      int     `json:"worker"`
	State       string  `json:"state"` // dialling relaying closing
	Frontend    string  `json:"frontend"`
	Pool        string  `json:"pool"`
	Backend     string  `json:"backend"`
	Client      string  `json:"client"`
	Listen      string  `json:"listen"`
	Source      string  `json:"source"`
	BackendAddr string  `json:"backend_addr"`
	AgeS        float64 `json:"age_s"`
	IdleS       float64 `json:"idle_s"`
	ToBackend   uint64  `json:"to_backend_bytes"`
	ToClient    uint64  `json:"to_client_bytes"`
	HeldBytes   int     `json:"held_bytes"`
	Mode        string  `json:"mode"` // copy | splice, of the busier way now
	ClientTCP   TCPInfo `json:"client_tcp"`
	BackendTCP  TCPInfo `json:"backend_tcp"`
}

// TCPInfo is the kernel's view of one connection.
type TCPInfo struct {
	RTTUs       uint32 `json:"rtt_us"`
	RTTVarUs    uint32 `json:"rtt_var_us"`
	Cwnd        uint32 `json:"cwnd"`
	MSS         uint32 `json:"mss"`
	Retransmits uint32 `json:"retransmits"`
	Unacked     uint32 `json:"unacked"`
	NotSent     uint32 `json:"not_sent_bytes"`
}

// Explanation tells where a connection of a client would go now, and why.
type Explanation struct {
	Frontend  string      `json:"frontend"`
	Client    string      `json:"client"`
	Listen    string      `json:"listen"`
	Pool      string      `json:"pool"`
	Algorithm string      `json:"algorithm"`
	HashOf    string      `json:"hash_of"` // what is hashed
	Hash      string      `json:"hash"`    // 16 hex digits
	Admitted  bool        `json:"admitted"`
	Refusal   string      `json:"refusal,omitempty"`
	Backend   string      `json:"backend"` // "" if none
	Address   string      `json:"address"`
	Steps     []string    `json:"steps"` // the reasoning, a sentence each
	Backends  []Candidate `json:"backends"`
}

// Candidate is one backend as an explanation sees it.
type Candidate struct {
	Name     string `json:"name"`
	Takes    bool   `json:"takes"`
	Why      string `json:"why"`
	Sessions int64  `json:"sessions"`
	Share    int64  `json:"share"` // sessions that bounded load allows; 0: unbounded
}

// Event is something an operator wants to know. Its Name is the `event` word of the log and of the event stream.
type Event struct {
	Time       time.Time         `json:"time"`
	Name       string            `json:"event"`
	Level      string            `json:"level"`   // info warn error
	Subject    string            `json:"subject"` // what it is about: a backend, a frontend; "" for the process
	Message    string            `json:"message"`
	Fields     map[string]string `json:"fields,omitempty"`
	Suppressed int               `json:"suppressed,omitempty"` // events like it in the 10 s before that were not shown
}
