package demo

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// crowd is all clients.
type crowd struct {
	clients []*client
	goodbye chan struct{} // closed: send a last message, wait for its echo, close
	cutOff  context.CancelFunc
	running sync.WaitGroup

	mu   sync.Mutex
	wave wave
}

// wave is what one act set in motion: clients that have no session and those that got one.
type wave struct {
	away   int             // clients that were to arrive
	took   []time.Duration // of those that have arrived, from losing the old session
	places map[string]int  // where, by backend
}

// client holds one session at a time; where it breaks, the client comes back.
type client struct {
	*demo
	id       int
	long     bool          // sends long messages, too
	sessions uint32        // so far
	leave    chan struct{} // come again with a new session
}

// Long messages are for some, so that a large crowd does not fill the machine with them.
const (
	longShare   = 10
	longClients = 32
)

// newCrowd makes the clients; they begin with the wave of the first act.
func newCrowd(d *demo) *crowd {
	w := &crowd{goodbye: make(chan struct{})}
	for i := range d.Clients {
		long := i%longShare == 0 && i/longShare < longClients
		w.clients = append(w.clients, &client{demo: d, id: i + 1, long: long, leave: make(chan struct{}, 1)})
	}
	return w
}

// begin lets all clients connect, one after the other over ramp.
func (w *crowd) begin(ramp time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	w.cutOff = cancel
	for i, c := range w.clients {
		w.running.Go(func() { c.run(ctx, ramp*time.Duration(i)/time.Duration(len(w.clients))) })
	}
}

// expect begins a new wave.
func (w *crowd) expect(away int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wave = wave{away: away, places: map[string]int{}}
}

// lost adds a client to the wave.
func (w *crowd) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wave.away++
}

func (w *crowd) arrived(place string, took time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wave.took = append(w.wave.took, took)
	w.wave.places[place]++
}

// seen is the wave so far.
func (w *crowd) seen() wave {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := wave{away: w.wave.away, took: append([]time.Duration(nil), w.wave.took...), places: map[string]int{}}
	for place, n := range w.wave.places {
		s.places[place] = n
	}
	return s
}

// run keeps one session after the other until the crowd leaves. ctx ends what still hangs then.
func (c *client) run(ctx context.Context, after time.Duration) {
	lost := time.Now().Add(after)
	for try := 0; c.wait(after); {
		s := c.connect(ctx)
		if s == nil {
			try++
			after = c.backoff(try)
			continue
		}
		c.crowd.arrived(s.life.name, time.Since(lost))
		c.hold(ctx, s)
		lost, try, after = time.Now(), 0, c.backoff(0)
	}
}

// connect opens a session. That fails, and no harm is done, while a backend is being killed or none is alive.
func (c *client) connect(ctx context.Context) *session {
	cuts, alive := c.cuts.Load(), c.anyAlive()
	s, err := c.dial(ctx)
	if err == nil {
		return s
	}
	c.refused.Add(1)
	if cuts%2 == 0 && cuts == c.cuts.Load() && alive && ctx.Err() == nil {
		c.refusedWrongly.Add(1)
		c.fault("client %d could not connect although backends are there: %v", c.id, err)
	}
	return nil
}

// hold runs a session to its end and books that.
func (c *client) hold(ctx context.Context, s *session) {
	b := &s.life.book
	b.opened.Add(1)
	b.open.Add(1)
	defer b.open.Add(-1)
	err := s.run(ctx)
	switch {
	case err == nil:
	case s.life.killed.Load():
		b.cut.Add(1)
		c.crowd.lost()
	default:
		b.broken.Add(1)
		c.fault("a session of client %d with %s broke: %v", c.id, s.life.name, err)
	}
}

// backoff is the pause before the next try: doubled each time, and different for all, so that they do not come at once.
func (c *client) backoff(try int) time.Duration {
	const doublings = 4
	return jittered(min(c.cycle/200, 100*time.Millisecond) << min(try, doublings))
}

// pause is how long a client is silent between two turns: about a second, less in a short story, more in a large crowd.
func (c *client) pause() time.Duration {
	short := min(max(c.cycle/15, 100*time.Millisecond), time.Second)
	return jittered(max(short, time.Duration(c.Clients)*time.Millisecond))
}

// wait is false if the crowd leaves meanwhile.
func (c *client) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.crowd.goodbye:
		return false
	}
}

// jittered is d, give or take half of it.
func jittered(d time.Duration) time.Duration {
	return d/2 + rand.N(d+1)
}
