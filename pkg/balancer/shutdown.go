package balancer

import (
	"context"
	"fmt"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/worker"
)

// Shutdown ends the balancer in order: for lame_duck it says that it is not ready and still accepts, so that routes
// move away; then it empties the accept queues and closes the listeners; then it closes the sessions that are left
// evenly over drain_timeout. It returns when all is over, and so does every further call. StopNow, or the end of the
// first call's ctx, cuts it short.
func (b *Balancer) Shutdown(ctx context.Context) {
	b.endOnce.Do(func() { b.shutdown(ctx) })
}

func (b *Balancer) shutdown(ctx context.Context) {
	began := time.Now()
	b.draining.Store(true)
	b.Emit(Event{Name: "drain_begin", Level: "info", Message: fmt.Sprintf("%d sessions; lame duck %s, then closing over %s", b.held.Held.Load(), b.cfg.Process.LameDuck, drainWords(b.cfg.Process.DrainTimeout))})
	b.sleep(ctx, b.cfg.Process.LameDuck)
	b.orderAll(func(w *worker.Worker) bool {
		w.StopAccepting()
		return true
	})
	b.closeListeners() // left open, they would let clients in that nobody ever answers
	b.closeSessions(ctx)
	b.Emit(Event{Name: "drain_done", Level: "info", Message: fmt.Sprintf("%d sessions left after %s", b.held.Held.Load(), time.Since(began).Round(time.Millisecond))})
	b.StopNow()
	b.release()
	b.Emit(Event{Name: "stopped", Level: "info", Message: "bye"})
	b.leave()
}

func drainWords(d time.Duration) string {
	if d == config.Forever {
		return "as long as they last"
	}
	return d.String()
}

// closeSessions paces the end of the sessions that are left and waits until there is none.
func (b *Balancer) closeSessions(ctx context.Context) {
	over := b.cfg.Process.DrainTimeout
	if over != config.Forever {
		order := worker.Shedding{Reason: stats.Shutdown, Backend: backend.NoBackend, OverMs: over.Milliseconds()}
		b.orderAll(func(w *worker.Worker) bool {
			w.Shed(order)
			return true
		})
	}
	for b.held.Held.Load() > 0 {
		if !b.sleep(ctx, drainPoll) {
			return
		}
	}
}

const drainPoll = 20 * time.Millisecond

// sleep waits; false if the end is wanted now.
func (b *Balancer) sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-b.stopNow:
	case <-ctx.Done():
	}
	return false
}

// StopNow cuts a Shutdown short: sessions that are left are reset.
func (b *Balancer) StopNow() { b.stopOnce.Do(func() { close(b.stopNow) }) }

// release ends workers and goroutines and closes all but the doors. It also cleans up after a Start that failed half-way.
func (b *Balancer) release() {
	b.ready.Store(false)
	b.resolver.Close()
	for _, w := range b.workers {
		w.Give(worker.Once((*worker.Worker).Stop))
	}
	b.ended.Wait()
	b.checker.Close()
	b.cancel()
	b.beside.Wait()
	b.closeListeners()
	if b.steering != nil {
		b.steering.Close()
	}
}

// leave closes the doors and then lets another process have the admin socket: were it the other way round, that process
// would find the socket served.
func (b *Balancer) leave() {
	if b.doorsOpen {
		b.Doors.Close()
		b.doorsOpen = false
	}
	if b.lockFD >= 0 {
		sys.Real{}.Close(b.lockFD)
		b.lockFD = -1
	}
}
