package worker

import (
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Bounds of one wait, in ms.
const (
	maxWaitMs    = 500 // so that a stopped machine is told from a quiet one
	pausedWaitMs = 20  // accepting is paused: another worker may free room
	shedWaitMs   = 10
	busyWaitMs   = 5 // after a turn with work: short enough for sys.Real to keep the thread's P
)

// gatherUs is for how long bytes may gather between two turns that do nothing but carry streams. Without it a worker that is
// faster than its senders wakes for every segment: each system call then moves 64 KiB where it could move a megabyte.
const gatherUs = 100

// quietMs is how long nobody must have talked for that: a message is not made to wait for a stream.
const quietMs = 2

// standstillMs is a gap between two turns that no wait explains: the machine was paused.
const standstillMs = 5000

// turn is one round of the loop: wait, dispatch, work left over, timers, orders, burials.
func (w *Worker) turn() {
	n := w.wait()
	w.readClock()
	for i := range n {
		w.dispatch(&w.events[i])
	}
	w.runReady()
	w.runTimers()
	w.runOrders()
	w.runSheddings()
	w.bury()
	w.resumeAccepting()
	w.feedStarved()
	w.turns++
	if w.Steering != nil {
		w.Steering.Tell(w.held())
	}
	if n > 0 {
		w.account()
	}
}

// wait asks for events. After a turn's work a short wait comes first; only when that was in vain, and everything
// counted is published, a long one.
func (w *Worker) wait() int {
	ms := w.waitMs()
	if ms > 0 && w.streamed == w.turns && w.nowMs-w.talkedMs >= quietMs {
		w.k.Nap(gatherUs)
	}
	n, errno := w.k.EpollWait(w.epfd, w.events[:], min(ms, busyWaitMs))
	if errno != 0 {
		panic(callError{"epoll_wait", errno}) // our own descriptors are broken: nothing can go on
	}
	if n > 0 || ms <= busyWaitMs {
		return n
	}
	w.publish()
	n, errno = w.k.EpollWait(w.epfd, w.events[:], ms)
	if errno != 0 {
		panic(callError{"epoll_wait", errno})
	}
	return n
}

// waitMs is how long there is nothing to do but for events.
func (w *Worker) waitMs() int {
	if w.ready.any() || w.pending != nil || w.orders.Load() != nil {
		return 0
	}
	longest := maxWaitMs
	if w.paused > 0 {
		longest = pausedWaitMs
	}
	if len(w.sheds) > 0 {
		longest = shedWaitMs
	}
	return w.wheel.WaitMs(w.nowMs, longest)
}

// readClock reads the clock, once a turn. A gap that is far longer than any wait means that the machine stood still
// (a paused virtual machine): that time is taken out of the worker's clock, so that nothing expires at once.
func (w *Worker) readClock() {
	ns := w.k.NowNs()
	ms := ns/1e6 - w.skippedMs
	if w.nowMs != 0 && ms-w.nowMs > standstillMs {
		w.skippedMs += ms - w.nowMs - maxWaitMs
		ms = w.nowMs + maxWaitMs
	}
	w.nowNs, w.nowMs = ns, ms
}

// monotonicMs is the time other workers and the control side see, for what is shared with them.
func (w *Worker) monotonicMs() int64 { return w.nowNs / 1e6 }

// dispatch gives one event to its stage.
func (w *Worker) dispatch(ev *sys.Event) {
	t := ev.Token()
	slot, kind := tokenSlot(t), tokenKind(t)
	switch kind {
	case kindWake:
		w.k.ClearWake(w.wakefd)
		return
	case kindListener:
		if l := &w.listeners[slot]; l.generation == tokenGeneration(t) {
			w.accept(slot)
		}
		return
	}
	s := w.slots.at(slot)
	if s.generation != tokenGeneration(t) || s.state == free || s.state == dead {
		w.own.Add(stats.StaleEvents, 1)
		return
	}
	switch s.state {
	case dialling:
		w.dialEvent(slot, s, kind, ev.Events)
	case relaying:
		w.relayEvent(slot, s, kind, ev.Events)
	case resetting, lingering:
		w.closeEvent(slot, s, kind, ev.Events)
	}
}

// runReady goes on with the sessions that had used up their budget, each once.
func (w *Worker) runReady() {
	for n := w.ready.len; n > 0; n-- {
		slot := w.ready.pop(&w.slots)
		if s := w.slots.at(slot); s.state == relaying {
			w.relay(slot, s)
		}
	}
}

// feedStarved lets sessions read that found no block, when there is one again.
func (w *Worker) feedStarved() {
	if w.starved.any() && w.mover.Blocks.Available() {
		for w.starved.any() {
			w.ready.push(&w.slots, w.starved.pop(&w.slots))
		}
	}
}

func (w *Worker) runTimers() {
	for {
		slot, ok := w.wheel.Expire(w.nowMs)
		if !ok {
			return
		}
		w.timer(slot, w.slots.at(slot))
	}
}

// publishEveryMs bounds how old visible counters of a busy worker are.
const publishEveryMs = 5

// account notes how long a turn took and publishes counters now and then.
func (w *Worker) account() {
	took := w.k.NowNs() - w.nowNs
	w.own.Add(stats.BusyNs, uint64(took))
	w.own.Observe(stats.TurnBase, stats.TurnBounds[:], float64(took)/1e9)
	if w.nowMs-w.publishedMs >= publishEveryMs {
		w.publish()
	}
}

// held is the live sessions, without those that ended in this batch: they are counted already.
func (w *Worker) held() int { return w.slots.live - len(w.dead) }

func (w *Worker) publish() {
	w.publishedMs = w.nowMs
	w.own.Put(stats.CopiedBytes, w.mover.Copied)
	w.own.Put(stats.SplicedBytes, w.mover.Spliced)
	w.own.Put(stats.PipesIdle, uint64(w.mover.Pipes.Idle()))
	w.own.Put(stats.BlocksOut, uint64(w.mover.Blocks.Out()))
	w.own.Put(stats.LiveSessions, uint64(w.held()))
	w.own.Put(stats.ListenersPaused, uint64(w.paused))
	w.sheet.Publish()
}
