package load_test

import (
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

const stormSessions = 60

// balancer relays to its backends in turn; a client whose backend refuses is closed. Faults are chosen by its fields.
type balancer struct {
	addr     netip.AddrPort
	next     atomic.Int64
	mu       sync.Mutex
	sessions []stormSession
	onReturn fault // applied to what goes to clients that came after the kill; nil: none
	killed   atomic.Bool
}

type stormSession struct {
	backend int
	client  net.Conn
}

// newBalancer serves until the test ends.
func newBalancer(t *testing.T, onReturn fault, backends ...netip.AddrPort) *balancer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{addr: ln.Addr().(*net.TCPAddr).AddrPort(), onReturn: onReturn}
	var all sync.WaitGroup
	t.Cleanup(func() { ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			n := int(b.next.Add(1)) % len(backends)
			all.Go(func() { b.relay(client, n, backends[n]) })
		}
	})
	return b
}

func (b *balancer) relay(client net.Conn, n int, to netip.AddrPort) {
	defer client.Close()
	server, err := net.Dial("tcp", to.String())
	if err != nil {
		return
	}
	b.mu.Lock()
	b.sessions = append(b.sessions, stormSession{n, client})
	b.mu.Unlock()
	breaks := whole
	if b.onReturn != nil && b.killed.Load() {
		breaks = b.onReturn
	}
	var halves sync.WaitGroup
	halves.Go(func() { faultyHalf(client, server, breaks, serve.Echo) })
	halves.Go(func() { _, _ = io.Copy(server, client); server.Close() })
	halves.Wait()
}

// held counts the sessions of a backend.
func (b *balancer) held(backend int) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		if s.backend == backend {
			n++
		}
	}
	return n
}

// cut ends one session of a backend.
func (b *balancer) cut(backend int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.sessions {
		if s.backend == backend {
			s.client.Close()
			return
		}
	}
}

// killable is an echo backend that dies when told to.
func killable(t *testing.T) (addr netip.AddrPort, die func()) {
	t.Helper()
	s, err := serve.Open(serve.Echo, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(stop.Load); err != nil {
			t.Error(err)
		}
	}()
	die = func() { stop.Store(true); <-ended }
	t.Cleanup(die)
	return s.Addrs[0], die
}

// victim is backend 0 of a balancer.
type victim struct {
	b    *balancer
	kill func()
}

func (v victim) Held() (int, error) { return v.b.held(0), nil }
func (v victim) Kill() error        { v.kill(); return nil }

func storm(to netip.AddrPort, v load.Victim) (*load.Result, error) {
	cfg := load.StormConfig{Config: config(to), Sessions: stormSessions, MessageBytes: 64, Rate: 2000, Victim: v}
	cfg.Patience = patient
	return load.Storm(cfg)
}

func TestStormMeasuresTheReturn(t *testing.T) {
	testkit.LeakCheck(t)
	doomed, die := killable(t)
	b := newBalancer(t, nil, doomed, backend(t, serve.Echo), backend(t, serve.Echo))
	res, err := storm(b.addr, victim{b, die})
	if err != nil {
		t.Fatal(err)
	}
	r := res.Return
	t.Logf("%+v", *r)
	if !res.Sound() || r.Held != stormSessions/3 || r.Cut != r.Held || r.Returned != r.Cut {
		t.Fatalf("not everybody who was cut is back, or others were: %+v %+v", *res, *r)
	}
	if r.Attempts != uint64(r.Cut)+r.Refused || r.Refused == 0 {
		t.Errorf("%d attempts for %d clients, %d refused: one in three comes to the dead backend again", r.Attempts, r.Cut, r.Refused)
	}
	if r.Answer.Count != uint64(r.Cut) || r.Before == nil {
		t.Errorf("the answers were not all timed: %+v", *r)
	}
}

// Nobody here kills: the storm begins with the first cut, and ends when no more come.
func TestStormThatSomebodyElseBegins(t *testing.T) {
	testkit.LeakCheck(t)
	doomed, die := killable(t)
	b := newBalancer(t, nil, doomed, backend(t, serve.Echo))
	go func() {
		for b.held(0)+b.held(1) < stormSessions {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(2 * window)
		die()
	}()
	res, err := storm(b.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r := res.Return; !res.Sound() || r.Cut != stormSessions/2 || r.Returned != r.Cut {
		t.Errorf("%+v %+v", *res, *r)
	}
}

func TestStormFaultsAreCaught(t *testing.T) {
	flip := func(p []byte) ([]byte, bool) { p[len(p)/2] ^= 1; return p, true }
	hold := func([]byte) ([]byte, bool) { return nil, true }
	tests := []struct {
		name     string
		onReturn fault
		kill     func(b *balancer, die func())
	}{
		{"a session elsewhere is cut too", nil, func(b *balancer, die func()) { b.cut(1); die() }},
		{"wrong bytes after the return", flip, func(b *balancer, die func()) { b.killed.Store(true); die() }},
		{"no answer after the return", hold, func(b *balancer, die func()) { b.killed.Store(true); die() }},
		{"nobody is cut", nil, func(*balancer, func()) {}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			doomed, die := killable(t)
			b := newBalancer(t, tc.onReturn, doomed, backend(t, serve.Echo), backend(t, serve.Echo))
			cfg := load.StormConfig{
				Config: config(b.addr), Sessions: stormSessions, MessageBytes: 64, Rate: 2000, Limit: 300 * time.Millisecond,
				Victim: victim{b, func() { tc.kill(b, die) }},
			}
			res, err := load.Storm(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if res.Sound() {
				t.Errorf("the fault was not seen: %+v %+v", *res, *res.Return)
			}
			t.Log(res.FirstError)
		})
	}
}

func TestStormNeedsAVictim(t *testing.T) {
	to := backend(t, serve.Echo)
	if res, err := storm(to, load.Process(1<<30)); err == nil {
		t.Errorf("a process that is not there was killed: %+v", *res)
	}
}
