package balancer

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// hub passes events on: to the process log, to subscribers and to a short memory. An event of one name and subject is
// passed on at most once in quietFor; what was kept back is counted in the next, or told by itself when that time is over.
type hub struct {
	mu          sync.Mutex
	log         func(Event)
	recent      []Event
	subscribers map[chan Event]bool
	last        map[[2]string]*muted
	now         func() time.Time
}

// muted is what is known of one name and subject.
type muted struct {
	at         time.Time // when one was passed on
	suppressed int
	last       Event // of those kept back
}

const (
	quietFor     = 10 * time.Second
	forgetAfter  = time.Hour // a count of what was kept back is of no interest any more
	recentEvents = 200
	eventBuffer  = 64
)

func newHub(log func(Event)) *hub {
	if log == nil {
		log = func(Event) {}
	}
	return &hub{log: log, subscribers: map[chan Event]bool{}, last: map[[2]string]*muted{}, now: time.Now}
}

// emit passes an event on, unless one like it was passed on a moment ago.
func (h *hub) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Time = h.now()
	key := [2]string{e.Name, e.Subject}
	m := h.last[key]
	if m == nil {
		h.forgetOld(e.Time)
		m = &muted{}
		h.last[key] = m
	} else if e.Time.Sub(m.at) < quietFor {
		m.suppressed++
		m.last = e
		return
	}
	e.Suppressed = m.suppressed
	h.tell(m, e)
}

// flush tells of what was kept back and has had no successor since quietFor is over: the last of each name and subject, and
// how many there were before it.
func (h *hub) flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.now()
	for _, m := range h.last {
		if m.suppressed == 0 || now.Sub(m.at) < quietFor {
			continue
		}
		e := m.last
		e.Suppressed = m.suppressed - 1
		e.Message = fmt.Sprintf("kept back at %s: %s", e.Time.Format("15:04:05"), e.Message)
		e.Time = now
		h.tell(m, e)
	}
}

// tell passes an event on. The caller holds h.mu.
func (h *hub) tell(m *muted, e Event) {
	*m = muted{at: e.Time}
	h.recent = append(h.recent, e)
	if len(h.recent) > recentEvents {
		h.recent = append(h.recent[:0:0], h.recent[1:]...)
	}
	h.log(e)
	for s := range h.subscribers {
		select {
		case s <- e:
		default: // a slow reader loses events, it holds nobody up
		}
	}
}

// note writes to the log alone: what nobody is to be told of, and who looks for it finds.
func (h *hub) note(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.Time = h.now()
	h.log(e)
}

// forgetOld keeps the memory of subjects small.
func (h *hub) forgetOld(now time.Time) {
	for key, m := range h.last {
		if age := now.Sub(m.at); age >= quietFor && m.suppressed == 0 || age >= forgetAfter {
			delete(h.last, key)
		}
	}
}

// subscribe returns a channel that is closed when ctx ends.
func (h *hub) subscribe(ctx context.Context) <-chan Event {
	c := make(chan Event, eventBuffer)
	h.mu.Lock()
	h.subscribers[c] = true
	h.mu.Unlock()
	context.AfterFunc(ctx, func() {
		h.mu.Lock()
		delete(h.subscribers, c)
		close(c)
		h.mu.Unlock()
	})
	return c
}

func (h *hub) list() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Event(nil), h.recent...)
}

// Emit tells everybody who listens of an event.
func (b *Balancer) Emit(e Event) { b.events.emit(e) }

// Subscribe returns events from now on, until ctx ends. A reader that is too slow loses some.
func (b *Balancer) Subscribe(ctx context.Context) <-chan Event { return b.events.subscribe(ctx) }

// Recent returns the last events, oldest first.
func (b *Balancer) Recent() []Event { return b.events.list() }
