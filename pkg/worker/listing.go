package worker

import (
	"github.com/longsplice/longsplice/pkg/accesslog"
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Entry is one live session as listings show it. Times in ms.
type Entry struct {
	ID                  uint64
	Worker              int
	State               string // dialling relaying closing
	Frontend            *backend.Frontend
	Backend             *backend.Backend // nil: none picked
	Client              sys.Addr
	Listen              string
	Source              sys.Addr // zero while dialling or on a unix socket
	AgeMs, IdleMs       int64
	ToBackend, ToClient uint64
	HeldBytes           int
	Splicing            [2]bool // to backend, to client
	ClientTCP           sys.TCPInfo
	BackendTCP          sys.TCPInfo

	slot uint32
}

// Listing finds sessions of a worker, a few in each turn: all that match, or the first Max of them in the order of Key.
type Listing struct {
	Match   func(*Entry) bool  // called on the worker's thread, before what costs system calls is filled in; nil: all
	Key     func(*Entry) int64 // the highest first, and where it is equal by ascending id; nil: by id alone
	After   uint64             // only ids above this are kept
	Max     int                // how many entries to keep, 0: all
	Entries []Entry            // once it is done, in no order
	Seen    int                // sessions looked at that matched, kept or not
	cursor  uint32
	asked   int     // entries that the kernel was asked about
	heap    []int32 // once Entries are Max: their indices, the last in order at the top
}

// maxListed is how many slots a listing looks at in one turn.
const maxListed = 256

// Step is an order's Run: it looks at the next slots, then asks the kernel about the sessions that are kept, and returns
// true after the last.
func (l *Listing) Step(w *Worker) bool {
	for range maxListed {
		switch {
		case l.cursor < w.slots.used:
			if s := w.slots.at(l.cursor); s.state != free && s.state != dead {
				l.add(w, s)
			}
			l.cursor++
		case l.asked < len(l.Entries):
			e := &l.Entries[l.asked]
			if s := w.slots.at(e.slot); s.id == e.ID && s.state != free && s.state != dead { // it may have ended meanwhile
				w.askKernel(s, e)
			}
			l.asked++
		default:
			return true
		}
	}
	return l.cursor >= w.slots.used && l.asked >= len(l.Entries)
}

func (l *Listing) add(w *Worker, s *session) {
	e := w.entry(s)
	if l.Match != nil && !l.Match(&e) {
		return
	}
	l.Seen++
	e.slot = l.cursor
	switch {
	case e.ID <= l.After:
	case l.Max == 0 || len(l.Entries) < l.Max:
		l.Entries = append(l.Entries, e)
		if len(l.Entries) == l.Max {
			l.heapify()
		}
	case l.behind(&l.Entries[l.heap[0]], &e):
		l.Entries[l.heap[0]] = e
		l.sift(0)
	}
}

// behind tells whether a comes after b in the listing's order.
func (l *Listing) behind(a, b *Entry) bool {
	if l.Key != nil {
		if ka, kb := l.Key(a), l.Key(b); ka != kb {
			return ka < kb
		}
	}
	return a.ID > b.ID
}

// heapify makes a binary heap of all entries.
func (l *Listing) heapify() {
	for i := range l.Entries {
		l.heap = append(l.heap, int32(i))
	}
	for i := len(l.heap) / 2; i >= 0; i-- {
		l.sift(i)
	}
}

// sift lets the entry at i sink to its place.
func (l *Listing) sift(i int) {
	for {
		below := 2*i + 1
		if below >= len(l.heap) {
			return
		}
		if next := below + 1; next < len(l.heap) && l.behind(&l.Entries[l.heap[next]], &l.Entries[l.heap[below]]) {
			below = next
		}
		if !l.behind(&l.Entries[l.heap[below]], &l.Entries[l.heap[i]]) {
			return
		}
		l.heap[i], l.heap[below] = l.heap[below], l.heap[i]
		i = below
	}
}

// entry is what is known of a session without asking the kernel.
func (w *Worker) entry(s *session) Entry {
	e := Entry{
		ID: s.id, Worker: w.ID, State: [...]string{"", "dialling", "relaying", "closing", "closing", ""}[s.state],
		Frontend: w.frontend(s), Client: s.peer, Listen: w.listeners[s.listener].Name,
		AgeMs: w.nowMs - s.beganMs, IdleMs: w.nowMs - s.lastMs,
		ToBackend: s.half[toBackend].Bytes, ToClient: s.half[toClient].Bytes,
		HeldBytes: s.half[toBackend].Held() + s.half[toClient].Held(),
		Splicing:  [2]bool{s.half[toBackend].Splicing(), s.half[toClient].Splicing()},
	}
	if s.backend != backend.NoBackend {
		e.Backend = w.snap.Backends[s.backend]
	}
	return e
}

func (w *Worker) askKernel(s *session, e *Entry) {
	if fd := s.fd[client]; fd >= 0 {
		e.ClientTCP, _ = w.k.TCPInfo(int(fd))
	}
	if fd := s.fd[server]; fd >= 0 && s.state != dialling {
		e.BackendTCP, _ = w.k.TCPInfo(int(fd))
		e.Source, _ = w.k.LocalAddr(int(fd))
	}
}

// log hands a line to the access log; a full ring drops it and counts.
func (w *Worker) log(slot uint32, s *session, start bool) {
	wallMs := w.WallMs()
	r := accesslog.Record{
		Start: start, ID: s.id, Frontend: w.frontend(s).Name, Pool: w.frontend(s).Pool.Name,
		Listen: w.listeners[s.listener].Name, Client: s.peer,
		BeganUnixMs: wallMs - (w.nowMs - s.beganMs), DurationUs: (w.nowMs - s.beganMs) * 1000,
		ToBackend: s.half[toBackend].Bytes, ToClient: s.half[toClient].Bytes,
		Spliced: s.has(spliced), Reason: s.reason, Errno: sys.Errno(s.errno), Retries: s.retries, Worker: w.ID,
	}
	if s.backend != backend.NoBackend {
		b := w.snap.Backends[s.backend]
		r.Backend, r.BackendAddr = b.Name, b.Address
		if s.has(established) {
			r.ConnectUs = int64(s.connectUs)
			r.Source = w.source(slot, s)
		}
	}
	if !w.Log.Put(&r) {
		w.own.Add(stats.LogDropped, 1)
	}
}

// source is our end of the backend's connection.
func (w *Worker) source(slot uint32, s *session) sys.Addr {
	if s.fd[server] < 0 {
		return w.sources[slot]
	}
	a, _ := w.k.LocalAddr(int(s.fd[server]))
	return a
}
