package worker

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
)

// A half-closed session whose reader takes bytes slowly out of our send buffer does not rest: nothing is cut off.
func TestHalfCloseWaitsForASlowReader(t *testing.T) {
	x := newClosing(t)
	x.w.snap.Frontends[0].Timeouts = backend.Timeouts{Idle: 3600_000, HalfClose: 5000, Stall: 300_000}
	x.b.ShutdownWrite()
	x.w.turn()
	x.crawl(t, 1000)
	if x.b.Received != x.c.Sent {
		t.Errorf("the reader got %d of %d bytes, then %v", x.b.Received, x.c.Sent, x.b.End)
	}
}
