package admin

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

const (
	tickEvery = time.Second
	historyOf = 600 // points: ten minutes
)

// live looks at the balancer every second. It keeps the totals of the last ten minutes, so that a page shows a past when
// it opens, and hands what it saw to the open pages. While no page is open it reads frontends only.
type live struct {
	view View

	mu      sync.Mutex
	history []point
	before  totals
	readers map[chan *look]bool
}

func newLive(v View) *live {
	return &live{view: v, readers: map[chan *look]bool{}}
}

// look is all that was seen at one moment; readers share it and do not write to it.
type look struct {
	at        time.Time
	point     point
	status    balancer.Status
	frontends []balancer.FrontendStatus
	pools     []balancer.PoolStatus
	workers   []balancer.WorkerStatus
	host      balancer.HostStatus
	recent    []balancer.Event
}

// run looks every second until ctx ends.
func (l *live) run(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	l.count(time.Now(), l.view.Frontends())
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.turn(now)
		}
	}
}

// turn looks once. A reader that has not taken the look before misses this one.
func (l *live) turn(now time.Time) {
	l.mu.Lock()
	watched := len(l.readers) > 0
	l.mu.Unlock()
	if !watched {
		l.count(now, l.view.Frontends())
		return
	}
	seen := l.look(now)
	seen.point = l.count(now, seen.frontends)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.readers {
		select {
		case c <- seen:
		default:
		}
	}
}

// look asks for everything; nothing in it carries a client address but recent, which shown filters.
func (l *live) look(now time.Time) *look {
	return &look{
		at: now, status: l.view.Status(), frontends: l.view.Frontends(), pools: l.view.Pools(),
		workers: l.view.Workers(), host: l.view.Host(), recent: l.view.Recent(),
	}
}

// count adds a point to the history and returns it.
func (l *live) count(now time.Time, frontends []balancer.FrontendStatus) point {
	sum := sumOf(now, frontends)
	l.mu.Lock()
	defer l.mu.Unlock()
	p := sum.since(l.before)
	l.before = sum
	if len(l.history) == historyOf {
		copy(l.history, l.history[1:])
		l.history = l.history[:historyOf-1]
	}
	l.history = append(l.history, p)
	return p
}

// join returns the history and a channel of looks to come.
func (l *live) join() ([]point, chan *look) {
	c := make(chan *look, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.readers[c] = true
	return append([]point{}, l.history...), c
}

// leave takes a reader out; the channel is not closed, since a turn may be about to send.
func (l *live) leave(c chan *look) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.readers, c)
}

// totals are sums over all frontends.
type totals struct {
	at                                            time.Time
	held                                          int64
	accepted, ended, refused, toBackend, toClient uint64
}

func sumOf(now time.Time, frontends []balancer.FrontendStatus) totals {
	t := totals{at: now}
	for i := range frontends {
		f := &frontends[i]
		t.held += f.Active
		t.accepted += f.Accepted
		t.ended += sum(f.Ended)
		t.refused += sum(f.Refused)
		t.toBackend += f.ToBackend
		t.toClient += f.ToClient
	}
	return t
}

func sum(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// point is one second of the plots: Unix time in seconds, sessions held, and per second: sessions opened, closed and
// refused, bytes to backends and to clients. An array, since a page takes 600 of them when it opens.
type point [7]float64

// since is what happened from one sum to the next; all 0 for the first.
func (t totals) since(before totals) point {
	p := point{unixSeconds(t.at), float64(t.held)}
	seconds := t.at.Sub(before.at).Seconds()
	if before.at.IsZero() || seconds <= 0 {
		return p
	}
	// A counter falls when a removed frontend's series go: that is no rate.
	rate := func(now, then uint64) float64 {
		if now < then {
			return 0
		}
		return float64(now-then) / seconds
	}
	p[2] = rate(t.accepted, before.accepted)
	p[3] = rate(t.ended, before.ended)
	p[4] = rate(t.refused, before.refused)
	p[5] = rate(t.toBackend, before.toBackend)
	p[6] = rate(t.toClient, before.toClient)
	return p
}

// watch streams what the status page shows: once `history`, then a `tick` every second. It carries no client address.
// Of the backends it carries one page of those that match ?find=, ?page=N from 0.
func (s *Server) watch(q request, w http.ResponseWriter, r *http.Request) *problem {
	want, p := rowsWanted(r.URL.Query())
	if p != nil {
		return p
	}
	st, done, p := openStream(q.door, w, r)
	if p != nil {
		return p
	}
	defer done()
	if r.Method == http.MethodHead {
		return nil
	}
	history, looks := s.live.join()
	defer s.live.leave(looks)
	first := s.live.look(time.Now())
	first.point = sumOf(first.at, first.frontends).since(totals{})
	if len(history) > 0 {
		first.point = history[len(history)-1] // has rates
	}
	if st.send("history", history) != nil || st.send("tick", first.tick(want, q.sees())) != nil {
		return nil
	}
	for {
		select {
		case <-r.Context().Done():
			return nil
		case seen := <-looks:
			if st.send("tick", seen.tick(want, q.sees())) != nil {
				return nil
			}
		}
	}
}

// rows says which backends a page shows.
type rows struct {
	find string // in lower case
	page int
}

// rowsWanted reads ?find= and ?page=; a page beyond the last is the last, which is known only when it is looked up.
func rowsWanted(v url.Values) (rows, *problem) {
	if p := onlyKeys(v, "find", "page"); p != nil {
		return rows{}, p
	}
	want := rows{find: strings.ToLower(strings.TrimSpace(v.Get("find")))}
	if !v.Has("page") {
		return want, nil
	}
	n, err := strconv.Atoi(v.Get("page"))
	if err != nil || n < 0 || n > 1<<20 {
		return rows{}, badQuery("page is a number from 0")
	}
	want.page = n
	return want, nil
}
