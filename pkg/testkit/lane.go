package testkit

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// settle is what a balancer gets to notice that its connect() succeeded: a reset before that is by rights a failed connect,
// and no direct connection has its like.
const settle = 20 * time.Millisecond

// Lane is a way from a client to a backend that one script at a time goes: an address of a balancer whose only backend is
// the lane's listener, so that the connection that is accepted there belongs to the one that was opened. No health check
// may connect to it.
type Lane struct {
	From    *Host          // where clients live; nil: the test's own namespace
	Front   netip.AddrPort // where clients connect to; the listener's own address: a direct connection
	Backend *Listener
}

// DirectLane is a lane without a balancer, over the loopback device of a host (nil: of the test's own namespace), for the
// time of the test.
func DirectLane(t testing.TB, h *Host, ipv6 bool) Lane {
	t.Helper()
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if ipv6 {
		loopback = netip.IPv6Loopback()
	}
	l, err := h.listen(netip.AddrPortFrom(loopback, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return Lane{From: h, Front: l.Addr(), Backend: l}
}

// Run plays a script. It begins when the backend has accepted. Sockets that the script leaves open are closed after both
// peers have ended. What the script's Options ask of the backend's listener stays for the lane's later scripts.
func (l Lane) Run(s Script) (Outcome, error) {
	if err := s.set(l.Backend.fd); err != nil {
		return Outcome{}, err
	}
	client, err := l.From.dial(s.Options, l.Front)
	if err != nil {
		return Outcome{}, fmt.Errorf("client: %w", err)
	}
	defer client.Close()
	server, err := l.Backend.Accept()
	if err != nil {
		return Outcome{}, fmt.Errorf("server: %w", err)
	}
	defer server.Close()
	if l.Front != l.Backend.Addr() {
		time.Sleep(settle)
	}
	return playBoth(s, client, server)
}

// RunAll plays scripts on lanes, all lanes at once: script i on lane i % len(lanes), which plays its scripts one after the
// other. A script that cannot be played to its end fails the test and ends its lane.
func RunAll(t testing.TB, lanes []Lane, scripts []Script) []Outcome {
	t.Helper()
	outcomes := make([]Outcome, len(scripts))
	var wg sync.WaitGroup
	for first, lane := range lanes {
		wg.Go(func() {
			for i := first; i < len(scripts); i += len(lanes) {
				var err error
				if outcomes[i], err = lane.Run(scripts[i]); err != nil {
					t.Errorf("%v\n%v", scripts[i], err)
					return
				}
			}
		})
	}
	wg.Wait()
	return outcomes
}
