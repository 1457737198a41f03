package admin

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

const (
	rowsPerPage  = 50
	eventsShown  = 20
	stateHealthy = "healthy"
)

// states in the order of the page: what needs eyes first. A backend is in exactly one.
var states = []string{"unhealthy", "ejected", "unknown", "draining", stateHealthy}

// tick is one second of the status page.
type tick struct {
	At        float64             `json:"at"` // Unix time in seconds, of the counters
	Status    balancer.Status     `json:"status"`
	Point     point               `json:"point"`
	Frontends []frontendRow       `json:"frontends"`
	Ended     map[string]uint64   `json:"ended"`   // by reason, over all frontends
	Refused   map[string]uint64   `json:"refused"` // by reason, over all frontends
	Pools     []poolRow           `json:"pools"`
	Backends  backendPage         `json:"backends"`
	Workers   []workerRow         `json:"workers"`
	Host      balancer.HostStatus `json:"host"`
	Events    []balancer.Event    `json:"events"` // the newest first
}

// frontendRow has counters since start, of which the page makes rates.
type frontendRow struct {
	Name      string   `json:"name"`
	Listen    []string `json:"listen"`
	Pool      string   `json:"pool"`
	State     string   `json:"state"` // open draining removed
	Active    int64    `json:"active"`
	Max       int64    `json:"max"`
	Accepted  uint64   `json:"accepted"`
	Refused   uint64   `json:"refused"`
	ToBackend uint64   `json:"to_backend"`
	ToClient  uint64   `json:"to_client"`
	Queue     int64    `json:"queue"`
	Drops     uint64   `json:"drops"`
}

// poolRow sums up a pool; its backends come by the page.
type poolRow struct {
	Name       string         `json:"name"`
	Algorithm  string         `json:"algorithm"`
	Hash       string         `json:"hash"`
	Panic      bool           `json:"panic"`
	Connecting int64          `json:"connecting"`
	Retries    uint64         `json:"retries"`
	Sessions   int64          `json:"sessions"`
	Backends   int            `json:"backends"`
	States     map[string]int `json:"states"` // backends by state
}

// backendPage is one page of the backends that match.
type backendPage struct {
	Total   int          `json:"total"`
	Matched int          `json:"matched"`
	Page    int          `json:"page"` // from 0
	Pages   int          `json:"pages"`
	Rows    []backendRow `json:"rows"`
}

// backendRow has counters since start too; sizes in bytes.
type backendRow struct {
	Pool      string `json:"pool"`
	Name      string `json:"name"`
	Address   string `json:"address"`
	State     string `json:"state"`
	Since     int64  `json:"since"` // Unix time in seconds
	Why       string `json:"why"`
	Weight    int64  `json:"weight"`
	Backup    bool   `json:"backup"`
	Removed   bool   `json:"removed"`
	Sessions  int64  `json:"sessions"`
	Max       int64  `json:"max"`
	Most      int64  `json:"most"` // sessions of the pool's busiest backend, for the length of a bar
	ToBackend uint64 `json:"to_backend"`
	ToClient  uint64 `json:"to_client"`
	Failures  uint64 `json:"failures"` // to connect
	Failed    uint64 `json:"failed"`   // health checks

	Ports *balancer.PortStatus `json:"ports"` // null: a unix socket, or removed
}

// sourcesShown bounds what a row says of sources: a page takes it every second.
const sourcesShown = 8

// workerRow: Copied and Spliced in bytes, PausedS for either cause.
type workerRow struct {
	ID       int     `json:"id"`
	Sessions int64   `json:"sessions"`
	BusyS    float64 `json:"busy_s"`
	Copied   uint64  `json:"copied"`
	Spliced  uint64  `json:"spliced"`
	PausedS  float64 `json:"paused_s"`
}

// tick is the look as one page shows it; all tells whether it may show events that name clients.
func (l *look) tick(want rows, all bool) tick {
	t := tick{
		At:     unixSeconds(l.at),
		Status: l.status, Point: l.point, Host: l.host, Events: shown(l.recent, all, eventsShown), Backends: l.page(want),
		Frontends: make([]frontendRow, 0, len(l.frontends)), Ended: map[string]uint64{}, Refused: map[string]uint64{},
		Pools: make([]poolRow, 0, len(l.pools)), Workers: make([]workerRow, 0, len(l.workers)),
	}
	t.Status.Limits, t.Status.Features = list(t.Status.Limits), list(t.Status.Features)
	for i := range l.frontends {
		f := &l.frontends[i]
		t.Frontends = append(t.Frontends, rowOfFrontend(f))
		addTo(t.Ended, f.Ended)
		addTo(t.Refused, f.Refused)
	}
	for i := range l.pools {
		t.Pools = append(t.Pools, rowOfPool(&l.pools[i]))
	}
	for _, w := range l.workers {
		t.Workers = append(t.Workers, workerRow{w.ID, w.Sessions, w.BusyS, w.CopiedBytes, w.SplicedBytes, w.PausedNoRoomS + w.PausedNoFDsS})
	}
	return t
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }

func addTo(all, some map[string]uint64) {
	for key, n := range some {
		all[key] += n
	}
}

func rowOfFrontend(f *balancer.FrontendStatus) frontendRow {
	state := "open"
	switch {
	case f.Removed:
		state = "removed"
	case f.Draining:
		state = "draining"
	}
	return frontendRow{
		Name: f.Name, Listen: list(f.Listen), Pool: f.Pool, State: state, Active: f.Active, Max: f.MaxSessions, Accepted: f.Accepted,
		Refused: sum(f.Refused), ToBackend: f.ToBackend, ToClient: f.ToClient, Queue: f.AcceptQueue, Drops: f.ListenDrops,
	}
}

// rowOfPool counts sessions of removed backends, which still hold them, but not those backends.
func rowOfPool(p *balancer.PoolStatus) poolRow {
	row := poolRow{
		Name: p.Name, Algorithm: p.Algorithm, Hash: p.Hash, Panic: p.Panic, Connecting: p.Connecting, Retries: p.Retries, States: map[string]int{},
	}
	for i := range p.Backends {
		b := &p.Backends[i]
		row.Sessions += b.Sessions
		if !b.Removed {
			row.Backends++
			row.States[b.State]++
		}
	}
	return row
}

// page is the wanted page, or the last one there is.
func (l *look) page(want rows) backendPage {
	var all backendPage
	var found []backendRow
	for i := range l.pools {
		p := &l.pools[i]
		all.Total += len(p.Backends)
		found = append(found, matching(p, want.find)...)
	}
	all.Matched = len(found)
	all.Pages = max((len(found)+rowsPerPage-1)/rowsPerPage, 1)
	all.Page = min(want.page, all.Pages-1)
	from := all.Page * rowsPerPage
	all.Rows = list(found[from:min(from+rowsPerPage, len(found))])
	return all
}

// matching are the backends of p whose names, address or state hold find, in the order of states.
func matching(p *balancer.PoolStatus, find string) []backendRow {
	var found []backendRow
	var most int64
	for i := range p.Backends {
		b := &p.Backends[i]
		most = max(most, b.Sessions)
		if strings.Contains(strings.ToLower(p.Name+"/"+b.Name+" "+b.Address+" "+b.State), find) {
			found = append(found, rowOfBackend(p.Name, b))
		}
	}
	for i := range found {
		found[i].Most = most
	}
	slices.SortStableFunc(found, func(a, b backendRow) int {
		return cmp.Compare(slices.Index(states, a.State), slices.Index(states, b.State))
	})
	return found
}

func rowOfBackend(pool string, b *balancer.BackendStatus) backendRow {
	return backendRow{
		Pool: pool, Name: b.Name, Address: b.Address, State: b.State, Since: b.Since.Unix(), Why: b.Why, Weight: b.Weight,
		Backup: b.Backup, Removed: b.Removed, Sessions: b.Sessions, Max: b.MaxSessions, ToBackend: b.ToBackend, ToClient: b.ToClient,
		Failures: sum(b.Failures), Failed: b.Checks["fail"] + b.Checks["timeout"], Ports: portsShown(b.Ports),
	}
}

// portsShown is a copy with the fullest sources alone.
func portsShown(p *balancer.PortStatus) *balancer.PortStatus {
	if p == nil || len(p.Sources) <= sourcesShown {
		return p
	}
	shown := *p
	shown.Sources = slices.SortedFunc(slices.Values(p.Sources), func(a, b balancer.SourceStatus) int {
		return cmp.Compare(b.Used+b.Resting, a.Used+a.Resting)
	})[:sourcesShown]
	return &shown
}
