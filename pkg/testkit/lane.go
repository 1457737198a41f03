package testkit

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// settle is what Run gives a balancer to notice that its connect() succeeded: a reset before that is by rights a failed
// connect, and no direct connection has its like. Who can ask the balancer connects, asks and plays instead.
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
	l, err := h.Listen(netip.AddrPortFrom(loopback, 0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return Lane{From: h, Front: l.Addr(), Backend: l}
}

// Pair is the two peers of a connection and what they are to do.
type Pair struct {
	script         Script
	client, server *Peer
}

// Connect opens a connection for a script. What the script's Options ask of the backend's listener stays for the lane's
// later scripts. Play it, or Close it.
func (l Lane) Connect(s Script) (*Pair, error) {
	if err := s.set(l.Backend.fd); err != nil {
		return nil, err
	}
	client, err := l.From.dial(s.Options, l.Front)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	server, err := l.Backend.Accept()
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("server: %w", err)
	}
	return &Pair{s, client, server}, nil
}

// Play plays the script. Sockets that it leaves open are closed after both peers have ended.
func (p *Pair) Play() (Outcome, error) {
	defer p.Close()
	return playBoth(p.script, p.client, p.server)
}

// Close closes both sockets.
func (p *Pair) Close() {
	p.client.Close()
	p.server.Close()
}

// Run connects and plays a script. It begins when the backend has accepted.
func (l Lane) Run(s Script) (Outcome, error) {
	p, err := l.Connect(s)
	if err != nil {
		return Outcome{}, err
	}
	if l.Front != l.Backend.Addr() {
		time.Sleep(settle)
	}
	return p.Play()
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

// PlayAll plays the scripts of many connections at once. One that cannot be played to its end fails the test.
func PlayAll(t testing.TB, pairs []*Pair) []Outcome {
	t.Helper()
	outcomes := make([]Outcome, len(pairs))
	var wg sync.WaitGroup
	for i, p := range pairs {
		wg.Go(func() {
			var err error
			if outcomes[i], err = p.Play(); err != nil {
				t.Errorf("%v\n%v", p.script, err)
			}
		})
	}
	wg.Wait()
	return outcomes
}
