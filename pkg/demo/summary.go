package demo

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// balance is the books of a run, closed.
type balance struct {
	sent, received, returned amount
	underWay                 amount // sent to a backend that was killed and not come back: expected
	lost                     amount // sent to others and not come back
	unread                   amount // sent to others and never received there

	wrong               int64
	opened, cut, broken int64
	refused             int64 // connects that failed
	refusedWrongly      int64
	kills               int

	wires         []wireBalance // of the backends that lived through
	left          int64         // sessions that longsplice still held at the end
	peak          int64
	copied, moved uint64
	ended         map[string]uint64
}

// wireBalance is the bytes that three saw of one backend's sessions: its clients, longsplice, and itself.
type wireBalance struct {
	name      string
	toBackend [3]int64
	toClient  [3]int64
}

func (w wireBalance) even() bool {
	return w.toBackend[0] == w.toBackend[1] && w.toBackend[1] == w.toBackend[2] &&
		w.toClient[0] == w.toClient[1] && w.toClient[1] == w.toClient[2]
}

// balance closes the books. longsplice may be a moment behind: it is waited for.
func (d *demo) balance() *balance {
	const settle, every = 3 * time.Second, 10 * time.Millisecond
	for deadline := time.Now().Add(settle); ; time.Sleep(every) {
		b := d.reckon()
		if b.settled() || time.Now().After(deadline) {
			return b
		}
	}
}

func (b *balance) settled() bool {
	for _, w := range b.wires {
		if !w.even() {
			return false
		}
	}
	return b.left == 0
}

// reckon sums what has been counted so far.
func (d *demo) reckon() *balance {
	b := &balance{refused: d.refused.Load(), refusedWrongly: d.refusedWrongly.Load()}
	for _, x := range d.lives() {
		b.add(x)
	}
	status := d.bal.Status()
	b.left, b.peak = status.Sessions.Held, status.Sessions.Peak
	for _, w := range d.bal.Workers() {
		b.copied += w.CopiedBytes
		b.moved += w.CopiedBytes + w.SplicedBytes
	}
	b.ended = d.bal.Frontends()[0].Ended
	b.wires = d.wires()
	return b
}

func (b *balance) add(x *life) {
	k := &x.book
	b.sent = b.sent.plus(k.sent.amount())
	b.received = b.received.plus(k.received.amount())
	b.returned = b.returned.plus(k.returned.amount())
	b.wrong += k.wrong.Load() + k.spoilt.messages.Load()
	b.opened += k.opened.Load()
	b.cut += k.cut.Load()
	b.broken += k.broken.Load()
	missing := k.missing()
	if x.killed.Load() {
		b.kills++
		b.underWay = b.underWay.plus(missing)
		return
	}
	b.lost = b.lost.plus(missing)
	b.unread = b.unread.plus(k.sent.amount().minus(k.received.amount()))
}

// wires compares the bytes on the sockets, for backends that lived through: of the others some died in buffers.
func (d *demo) wires() []wireBalance {
	relayed := map[string]balancer.BackendStatus{}
	for _, p := range d.bal.Pools() {
		for _, s := range p.Backends {
			relayed[s.Name] = s
		}
	}
	var all []wireBalance
	for _, b := range d.backends {
		x := b.now()
		if x.number > 1 || x.killed.Load() {
			continue
		}
		s, k := relayed[b.name], &x.book
		all = append(all, wireBalance{
			name:      b.name,
			toBackend: [3]int64{k.client.wrote.Load(), int64(s.ToBackend), k.backend.read.Load()},
			toClient:  [3]int64{k.backend.wrote.Load(), int64(s.ToClient), k.client.read.Load()},
		})
	}
	return all
}

// faults is everything that makes the run a failure.
func (b *balance) faults() []string {
	var f []string
	add := func(is bool, format string, args ...any) {
		if is {
			f = append(f, fmt.Sprintf(format, args...))
		}
	}
	add(b.wrong > 0, "%s wrong", plural(int(b.wrong), "message"))
	add(b.lost != amount{}, "%s (%d bytes) lost outside the killed backend", plural(int(b.lost.messages), "message"), b.lost.bytes)
	add(b.unread != amount{}, "backends received %d messages (%d bytes) less than clients sent them", b.unread.messages, b.unread.bytes)
	add(b.broken > 0, "%s broke outside the killed backend", plural(int(b.broken), "session"))
	add(b.refusedWrongly > 0, "%d connects failed while backends were there", b.refusedWrongly)
	add(b.left > 0, "longsplice still holds %d sessions", b.left)
	for _, w := range b.wires {
		add(!w.even(), "the bytes of %s differ: to the backend %v, to clients %v (sent, relayed, received)", w.name, w.toBackend, w.toClient)
	}
	return f
}

// summary prints the books.
func (d *demo) summary(b *balance) {
	s := d.screen
	s.print("")
	s.print(s.paint(bold, fmt.Sprintf("Summary after %.1f s", time.Since(s.began).Seconds())))
	row := func(what string, a amount, note string) {
		s.print(strings.TrimRight(fmt.Sprintf("  %-32s%14s%20s   %s", what, count(a.messages), count(a.bytes), note), " "))
	}
	s.print(s.paint(dim, fmt.Sprintf("  %-32s%14s%20s", "", "messages", "bytes")))
	row("clients sent", b.sent, "")
	row("backends received", b.received, "")
	row("came back right and in order", b.returned, "")
	row("cut off with a killed backend", b.underWay, "expected: under way when it died")
	s.print(s.verdict(fmt.Sprintf("  %-32s%14s%20s", "lost", count(b.lost.messages), count(b.lost.bytes)), b.lost == amount{}))
	s.print(s.verdict(fmt.Sprintf("  %-32s%14s", "wrong", count(b.wrong)), b.wrong == 0))
	s.print("")
	s.pair("  sessions", fmt.Sprintf("%s, %s at once; %d cut off by %s, %d broke otherwise", count(b.opened), count(b.peak), b.cut, plural(b.kills, "kill"), b.broken))
	if b.refused > 0 {
		s.pair("  connects failed", fmt.Sprintf("%d, of them %d while backends were there", b.refused, b.refusedWrongly))
	}
	s.pair("  ended as", endings(b.ended))
	s.pair("  relayed", fmt.Sprintf("%s, %s of them spliced", size(int64(b.moved)), size(int64(b.moved-b.copied))))
	for _, w := range b.wires {
		s.pair("  on "+w.name+"'s wires", wireWords(w))
	}
	s.print("")
	if n := len(d.faults) + len(b.faults()); n == 0 {
		s.print(s.paint(green, "Every byte is accounted for: 0 wrong, 0 lost."))
	}
}

func (s *screen) verdict(text string, good bool) string {
	if good {
		return s.paint(green, text)
	}
	return s.paint(red, text)
}

func wireWords(w wireBalance) string {
	if w.even() {
		return fmt.Sprintf("%s bytes there and %s back, the same for clients, longsplice and %s", count(w.toBackend[0]), count(w.toClient[0]), w.name)
	}
	return fmt.Sprintf("there %v, back %v: they differ", w.toBackend, w.toClient)
}

// endings is longsplice's own count, those that are not 0.
func endings(ended map[string]uint64) string {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(ended)) {
		if ended[reason] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", reason, count(int64(ended[reason]))))
		}
	}
	return strings.Join(parts, ", ")
}
