package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// step is an act and when it begins, as a share of the round.
type step struct {
	at   float64
	play func(context.Context)
}

// untilRound is the share of a round that acts take; the rest is for the farewell.
const untilRound = 0.96

// story tells round after round until the time is over or ctx ends.
func (d *demo) story(ctx context.Context) {
	rounds := []step{{0, d.connectAll}, {0.14, d.chat}, {0.32, d.killOne}, {0.60, d.bringBack}}
	for n := int64(0); d.For == 0 || n < int64(d.For/d.cycle); n++ {
		begin := d.screen.began.Add(time.Duration(n) * d.cycle)
		for _, s := range rounds {
			if !d.until(ctx, begin.Add(share(d.cycle, s.at))) {
				return
			}
			s.play(ctx)
		}
		if !d.until(ctx, begin.Add(share(d.cycle, untilRound))) {
			return
		}
		rounds = []step{{0.32, d.killOne}, {0.60, d.bringBack}}
	}
}

func share(d time.Duration, part float64) time.Duration { return time.Duration(float64(d) * part) }

// until waits for a moment; false if ctx ended.
func (d *demo) until(ctx context.Context, moment time.Time) bool {
	select {
	case <-time.After(time.Until(moment)):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// await looks until ok says so; false if ctx ended or patience did, which is a fault.
func (d *demo) await(ctx context.Context, what string, ok func() bool) bool {
	const every = 5 * time.Millisecond
	for deadline := time.Now().Add(patience); !ok(); {
		if !d.until(ctx, time.Now().Add(every)) {
			return false
		}
		if time.Now().After(deadline) {
			d.fault("%s: not within %s", what, patience)
			return false
		}
	}
	return true
}

func (d *demo) connectAll(ctx context.Context) {
	d.screen.act("%s connect", plural(d.Clients, "client"))
	d.crowd.expect(d.Clients)
	d.crowd.begin(max(share(d.cycle, 0.08), time.Duration(d.Clients)*200*time.Microsecond))
	if w, ok := d.awaitWave(ctx, "all clients connect"); ok {
		d.screen.line("%d sessions are held: %s", len(w.took), placesOf(w))
	}
}

func (d *demo) chat(context.Context) {
	long := 0
	for _, c := range d.crowd.clients {
		if c.long {
			long++
		}
	}
	d.screen.act("they chat")
	d.screen.line("numbered messages with checksums; %s of up to 1 MiB, which are spliced", pluralVerb(long, "client sends some", "clients send some"))
}

// killOne cuts the backend with the most sessions off, and sees its clients come back elsewhere.
func (d *demo) killOne(ctx context.Context) {
	victim := d.busiest()
	if victim == nil {
		return
	}
	held := victim.now().book.open.Load()
	others := d.sessions() - held
	d.screen.act("backend %s is killed", victim.name)
	d.screen.line("its listener is gone, its %s are reset, whatever was under way", plural(int(held), "connection"))
	d.crowd.expect(0)
	d.cuts.Add(1)
	dead := victim.kill()
	d.cuts.Add(1)
	if d.Backends == 1 {
		d.screen.line("it was the only one: its clients have to wait for it")
	} else {
		d.seeThemBack(ctx, dead, others)
	}
	d.await(ctx, "longsplice notices that "+victim.name+" is dead", func() bool { return d.stateOf(victim.name) != "healthy" })
}

// seeThemBack waits for the clients of a dead backend; others is how many sessions were elsewhere.
func (d *demo) seeThemBack(ctx context.Context, dead *life, others int64) {
	if !d.await(ctx, "the clients of "+dead.name+" notice", func() bool { return dead.book.open.Load() == 0 }) {
		return
	}
	w, ok := d.awaitWave(ctx, "the clients of "+dead.name+" come back elsewhere")
	if !ok {
		return
	}
	d.screen.good("%d of %d clients are back elsewhere: %s; %s", len(w.took), w.away, placesOf(w), timesOf(w))
	if d.brokenSessions() == 0 {
		d.screen.line("the other %s went on; %s under way with the dead one", plural(int(others), "session"), plural(int(dead.book.missing().messages), "message"))
	}
}

// bringBack starts the dead backend again, and once checks have found it, lets some clients leave and come again.
func (d *demo) bringBack(ctx context.Context) {
	for _, b := range d.backends {
		if b.alive() {
			continue
		}
		d.screen.act("backend %s returns", b.name)
		if !d.await(ctx, fmt.Sprintf("backend %s listens on %s again", b.name, b.addr), func() bool { return b.start() == nil }) {
			return
		}
		if !d.await(ctx, "longsplice finds "+b.name+" healthy", func() bool { return d.stateOf(b.name) == "healthy" }) {
			return
		}
		d.comeAgain(ctx, b)
	}
}

// comeAgain shows that sessions stay where they are, and that new ones reach the backend that returned.
func (d *demo) comeAgain(ctx context.Context, b *backend) {
	if d.Backends == 1 {
		if w, ok := d.awaitWave(ctx, "the clients come back"); ok {
			d.screen.good("%d of %d clients are back; %s", len(w.took), w.away, timesOf(w))
		}
		return
	}
	d.screen.line("healthy again; sessions stay where they are, new ones reach it")
	n := max(d.Clients/d.Backends, 1)
	d.crowd.expect(n)
	for i := range n {
		select {
		case d.crowd.clients[i*d.Clients/n].leave <- struct{}{}:
		default: // it is about to
		}
	}
	if w, ok := d.awaitWave(ctx, "the clients that left come again"); ok {
		d.screen.good("%s left and came again: %s", plural(n, "client"), placesOf(w))
	}
}

// awaitWave waits until all that are away have arrived.
func (d *demo) awaitWave(ctx context.Context, what string) (wave, bool) {
	ok := d.await(ctx, what, func() bool {
		w := d.crowd.seen()
		return len(w.took) >= w.away
	})
	return d.crowd.seen(), ok
}

// farewell lets every client send a last message and wait for its echo. Those that hang are cut off.
func (d *demo) farewell() {
	d.screen.act("everybody says goodbye")
	close(d.crowd.goodbye)
	if d.crowd.cutOff == nil {
		return
	}
	late := time.AfterFunc(patience, d.crowd.cutOff)
	d.crowd.running.Wait()
	late.Stop()
	d.crowd.cutOff()
}

// busiest is the living backend with the most sessions; nil if none has any.
func (d *demo) busiest() *backend {
	var best *backend
	most := int64(0)
	for _, b := range d.backends {
		if n := b.now().book.open.Load(); b.alive() && n > most {
			best, most = b, n
		}
	}
	return best
}

func (d *demo) anyAlive() bool { return slices.ContainsFunc(d.backends, (*backend).alive) }

// sessions is how many are held, as the clients see it.
func (d *demo) sessions() (n int64) {
	for _, b := range d.backends {
		n += b.now().book.open.Load()
	}
	return n
}

func (d *demo) brokenSessions() (n int64) {
	for _, x := range d.lives() {
		n += x.book.broken.Load()
	}
	return n
}

func (d *demo) lives() []*life {
	var all []*life
	for _, b := range d.backends {
		all = append(all, b.all()...)
	}
	return all
}

// life finds the life that a backend's answer names; nil if there is none.
func (d *demo) life(header string) *life {
	for _, x := range d.lives() {
		if x.id() == header {
			return x
		}
	}
	return nil
}

// stateOf is what longsplice thinks of a backend.
func (d *demo) stateOf(name string) string {
	for _, p := range d.bal.Pools() {
		for _, b := range p.Backends {
			if b.Name == name {
				return b.State
			}
		}
	}
	return ""
}

func placesOf(w wave) string {
	names := make([]string, 0, len(w.places))
	for n := range w.places {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) { // b2 before b10
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s %d", n, w.places[n]))
	}
	if len(parts) > mostShown {
		return fmt.Sprintf("%s and %d more", strings.Join(parts[:mostShown], ", "), len(parts)-mostShown)
	}
	return strings.Join(parts, ", ")
}

const mostShown = 6 // backends in one line

// timesOf tells how long clients were without a session.
func timesOf(w wave) string {
	if len(w.took) == 0 {
		return "none was away"
	}
	slices.Sort(w.took)
	return fmt.Sprintf("half within %s, the last after %s", ms(w.took[len(w.took)/2]), ms(w.took[len(w.took)-1]))
}

func ms(d time.Duration) string { return fmt.Sprintf("%d ms", d.Milliseconds()) }
