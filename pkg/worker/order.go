package worker

import (
	"context"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
)

// Order is something the control side asks of a worker. Run is called on the worker's thread, once a turn, until it
// returns true; a long piece of work does a little each time.
type Order struct {
	Run  func(*Worker) bool
	done chan struct{}
	next *Order
}

// NewOrder makes an order. It may be given to one worker, once.
func NewOrder(run func(*Worker) bool) *Order { return &Order{Run: run, done: make(chan struct{})} }

// Once makes an order that is done after one call.
func Once(run func(*Worker)) *Order {
	return NewOrder(func(w *Worker) bool {
		run(w)
		return true
	})
}

// Done is closed when the worker has carried the order out, or has ended.
func (o *Order) Done() <-chan struct{} { return o.done }

// Wait waits until the order is done, or for the context's error.
func (o *Order) Wait(ctx context.Context) error {
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ended stands on the list of a worker that takes no more orders.
var ended = &Order{}

// Give hands an order to the worker and wakes it. Any goroutine may call it; an order to a worker that has ended is
// done at once, unseen.
func (w *Worker) Give(o *Order) {
	for {
		head := w.orders.Load()
		if head == ended {
			close(o.done)
			return
		}
		o.next = head
		if w.orders.CompareAndSwap(head, o) {
			w.k.Wake(w.wakefd)
			return
		}
	}
}

// runOrders takes the orders given since the last turn, oldest first, and lets each unfinished one go on.
func (w *Worker) runOrders() {
	if w.orders.Load() != nil {
		w.pending = appendReversed(w.pending, w.orders.Swap(nil))
	}
	for at := &w.pending; *at != nil; {
		o := *at
		if !o.Run(w) {
			at = &o.next
			continue
		}
		*at = o.next
		w.publish() // whoever waits for the order sees what it did
		close(o.done)
	}
}

// appendReversed appends the orders of a list that was pushed at its head.
func appendReversed(pending, taken *Order) *Order {
	var oldestFirst *Order
	for taken != nil {
		taken, taken.next, oldestFirst = taken.next, oldestFirst, taken
	}
	if pending == nil {
		return oldestFirst
	}
	last := pending
	for last.next != nil {
		last = last.next
	}
	last.next = oldestFirst
	return pending
}

// finishOrders answers everybody who still waits, now and in future.
func (w *Worker) finishOrders() {
	w.pending = appendReversed(w.pending, w.orders.Swap(ended))
	for o := w.pending; o != nil; o = o.next {
		close(o.done)
	}
	w.pending = nil
}

// What follows is called by orders, or before Run.

// Adopt makes a snapshot the worker's own from now on. Live sessions count and are limited by it at their next event.
func (w *Worker) Adopt(s *backend.Snapshot) {
	w.sheet.Grow(stats.Frontend, len(s.Frontends))
	w.sheet.Grow(stats.Backend, len(s.Backends))
	w.sheet.Grow(stats.Pool, len(s.Pools))
	for len(w.cursors) < len(s.Pools) {
		w.cursors = append(w.cursors, backend.Cursor{})
	}
	w.snap = s
}

// Listen begins to accept from a listener; its frontend is in the snapshot.
func (w *Worker) Listen(l Listener) {
	w.listeners = append(w.listeners, listener{Listener: l, batch: 1})
	w.watchListener(&w.listeners[len(w.listeners)-1], uint32(len(w.listeners)-1))
}

// StopAccepting takes what waits in the accept queues and then accepts no more. The sockets stay open.
func (w *Worker) StopAccepting() {
	for i := range w.listeners {
		l := &w.listeners[i]
		l.batch, l.turn = maxAccepts, w.turns-1
		for w.accept(uint32(i)) {
			l.turn = w.turns - 1
		}
		if l.cause != notPaused && l.cause != closed {
			w.countPause(l)
			w.paused--
		}
		w.pause(l, closed)
	}
}

// Stop ends the worker after this turn; what it still holds is reset.
func (w *Worker) Stop() { w.stop = true }

// Live is how many sessions the worker holds.
func (w *Worker) Live() int { return w.slots.live }

// Kill ends a session by its id; false if it is not here.
func (w *Worker) Kill(id uint64, reason stats.Reason) bool {
	for slot := range w.slots.used {
		if s := w.slots.at(slot); s.id == id && s.state != free && s.state != dead {
			w.cut(slot, s, reason)
			return true
		}
	}
	return false
}
