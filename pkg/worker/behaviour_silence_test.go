package worker

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
)

// silentFor lets time pass in steps of a second and returns the second in which the last session ended, or -1.
func silentFor(k *simkernel.Kernel, w *Worker, seconds int, each func(second int)) int {
	for second := range seconds {
		each(second)
		k.Advance(1e9)
		w.turn()
		if w.Live() == 0 {
			return second + 1
		}
	}
	return -1
}

// probing is a fake peer that leaves every probe unanswered: the first after idle, then one each interval.
func probing(p *simkernel.Peer, idle, interval int) func(second int) {
	return func(second int) {
		if second >= idle {
			p.Ignore(uint8(1 + (second-idle)/interval))
		}
	}
}

// The kernel leaves off counting probes where TCP_USER_TIMEOUT is set: the worker counts. The times are the contract's.
func TestUnansweredProbesEndASession(t *testing.T) {
	options := backend.SocketOptions{KeepaliveIdle: 60, KeepaliveInterval: 10, KeepaliveProbes: 6, UserTimeoutMs: 330_000}
	sides := []struct {
		name   string
		peer   func(*simkernel.Kernel) (silent, other *simkernel.Peer)
		reason stats.Reason
	}{
		{"client", func(k *simkernel.Kernel) (_, _ *simkernel.Peer) { return k.Clients()[0], k.Backends()[0] }, stats.ClientGone},
		{"backend", func(k *simkernel.Kernel) (_, _ *simkernel.Peer) { return k.Backends()[0], k.Clients()[0] }, stats.BackendGone},
	}
	for _, side := range sides {
		t.Run(side.name, func(t *testing.T) {
			k, w := simStage(t, 1)
			w.snap.Frontends[0].Options = options
			silent, other := side.peer(k)
			ended := silentFor(k, w, 3600, probing(silent, 60, 10))
			if ended < 120 || ended > 132 {
				t.Errorf("the session ended after %d s of silence, want 60 + 6 * 10", ended)
			}
			other.Read(1)
			if n := simCounter(w, stats.Frontend, stats.EndedBase+int(side.reason)); n != 1 || other.End != simkernel.RST {
				t.Errorf("%d sessions ended so, the other side reads a %v; want 1 and RST", n, other.End)
			}
		})
	}
}

// What looks like silence and is none.
func TestSilenceThatIsNone(t *testing.T) {
	options := backend.SocketOptions{KeepaliveIdle: 60, KeepaliveInterval: 10, KeepaliveProbes: 6, UserTimeoutMs: 330_000}
	without := options
	without.UserTimeoutMs = 0
	cases := []struct {
		name    string
		options backend.SocketOptions
		each    func(k *simkernel.Kernel, second int)
		lives   int // seconds, at least
	}{
		{"every probe is answered", options, func(*simkernel.Kernel, int) {}, 3500},
		{"all but the last one are lost", options, func(k *simkernel.Kernel, second int) {
			lost := second % 120 / 10
			k.Clients()[0].Ignore(uint8(max(lost-5, 0)))
		}, 3500},
		{"the kernel counts by itself", without, func(k *simkernel.Kernel, second int) {
			probing(k.Clients()[0], 60, 10)(second)
		}, 3500},
		{"a reader whose window is closed: bytes wait, and stall looks after them", options, func(k *simkernel.Kernel, second int) {
			k.Backends()[0].Send(1 << 20)
			probing(k.Clients()[0], 60, 10)(second)
		}, 290},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			k, w := simStage(t, 1)
			w.snap.Frontends[0].Options = c.options
			if ended := silentFor(k, w, c.lives, func(second int) { c.each(k, second) }); ended >= 0 {
				t.Errorf("the session ended after %d s", ended)
			}
		})
	}
}
