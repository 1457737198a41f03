package resolve

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// watch is the repeated look-up of one host.
type watch struct {
	r       *Resolver
	host    string
	cancel  context.CancelFunc
	changed chan struct{} // holds one token when the interval has changed
	trouble error         // the last look-up's

	mu       sync.Mutex // guards what follows
	interval time.Duration
	answer   []netip.Addr // the last good one
}

func (w *watch) lastAnswer() []netip.Addr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.answer
}

func (w *watch) setInterval(d time.Duration) {
	w.mu.Lock()
	w.interval = d
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *watch) run(ctx context.Context) {
	for w.pause(ctx) {
		addrs, err := w.r.ask(ctx, w.host, w.lastAnswer())
		if ctx.Err() != nil {
			return
		}
		w.takeAnswer(addrs)
		w.takeTrouble(err)
	}
}

// jitter spreads look-ups by a tenth of the interval each way, so that hosts and boxes do not ask in step.
const jitter = 0.1

// pause waits for the next look-up; false means that ctx has ended.
func (w *watch) pause(ctx context.Context) bool {
	begun, share := time.Now(), 1-jitter+2*jitter*rand.Float64()
	for {
		w.mu.Lock()
		next := begun.Add(time.Duration(share * float64(w.interval)))
		w.mu.Unlock()
		select {
		case <-time.After(time.Until(next)):
			return true
		case <-w.changed:
		case <-ctx.Done():
			return false
		}
	}
}

func (w *watch) takeAnswer(addrs []netip.Addr) {
	w.mu.Lock()
	same := slices.Equal(addrs, w.answer)
	w.answer = addrs
	w.mu.Unlock()
	if !same && w.r.hooks.Changed != nil {
		w.r.hooks.Changed(w.host, addrs)
	}
}

func (w *watch) takeTrouble(err error) {
	same := sameTrouble(err, w.trouble)
	w.trouble = err
	if !same && w.r.hooks.Failed != nil {
		w.r.hooks.Failed(w.host, err)
	}
}
