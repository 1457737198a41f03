package matrix

import (
	"testing"
	"time"
)

// TestRig brings 4,000 sessions up through the program and takes them down, with every byte checked.
func TestRig(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 10)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", backends)})
	began := time.Now()
	all := gather(t, front, scaled(4000))
	t.Logf("%d sessions in %v, %d descriptors, %d KiB resident", len(all), time.Since(began), p.fds(), p.rss()>>10)
	if n, first := failures(all.say(500)); n > 0 {
		t.Errorf("%d sessions failed: %v", n, first)
	}
	if held := p.status().Sessions.Held; held != int64(len(all)) {
		t.Errorf("%d sessions held, want %d", held, len(all))
	}
	all.leave()
	p.await("every session to end", func() bool { return p.endReasons()["client_fin"] == uint64(len(all)) })
}
