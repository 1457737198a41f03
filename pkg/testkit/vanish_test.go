package testkit

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A vanished peer is silent, and no other connection of its host is.
func TestVanishingIsOfOneConnection(t *testing.T) {
	LeakCheck(t)
	h := NewHost(t, "gone")
	h.CanVanish()
	exchange := func(ends ...Step) []Step { return append([]Step{Send(1000), Read(1000), Meet()}, ends...) }
	silent := Script{Name: "silent", Options: Options{GiveUp: 2 * time.Second}, Client: exchange(Vanish(), Send(100)), Server: exchange(ReadToEnd())}
	busy := Script{Name: "busy", Client: exchange(Pause(time.Second), Send(1000), HalfClose(), ReadToEnd()), Server: exchange(ReadToEnd(), Close())}
	var lanes []Lane
	for _, ipv6 := range []bool{false, true} {
		lanes = append(lanes, DirectLane(t, h, ipv6), DirectLane(t, h, ipv6))
	}
	outcomes := RunAll(t, lanes, []Script{silent, busy, silent, busy})
	for i := 0; i < len(outcomes); i += 2 {
		if left := outcomes[i].Server; left.Received != 1000 || left.End != EndReset || left.Errno != unix.ETIMEDOUT {
			t.Errorf("who was left alone saw: %v", left)
		}
		if other := outcomes[i+1].Server; other.Received != 2000 || other.End != EndFIN {
			t.Errorf("the other connection: %v", other)
		}
	}
}

func TestVanishNeedsAHost(t *testing.T) {
	if _, err := DirectLane(t, nil, false).Run(Script{Client: []Step{Vanish()}}); err == nil {
		t.Error("a peer vanished without a host")
	}
}
