package testkit

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// RandomScript makes a script from a seed: rounds of sends in odd chunks, pauses, readers that stop for a while and urgent
// bytes, in both directions at once, then one of the ends of a connection. Its outcome through a balancer is comparable
// with the direct one: at most one urgent byte is in flight, and where an end cuts a stream it does so in both runs.
func RandomScript(seed uint64) Script {
	g := &generator{rng: rand.New(rand.NewPCG(seed, 0x10)), s: Script{Name: fmt.Sprintf("random %d", seed), Seed: seed}}
	g.both(StartReading())
	for range 1 + g.rng.IntN(6) {
		g.round()
	}
	g.end()
	return g.s
}

type generator struct {
	rng *rand.Rand
	s   Script
}

func (g *generator) both(steps ...Step) { g.add(&g.s.Client, steps...); g.add(&g.s.Server, steps...) }

func (g *generator) add(to *[]Step, steps ...Step) { *to = append(*to, steps...) }

// sides returns the two step lists, either one first.
func (g *generator) sides() (a, b *[]Step) {
	if g.rng.IntN(2) == 0 {
		return &g.s.Client, &g.s.Server
	}
	return &g.s.Server, &g.s.Client
}

func (g *generator) round() {
	a, b := g.sides()
	switch g.rng.IntN(6) {
	case 0, 1:
		g.add(a, g.send())
	case 2:
		g.both(g.send())
	case 3: // an urgent byte, with or without bytes behind it
		g.add(a, g.send(), Urgent())
		if g.rng.IntN(2) == 0 {
			g.add(a, g.send())
		}
		g.add(a, Meet())
		g.add(b, AwaitUrgent(), Meet())
	case 4: // a reader that takes nothing while bytes come
		g.add(b, Meet(), StopReading(), Pause(g.pause()), StartReading())
		g.add(a, Meet(), g.send())
	case 5:
		g.add(a, Pause(g.pause()), g.send())
	}
}

// send is 1 byte to 512 KiB, small more often than large, sometimes in pieces.
func (g *generator) send() Step {
	n := 1 + g.rng.Int64N(1<<g.rng.IntN(20))
	if n <= 4096 && g.rng.IntN(2) == 0 {
		return SendIn(n, 1+g.rng.IntN(100))
	}
	return Send(n)
}

func (g *generator) pause() time.Duration { return time.Duration(g.rng.IntN(3000)) * time.Microsecond }

func (g *generator) end() {
	a, b := g.sides()
	switch g.rng.IntN(6) {
	case 0: // both end their own stream
		g.both(HalfClose(), ReadToEnd(), Close())
	case 1: // b answers after a's end
		g.add(a, HalfClose(), ReadToEnd(), Close())
		g.add(b, ReadToEnd(), g.send(), HalfClose(), Close())
	case 2: // a cuts the stream with everything delivered
		g.add(a, ResetFlushed())
		g.add(b, ReadToEnd(), Close())
	case 3: // a cuts the stream
		g.add(a, g.send(), Reset())
		g.add(b, ReadToEnd(), Close())
	case 4: // a closes over input that it never read; the second Meet: it has stopped
		g.add(a, Meet(), StopReading(), Meet(), AwaitQueued(1), Close())
		g.add(b, Meet(), Meet(), g.send(), ReadToEnd(), Close())
	case 5: // a resets after its FIN: b has the FIN; its second Meet: a is gone
		g.add(a, HalfClose(), Meet(), Reset())
		g.add(b, ReadToEnd(), Meet(), Meet(), Close())
	}
}
