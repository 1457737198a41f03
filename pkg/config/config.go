package config

import (
	"math"
	"time"
)

// Forever is the duration written as "forever": no limit. Zero, "0s", is off.
// Where both are allowed, neither arms a timer.
const Forever = time.Duration(math.MaxInt64)

// Config is one validated configuration. Nobody writes to it after Load or
// Parse returned it, so that goroutines share it without a lock.
type Config struct {
	Process   Process
	Relay     Relay
	Timeouts  Timeouts
	Frontends []Frontend // in the order of the files
	Pools     []Pool     // in the order of the files; those of short forms come last
	Tuning    Tuning
	Files     []string // what was read, in order

	// sources remembers by label ("process", "pool.chat.health") which keys
	// were written, and where.
	sources map[string]*table
}

// Pool returns the pool of that name, nil if there is none.
func (c *Config) Pool(name string) *Pool {
	for i := range c.Pools {
		if c.Pools[i].Name == name {
			return &c.Pools[i]
		}
	}
	return nil
}

// What log_level and log_format can be.
const (
	LogDebug   = "debug"
	LogInfo    = "info"
	LogWarn    = "warn"
	LogError   = "error"
	LogJSON    = "json"
	LogConsole = "console"
)

// AccessLogStdout is the access_log that is no path.
const AccessLogStdout = "stdout"

// Process is [process]: what belongs to the program as a whole.
type Process struct {
	Name           string
	Workers        int     // 0: one per usable CPU
	MaxSessions    int     // 0: what fds and memory allow
	HashKeyFile    string  // "": random at first start
	Admin          string  // path of the unix socket; "": off
	AdminGroup     string  // "": the socket is 0600
	HTTP           Address // zero: off
	HTTPTokenFile  string
	StateDir       string
	LogLevel       string
	LogFormat      string
	AccessLog      string // "": off; AccessLogStdout; or a path
	AccessLogStart bool
	LameDuck       time.Duration
	DrainTimeout   time.Duration // 0: at once; may be Forever
	ShedAtTCPMem   float64       // share of tcp_mem's limit, 0 to 1; 0: never
}

// What relay.mode can be.
const (
	RelayAuto   = "auto"
	RelaySplice = "splice"
	RelayCopy   = "copy"
)

// Relay is [relay]: how bytes are moved. Sizes are in bytes.
type Relay struct {
	Mode        string
	LowMemory   bool
	PipeBytes   int64
	MaxPipes    int // 0: derived from the limits of the host
	BufferBytes int64
}

// Timeouts is [timeouts], or a frontend's: that table overlaid by
// [frontend.timeouts]. Connect to Stall: 0 and Forever mean no limit.
type Timeouts struct {
	Connect   time.Duration // per attempt
	Idle      time.Duration
	HalfClose time.Duration
	FirstByte time.Duration
	Stall     time.Duration

	Keepalive         time.Duration // 0: off; whole seconds, as the kernel counts
	KeepaliveInterval time.Duration
	KeepaliveProbes   int
	UserTimeout       time.Duration // "auto" is resolved; 0: off
}

// Tuning is [tuning]: what `longsplice tune` aims for.
type Tuning struct {
	Sessions  int
	Interface string
}
