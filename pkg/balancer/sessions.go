package balancer

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/worker"
)

// Bounds of a page of sessions.
const (
	defaultPage = 100
	largestPage = 10_000
)

// Sessions lists live sessions, asking every worker. A page is a moment of each worker, not of all together: with a
// cursor, pages in the order of ids neither repeat nor miss a session that lives all the while.
func (b *Balancer) Sessions(ctx context.Context, q SessionQuery) (SessionPage, error) {
	if q.Sort == "" {
		q.Sort = "id"
	}
	match, err := b.matcher(q)
	if err != nil {
		return SessionPage{}, err
	}
	less, err := order(q.Sort)
	if err != nil {
		return SessionPage{}, err
	}
	skip, err := decodeCursor(q.Cursor, q.Sort)
	if err != nil {
		return SessionPage{}, err
	}
	limit := q.Limit
	switch {
	case limit == 0:
		limit = defaultPage
	case limit < 0 || limit > largestPage:
		return SessionPage{}, fmt.Errorf("%w: limit %d: want 1 to %d", ErrBadQuery, limit, largestPage)
	}
	entries, err := b.list(ctx, match)
	if err != nil {
		return SessionPage{}, err
	}
	slices.SortFunc(entries, less)
	return page(entries, skip, limit, q.Sort), nil
}

// list collects the matching sessions of all workers.
func (b *Balancer) list(ctx context.Context, match func(*worker.Entry) bool) ([]worker.Entry, error) {
	listings := make([]worker.Listing, len(b.workers))
	orders := make([]*worker.Order, len(b.workers))
	for i, w := range b.workers {
		listings[i].Match = match
		orders[i] = worker.NewOrder(listings[i].Step)
		w.Give(orders[i])
	}
	var all []worker.Entry
	for i, o := range orders {
		if err := o.Wait(ctx); err != nil {
			return nil, err
		}
		all = append(all, listings[i].Entries...)
	}
	return all, nil
}

// matcher makes the filter of a query.
func (b *Balancer) matcher(q SessionQuery) (func(*worker.Entry) bool, error) {
	net, port, err := parseClient(q.Client)
	if err != nil {
		return nil, err
	}
	pool, name, qualified := strings.Cut(q.Backend, "/")
	if !qualified {
		pool, name = "", q.Backend
	}
	return func(e *worker.Entry) bool {
		if q.Frontend != "" && e.Frontend.Name != q.Frontend {
			return false
		}
		if q.Backend != "" && (e.Backend == nil || name != "" && e.Backend.Name != name || pool != "" && e.Backend.Pool != pool) {
			return false
		}
		if !net.IsValid() {
			return true
		}
		ap := e.Client.AddrPort()
		return ap.Port() != 0 && net.Contains(ap.Addr()) && (port == 0 || ap.Port() == port) // port 0: a unix socket
	}, nil
}

// parseClient reads an address, address:port or CIDR.
func parseClient(s string) (net netip.Prefix, port uint16, err error) {
	if s == "" {
		return net, 0, nil
	}
	if net, err := netip.ParsePrefix(s); err == nil {
		return net, 0, nil
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		a := ap.Addr().Unmap()
		return netip.PrefixFrom(a, a.BitLen()), ap.Port(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return net, 0, fmt.Errorf("%w: client %q: want an address, address:port or CIDR", ErrBadQuery, s)
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), 0, nil
}

// order is how a page is sorted; ties go by id.
func order(by string) (func(a, b worker.Entry) int, error) {
	byID := func(a, b worker.Entry) int { return cmp.Compare(a.ID, b.ID) }
	first := func(key func(*worker.Entry) int64) func(a, b worker.Entry) int {
		return func(a, b worker.Entry) int { return cmp.Or(cmp.Compare(key(&b), key(&a)), byID(a, b)) }
	}
	switch by {
	case "id":
		return byID, nil
	case "age":
		return first(func(e *worker.Entry) int64 { return e.AgeMs }), nil
	case "idle":
		return first(func(e *worker.Entry) int64 { return e.IdleMs }), nil
	case "bytes":
		return first(func(e *worker.Entry) int64 { return int64(e.ToBackend + e.ToClient) }), nil
	}
	return nil, fmt.Errorf("%w: sort %q: want id, age, idle or bytes", ErrBadQuery, by)
}

// A cursor is the sort key and where to go on: the last id, or for other orders how many were shown.
func encodeCursor(by string, n uint64) string {
	return base64.RawURLEncoding.EncodeToString([]byte(by + ":" + strconv.FormatUint(n, 16)))
}

func decodeCursor(cursor, by string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	key, n, found := strings.Cut(string(raw), ":")
	at, perr := strconv.ParseUint(n, 16, 64)
	if err != nil || perr != nil || !found || key != by {
		return 0, fmt.Errorf("%w: cursor %q is not one of this query", ErrBadQuery, cursor)
	}
	return at, nil
}

func page(entries []worker.Entry, after uint64, limit int, by string) SessionPage {
	p := SessionPage{Matched: len(entries), Sessions: []SessionStatus{}}
	begin := int(min(after, uint64(len(entries))))
	byID := by == "id"
	if byID && after > 0 {
		begin, _ = slices.BinarySearchFunc(entries, after+1, func(e worker.Entry, id uint64) int { return cmp.Compare(e.ID, id) })
	}
	end := min(begin+limit, len(entries))
	for i := begin; i < end; i++ {
		p.Sessions = append(p.Sessions, sessionStatus(&entries[i]))
	}
	if end < len(entries) && end > 0 {
		if byID {
			p.Cursor = encodeCursor(by, entries[end-1].ID)
		} else {
			p.Cursor = encodeCursor(by, uint64(end))
		}
	}
	return p
}

func sessionStatus(e *worker.Entry) SessionStatus {
	s := SessionStatus{
		ID: fmt.Sprintf("%016x", e.ID), Worker: e.Worker, State: e.State, Frontend: e.Frontend.Name, Pool: e.Frontend.Pool.Name,
		Client: e.Client.String(), Listen: e.Listen, AgeS: float64(e.AgeMs) / 1000, IdleS: float64(e.IdleMs) / 1000,
		ToBackend: e.ToBackend, ToClient: e.ToClient, HeldBytes: e.HeldBytes, Mode: "copy",
		ClientTCP: tcpInfo(e.ClientTCP), BackendTCP: tcpInfo(e.BackendTCP),
	}
	if e.Splicing[0] || e.Splicing[1] {
		s.Mode = "splice"
	}
	if e.Source != (sys.Addr{}) {
		s.Source = e.Source.String()
	}
	if e.Backend != nil {
		s.Pool, s.Backend, s.BackendAddr = e.Backend.Pool, e.Backend.Name, e.Backend.Address
	}
	return s
}

func tcpInfo(i sys.TCPInfo) TCPInfo {
	return TCPInfo{RTTUs: i.RTTUs, RTTVarUs: i.RTTVarUs, Cwnd: i.Cwnd, MSS: i.MSS, Retransmits: i.Retransmits, Unacked: i.Unacked, NotSent: i.NotSent}
}
