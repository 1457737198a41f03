package worker

import (
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// eachMode runs a test in every mode of moving bytes.
func eachMode(t *testing.T, test func(*testing.T, *stage)) {
	for _, mode := range []relay.Mode{relay.Auto, relay.Copy, relay.Splice} {
		t.Run([...]string{"auto", "copy", "splice"}[mode], func(t *testing.T) {
			testkit.LeakCheck(t)
			test(t, newStage(t, func(c *Config, _ *backend.Frontend) { c.Mode = mode }))
		})
	}
}

// bothWays runs a test once with the client and once with the backend as the one who sends.
func bothWays(t *testing.T, test func(t *testing.T, s *stage, from, to *testkit.Peer, fromBackend int)) {
	eachMode(t, func(t *testing.T, s *stage) {
		for i, who := range []string{"client", "backend"} {
			t.Run(who, func(t *testing.T) {
				s.t = t
				c, b := s.pair()
				p := [2]*testkit.Peer{c, b}
				test(t, s, p[i], p[other(i)], i)
			})
		}
	})
}

// A reset after data: the reader, however slow, gets every byte first and then a RST, no FIN.
func TestResetComesAfterTheLastByte(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, fromBackend int) {
		const total = 1 << 20
		play(t, from, testkit.Send(total), testkit.ResetFlushed())
		for range 20 {
			play(t, to, testkit.Read(10_000), testkit.Pause(5*time.Millisecond))
		}
		tr := play(t, to, testkit.ReadToEnd())
		wantStream(t, "reader", tr, total, testkit.EndReset)
		eventually(t, "counted as a reset", func() bool { return s.ended(stats.ClientReset+stats.Reason(fromBackend)) == 1 })
	})
}

// A reset with nothing before it crosses at once.
func TestResetOfASilentSession(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, fromBackend int) {
		play(t, from, testkit.Reset())
		wantStream(t, "reader", play(t, to, testkit.ReadToEnd()), 0, testkit.EndReset)
		eventually(t, "counted as a reset", func() bool { return s.ended(stats.ClientReset+stats.Reason(fromBackend)) == 1 })
	})
}

// The answer to a half-closed request comes whole, and then its FIN.
func TestAnswerAfterHalfClose(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, fromBackend int) {
		const request, answer = 300_000, 700_000
		asked := behind(t, from, testkit.Send(request), testkit.HalfClose())
		wantStream(t, "who answers", play(t, to, testkit.ReadToEnd()), request, testkit.EndFIN)
		asked()
		behind(t, to, testkit.Send(answer), testkit.Close())
		wantStream(t, "who asked", play(t, from, testkit.ReadToEnd()), answer, testkit.EndFIN)
		eventually(t, "counted as a clean end", func() bool { return s.ended(stats.ClientFIN+stats.Reason(fromBackend)) == 1 })
	})
}

// Closing with unread input is a RST on a direct connection, and stays one; what went out before arrives.
func TestCloseWithUnreadInputStaysAReset(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, fromBackend int) {
		play(t, to, testkit.Send(1000))
		play(t, from, testkit.Send(5000), testkit.AwaitQueued(1000))
		play(t, to, testkit.Read(5000))
		play(t, from, testkit.Close())
		wantStream(t, "reader", play(t, to, testkit.ReadToEnd()), 5000, testkit.EndReset)
		eventually(t, "counted as a reset", func() bool { return s.ended(stats.ClientReset+stats.Reason(fromBackend)) == 1 })
	})
}

// An urgent byte crosses as one, at its place, the bytes behind it too; and the worker rests afterwards.
func TestUrgentByteCrossesAndTheWorkerRests(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, _ int) {
		const before, after = 200_007, 100_003
		sent := behind(t, from, testkit.Send(before), testkit.Urgent(), testkit.Send(after))
		tr := play(t, to, testkit.AwaitUrgent())
		tr = play(t, to, testkit.Read(before+after-tr.Received))
		sent()
		s.wantQuiet(t)
		if len(tr.Urgent) != 1 || tr.Urgent[0] != (testkit.Mark{At: before, Value: 'A'}) {
			t.Errorf("urgent bytes %v, want one at %d", tr.Urgent, before)
		}
		play(t, from, testkit.HalfClose())
		wantStream(t, "reader", play(t, to, testkit.ReadToEnd()), before+after, testkit.EndFIN)
	})
}

// An urgent byte nobody reads for a while costs no turns either.
func TestUnreadUrgentByteCostsNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, _ int) {
		play(t, from, testkit.Send(10), testkit.Urgent())
		s.wantQuiet(t)
		play(t, to, testkit.AwaitUrgent())
	})
}
