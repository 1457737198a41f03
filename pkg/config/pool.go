package config

import (
	"net/netip"
	"time"
)

// What a pool's algorithm, hash, send_proxy and on_unhealthy can be.
const (
	AlgorithmMaglev        = "maglev"
	AlgorithmLeastSessions = "least_sessions"
	AlgorithmRoundRobin    = "round_robin"

	HashTuple        = "5-tuple"
	HashClient       = "client"
	HashClientPrefix = "client-prefix"

	SendProxyOff = "off"
	SendProxyV1  = "v1"
	SendProxyV2  = "v2"

	OnUnhealthyKeep  = "keep"
	OnUnhealthyReset = "reset"
)

// Pool is one [[pool]]: a set of backends and how one of them is picked.
type Pool struct {
	Name            string
	Algorithm       string
	Hash            string
	BalanceFactor   float64 // 0: off; else at least 1
	TableSize       int     // a prime
	ConnectRetries  int
	SendProxy       string
	OnUnhealthy     string
	Resolve         time.Duration // between two look-ups of host:port addresses
	SourceAddresses []AddrRange   // empty: the kernel chooses
	LocalPorts      PortRange     // zero: the kernel chooses
	Health          Health
	Passive         Passive
	Backends        []Backend // never empty
}

// Backend returns the backend of that name, nil if there is none.
func (p *Pool) Backend(name string) *Backend {
	for i := range p.Backends {
		if p.Backends[i].Name == name {
			return &p.Backends[i]
		}
	}
	return nil
}

// Sources returns every address of SourceAddresses, in their order.
func (p *Pool) Sources() (all []netip.Addr) {
	for _, r := range p.SourceAddresses {
		for a := r.From; a.IsValid() && !r.To.Less(a); a = a.Next() {
			all = append(all, a)
		}
	}
	return all
}

// What health.type can be.
const (
	HealthTCP        = "tcp"
	HealthHTTP       = "http"
	HealthWebSocket  = "websocket"
	HealthSendExpect = "send-expect"
	HealthNone       = "none"
)

// Health is [pool.health]: the active checks.
type Health struct {
	Type           string
	Interval       time.Duration
	Timeout        time.Duration
	Rise           int
	Fall           int
	Port           uint16 // 0: the backend's
	Path           string // http, websocket
	Host           string // http, websocket: the Host header; "": the address
	ExpectStatus   StatusRange
	Send           string // send-expect
	Expect         string
	PanicThreshold float64 // share, 0 to 1
}

// StatusRange is a range of HTTP status codes, both ends included.
type StatusRange struct{ From, To int }

// Passive is [pool.passive]: what connect failures of real sessions do.
type Passive struct {
	ConsecutiveFailures int // 0: off
	EjectFor            time.Duration
	MaxEjected          float64 // share of the pool, 0 to 1
}

// Backend is one [[pool.backend]].
type Backend struct {
	Name        string
	Address     Address
	Weight      int // 0: draining; at most 1000
	MaxSessions int // 0: no limit
	Backup      bool
}

// AddrRange is a range of addresses of one family, both ends included.
type AddrRange struct{ From, To netip.Addr }

// PortRange is a range of ports, both ends included; zero means none.
type PortRange struct{ From, To uint16 }
