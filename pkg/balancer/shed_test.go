package balancer

import (
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// A share so small that any traffic is above it: sessions are shed, some at a time, until none is left.
func TestSheddingForTCPMemory(t *testing.T) {
	testkit.LeakCheck(t)
	if used, limit := tcpMemoryPages(); used < 0 || limit <= 0 {
		t.Skipf("TCP's memory is not to be read here: %d of %d", used, limit)
	}
	s := setup{process: `shed_at_tcp_mem = 0.0000001`}
	b := s.start(t)
	filler := sessions(t, s.at, 2)
	keepBytesQueued(t)
	for _, c := range filler {
		awaitReset(t, c)
	}
	eventually(t, "both are counted as shed", func() bool { return b.Frontends()[0].Ended["shed"] == 2 })
	if e := recent(b, "degraded"); e == nil || e.Subject != "tcp_mem" {
		t.Errorf("event %+v", e)
	}
	eventually(t, "new sessions are served while others are shed", func() bool { return served(dial(t, s.at), testkit.Bound) })
}

func TestNothingIsShedWhenItIsOff(t *testing.T) {
	testkit.LeakCheck(t)
	var s setup
	b := s.start(t)
	conns := sessions(t, s.at, 4)
	keepBytesQueued(t)
	for range 3 {
		b.monitorTCPMemory()
		time.Sleep(20 * time.Millisecond)
	}
	for _, c := range conns {
		if !served(c, testkit.Bound) {
			t.Error("a session is gone")
		}
	}
	if n := b.Frontends()[0].Ended["shed"]; n != 0 || recent(b, "degraded") != nil {
		t.Errorf("%d sessions were shed", n)
	}
}

// keepBytesQueued makes TCP use some pages for as long as the test runs: bytes that nobody reads.
func keepBytesQueued(t *testing.T) {
	t.Helper()
	l := silentBackend(t)
	c := dial(t, l)
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	c.Write(make([]byte, 1<<20))
	if used, _ := tcpMemoryPages(); used <= 0 {
		t.Skip("a mebibyte that waits does not show in TCP's memory")
	}
}
