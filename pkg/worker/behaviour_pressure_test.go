package worker

import (
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// held is what the worker's sessions hold at a moment.
type held struct{ pipes, blocks, bytes int }

func (r *rig) held(t testing.TB) (h held) {
	t.Helper()
	r.ask(t, func(w *Worker) {
		h.pipes, h.blocks = w.mover.Pipes.Out(), w.mover.Blocks.Out()
		for slot := range w.slots.used {
			s := w.slots.at(slot)
			h.bytes += s.half[toBackend].Held() + s.half[toClient].Held()
		}
	})
	return h
}

// maxHeld is what a pipe of 1 MiB may hold at most: 256 slots of a page, each perhaps part of a larger one.
const maxHeld = 8 << 20

// awaitStandstill waits until the kernels' buffers have grown as far as they do and no byte moves.
func (r *rig) awaitStandstill(t testing.TB) {
	t.Helper()
	var last uint64
	same := 0
	eventually(t, "no byte moves", func() bool {
		time.Sleep(50 * time.Millisecond)
		n := r.counter(stats.ToBackend) + r.counter(stats.ToClient)
		if same++; n != last || n == 0 {
			same = 0
		}
		last = n
		return same == 4
	})
}

// A receiver that rests costs one pipe or one block a direction, and the sender waits: nothing else is buffered.
func TestStalledReceiverBlocksTheSender(t *testing.T) {
	eachMode(t, func(t *testing.T, s *stage) {
		const total = 64 << 20
		c, b := s.pair()
		ends := make(chan testkit.Transcript, 2)
		for _, p := range []*testkit.Peer{c, b} {
			go func() {
				tr, _ := p.Play(testkit.Send(total), testkit.HalfClose(), testkit.ReadToEnd())
				ends <- tr
			}()
		}
		s.awaitStandstill(t)
		s.wantQuiet(t)
		if h := s.held(t); h.pipes+h.blocks != 2 || h.bytes > 2*maxHeld {
			t.Errorf("a session that stalls both ways holds %+v, want two pipes or blocks", h)
		}
		s.ask(t, func(w *Worker) { w.endAll(stats.Killed) })
		for range 2 {
			if tr := <-ends; tr.Sent >= total {
				t.Errorf("a sender was never blocked: %v", tr)
			}
		}
		if h := s.held(t); h.pipes+h.blocks != 0 {
			t.Errorf("after the session %+v is still out", h)
		}
	})
}

// One direction that stalls leaves the other alone, and loses nothing when it goes on.
func TestStalledDirectionGoesOn(t *testing.T) {
	bothWays(t, func(t *testing.T, s *stage, from, to *testkit.Peer, _ int) {
		const total = 24 << 20
		behind(t, from, testkit.Send(total), testkit.HalfClose(), testkit.ReadToEnd())
		eventually(t, "the direction holds bytes", func() bool {
			h := s.held(t)
			return h.pipes+h.blocks == 1
		})
		play(t, to, testkit.Send(100))
		eventually(t, "the other direction moves", func() bool {
			return min(s.counter(stats.ToBackend), s.counter(stats.ToClient)) >= 100
		})
		wantStream(t, "reader", play(t, to, testkit.ReadToEnd(), testkit.Close()), total, testkit.EndFIN)
		if h := s.held(t); h.pipes+h.blocks != 0 {
			t.Errorf("afterwards %+v is still out", h)
		}
		eventually(t, "ended", func() bool { n := 0; s.ask(t, func(w *Worker) { n = w.Live() }); return n == 0 })
	})
}

// With all blocks at stalled sessions the others wait, and go on when there are blocks again; no byte is lost.
func TestTooFewBlocksMeanWaiting(t *testing.T) {
	testkit.LeakCheck(t)
	const stalled, total = 20, 1 << 20
	s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Mode, c.MaxBlocks = relay.Copy, 2 })
	s.smallSendBuffer(t)
	var clients []*testkit.Peer
	for range stalled {
		c, b := s.pair()
		clients = append(clients, c)
		behind(t, b, testkit.Send(total), testkit.Close())
	}
	eventually(t, "the blocks are out and sessions wait for one", func() (all bool) {
		s.ask(t, func(w *Worker) { all = w.mover.Blocks.Out() == 2 && w.starved.len > 0 })
		return all
	})
	s.wantQuiet(t)
	late, lb := s.pair()
	play(t, late, testkit.Send(3000), testkit.HalfClose())
	behind(t, lb, testkit.ReadToEnd(), testkit.Send(2000), testkit.Close())
	var readers sync.WaitGroup
	for i, c := range clients {
		readers.Go(func() {
			tr, err := c.Play(testkit.ReadToEnd(), testkit.Close())
			if err != nil || tr.Received != total || tr.FirstWrong >= 0 || tr.End != testkit.EndFIN {
				t.Errorf("client %d: %v %v", i, tr, err)
			}
		})
	}
	wantStream(t, "the client that found no block", play(t, late, testkit.ReadToEnd()), 2000, testkit.EndFIN)
	readers.Wait()
	eventually(t, "all ended clean", func() bool { return s.ended(stats.BackendFIN)+s.ended(stats.ClientFIN) == stalled+1 })
	if h := s.held(t); h.blocks != 0 {
		t.Errorf("%d blocks are still out", h.blocks)
	}
}

// Without pipes everything is copied.
func TestNoPipesMeansCopying(t *testing.T) {
	for name, mode := range map[string]relay.Mode{"auto": relay.Auto, "splice": relay.Splice} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Mode, c.Pipes = mode, &relay.PipeBudget{} })
			c, b := s.pair()
			const total = 8 << 20
			behind(t, b, testkit.Send(total), testkit.Close())
			wantStream(t, "client", play(t, c, testkit.ReadToEnd(), testkit.Close()), total, testkit.EndFIN)
			s.wantEnds(t, stats.BackendFIN, 1)
			if copied, spliced := s.own(stats.CopiedBytes), s.own(stats.SplicedBytes); copied != total || spliced != 0 {
				t.Errorf("%d bytes copied and %d spliced, want all copied", copied, spliced)
			}
		})
	}
}

// A bulk stream goes by splice, and the session that then talks in small pieces copies again and holds nothing.
func TestBulkIsSplicedAndTalkIsCopied(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, nil)
	c, b := s.pair()
	const total = 16 << 20
	sent := behind(t, b, testkit.Send(total))
	play(t, c, testkit.Read(total))
	sent()
	var spliced uint64
	s.ask(t, func(w *Worker) { spliced = w.mover.Spliced })
	if spliced < total/2 {
		t.Errorf("%d of %d bytes were spliced", spliced, total)
	}
	for range 6 {
		play(t, b, testkit.Send(100))
		play(t, c, testkit.Read(100), testkit.Pause(2*time.Millisecond))
	}
	var bulk bool
	s.ask(t, func(w *Worker) { bulk = w.slots.at(0).half[toClient].Splicing() })
	if h := s.held(t); bulk || h != (held{}) {
		t.Errorf("a session that talks: bulk %v, holds %+v", bulk, h)
	}
}

// A spliced message is sent at once: SPLICE_F_MORE, or Nagle's algorithm, would hold it back for 200 or 40 ms each time.
// The quickest of many exchanges by splice is compared with the quickest by copy.
func TestSplicedMessagesAreNotHeldBack(t *testing.T) {
	quickest := map[relay.Mode]time.Duration{}
	for _, mode := range []relay.Mode{relay.Copy, relay.Splice} {
		t.Run([...]string{"auto", "copy", "splice"}[mode], func(t *testing.T) {
			testkit.LeakCheck(t)
			s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Mode = mode })
			c, b := s.pair()
			for range 10 {
				began := time.Now()
				for range 2 { // the second one meets the first's acknowledgement, delayed
					play(t, c, testkit.Send(600))
				}
				play(t, b, testkit.Read(1200), testkit.Send(600))
				play(t, c, testkit.Read(600))
				if took := time.Since(began); quickest[mode] == 0 || took < quickest[mode] {
					quickest[mode] = took
				}
			}
		})
	}
	t.Logf("an exchange takes %v by copy, %v by splice", quickest[relay.Copy], quickest[relay.Splice])
	if quickest[relay.Splice] > 100*quickest[relay.Copy] {
		t.Errorf("an exchange takes %v by copy and %v by splice", quickest[relay.Copy], quickest[relay.Splice])
	}
}
