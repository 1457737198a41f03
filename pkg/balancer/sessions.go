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
	mostSkipped = 1 << 32 // sessions before a page in another order than by id; more there cannot be
)

// Sessions lists live sessions, asking every worker. A page is a moment of each worker, not of all together: with a
// cursor, pages in the order of ids neither repeat nor miss a session that lives all the while. Each worker keeps no more
// than a page can show, and asks the kernel about no others.
func (b *Balancer) Sessions(ctx context.Context, q SessionQuery) (SessionPage, error) {
	if q.Sort == "" {
		q.Sort = byID
	}
	match, err := b.matcher(q)
	if err != nil {
		return SessionPage{}, err
	}
	key, err := sortKey(q.Sort)
	if err != nil {
		return SessionPage{}, err
	}
	at, err := decodeCursor(q.Cursor, q.Sort)
	if err != nil {
		return SessionPage{}, err
	}
	if q.Limit == 0 {
		q.Limit = defaultPage
	}
	if q.Limit < 0 || q.Limit > largestPage {
		return SessionPage{}, fmt.Errorf("%w: limit %d: want 1 to %d", ErrBadQuery, q.Limit, largestPage)
	}
	wanted := worker.Listing{Match: match, Key: key, After: at, Max: q.Limit + 1} // one more tells that there is another page
	begin := 0
	if q.Sort != byID {
		begin = int(min(at, mostSkipped))
		wanted.After, wanted.Max = 0, begin+q.Limit+1
	}
	entries, matched, err := b.list(ctx, wanted)
	if err != nil {
		return SessionPage{}, err
	}
	return page(entries, matched, begin, q), nil
}

// list collects what all workers found, in order.
func (b *Balancer) list(ctx context.Context, wanted worker.Listing) (all []worker.Entry, matched int, err error) {
	listings := make([]worker.Listing, len(b.workers))
	orders := make([]*worker.Order, len(b.workers))
	for i, w := range b.workers {
		listings[i] = wanted
		orders[i] = worker.NewOrder(listings[i].Step)
		w.Give(orders[i])
	}
	for i, o := range orders {
		if err := o.Wait(ctx); err != nil {
			return nil, 0, err
		}
		all = append(all, listings[i].Entries...)
		matched += listings[i].Seen
	}
	slices.SortFunc(all, func(x, y worker.Entry) int {
		if wanted.Key != nil {
			return cmp.Or(cmp.Compare(wanted.Key(&y), wanted.Key(&x)), cmp.Compare(x.ID, y.ID))
		}
		return cmp.Compare(x.ID, y.ID)
	})
	return all, matched, nil
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

// byID is the order of a page unless another is asked for; ties of the others go by id, too.
const byID = "id"

// sortKey is what a page is sorted by, the highest first; nil: by id.
func sortKey(by string) (func(*worker.Entry) int64, error) {
	switch by {
	case byID:
		return nil, nil
	case "age":
		return func(e *worker.Entry) int64 { return e.AgeMs }, nil
	case "idle":
		return func(e *worker.Entry) int64 { return e.IdleMs }, nil
	case "bytes":
		return func(e *worker.Entry) int64 { return int64(e.ToBackend + e.ToClient) }, nil
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

// page shows what a query wants of the entries that were kept, from begin on.
func page(entries []worker.Entry, matched, begin int, q SessionQuery) SessionPage {
	p := SessionPage{Matched: matched, Sessions: []SessionStatus{}}
	begin = min(begin, len(entries))
	end := min(begin+q.Limit, len(entries))
	for i := begin; i < end; i++ {
		p.Sessions = append(p.Sessions, sessionStatus(&entries[i]))
	}
	if end < len(entries) {
		at := uint64(end)
		if q.Sort == byID {
			at = entries[end-1].ID
		}
		p.Cursor = encodeCursor(q.Sort, at)
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
