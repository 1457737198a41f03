package worker

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/sys"
)

// napping counts naps, and tells the time that it is told.
type napping struct {
	sys.Real
	naps  int
	nowNs int64
}

func (k *napping) Nap(int)      { k.naps++ }
func (k *napping) NowNs() int64 { return k.nowNs }

// gatherBench carries 128 KiB a round from the client's end of a session to the other; answer sends them back.
type gatherBench struct {
	*bench
	k    *napping
	c, s int
	buf  []byte
}

func newGatherBench(t *testing.T) *gatherBench {
	k := &napping{nowNs: 1e9}
	g := &gatherBench{bench: newBench(t, k), k: k, buf: make([]byte, 128<<10)}
	g.c, g.s = g.connect()
	return g
}

func (g *gatherBench) carry(from, to int) {
	g.t.Helper()
	sent, got := 0, 0
	g.turnUntil(func() bool {
		if n, errno := g.k.Send(from, g.buf[sent:], 0); sent < len(g.buf) && errno == 0 {
			sent += n
		}
		if n, errno := g.k.Recv(to, g.buf, 0); errno == 0 {
			got += n
		}
		return got == len(g.buf)
	})
}

// napsIn is the naps of the rounds that follow as many more, in which the worker comes to know what it carries.
func (g *gatherBench) napsIn(round func()) int {
	for range 2 * answerTurns {
		round()
	}
	before := g.k.naps
	for range 50 {
		round()
	}
	return g.k.naps - before
}

// Bytes gather while streams alone are carried.
func TestStreamsGather(t *testing.T) {
	g := newGatherBench(t)
	if n := g.napsIn(func() { g.k.nowNs += 1e6; g.carry(g.c, g.s) }); n == 0 {
		t.Error("no nap between the turns of a stream")
	}
	g.hangUp(g.c, g.s)
}

// Nobody who talks waits for that: neither with large messages, nor beside a stream.
func TestTalkersDoNotWaitForStreams(t *testing.T) {
	t.Run("large messages", func(t *testing.T) {
		g := newGatherBench(t)
		n := g.napsIn(func() { g.k.nowNs += 1e6; g.carry(g.c, g.s); g.carry(g.s, g.c) })
		if n != 0 {
			t.Errorf("%d naps between messages and their answers", n)
		}
		g.hangUp(g.c, g.s)
	})
	t.Run("beside a stream", func(t *testing.T) {
		g := newGatherBench(t)
		c, s := g.connect()
		n := g.napsIn(func() { g.k.nowNs += 1e6; g.pass(c, s); g.carry(g.c, g.s) })
		if n != 0 {
			t.Errorf("%d naps in front of messages", n)
		}
		g.hangUp(c, s)
		g.hangUp(g.c, g.s)
	})
}
