package ports

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTakeGivesEveryPortOnce(t *testing.T) {
	for _, r := range []Range{{10000, 10000}, {10000, 10063}, {10001, 10064}, {10000, 10999}, {1, 65535}} {
		p := NewPair(r)
		seen := map[uint16]bool{}
		for range r.Len() {
			port, ok := p.Take(0)
			if !ok || seen[port] || !r.Contains(port) {
				t.Fatalf("%v: Take() = %d, %v after %d ports", r, port, ok, len(seen))
			}
			seen[port] = true
		}
		if port, ok := p.Take(0); ok {
			t.Errorf("%v: Take() = %d after all are taken", r, port)
		}
		if u := p.Usage(0); u.Used != int64(r.Len()) || u.Limit != u.Used {
			t.Errorf("%v: usage %+v", r, u)
		}
	}
}

func TestAPortThatCameBackIsUsedLast(t *testing.T) {
	p := NewPair(Range{2000, 2099})
	first, _ := p.Take(0)
	p.Give(first)
	for range 99 {
		if port, ok := p.Take(0); !ok || port == first {
			t.Fatalf("Take() = %d, %v while others are left", port, ok)
		}
	}
	if port, ok := p.Take(0); !ok || port != first {
		t.Errorf("Take() = %d, %v, want the one that came back, %d", port, ok, first)
	}
}

func TestAnExhaustedPairIsNotSearched(t *testing.T) {
	p := NewPair(Range{2000, 2000})
	port, _ := p.Take(0)
	if _, ok := p.Take(10); ok || p.latched.Load() != 10+latchMs {
		t.Fatalf("latched until %d", p.latched.Load())
	}
	p.taken[0].And(^uint64(1)) // freed behind its back: only the latch says no
	if _, ok := p.Take(10 + latchMs - 1); ok {
		t.Error("it was searched while latched")
	}
	p.taken[0].Or(1)
	p.Give(port)
	if _, ok := p.Take(11); !ok {
		t.Error("a port that came back does not end the latch")
	}
}

func TestARefusedPortRests(t *testing.T) {
	const minute = RestMs
	cases := []struct {
		name             string
		refusedMs, nowMs int64
		free             bool
	}{
		{"at once", 5 * minute, 5 * minute, false},
		{"just before a minute", 5*minute + 7, 6*minute + 6, false},
		{"after two", 5*minute + 7, 7 * minute, true},
		{"after an age", 5 * minute, 900 * minute, true},
		{"refused at the end of a minute, the minute after", 6*minute - 1, 6*minute + 1, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := NewPair(Range{3000, 3000})
			port, _ := p.Take(c.refusedMs)
			p.Refused(port, c.refusedMs)
			if u := p.Usage(c.refusedMs); u.Used != 0 || u.Resting != 1 {
				t.Errorf("usage %+v, want one resting", u)
			}
			if _, ok := p.Take(c.nowMs); ok != c.free {
				t.Errorf("Take() = %v, want %v", ok, c.free)
			}
		})
	}
}

func TestWhereTheKernelChooses(t *testing.T) {
	p := NewPair(Range{})
	for range 3 {
		if port, ok := p.Take(0); port != 0 || !ok {
			t.Fatalf("Take() = %d, %v", port, ok)
		}
	}
	p.Refused(0, 50)
	if _, ok := p.Take(51); ok {
		t.Error("the kernel is asked again at once")
	}
	p.Give(0)
	if _, ok := p.Take(52); !ok {
		t.Error("a session's end does not let it be asked again")
	}
	if u := p.Usage(0); u != (Usage{Used: 2}) {
		t.Errorf("usage %+v, want 2 used", u)
	}
}

func TestClaimTakesOnePort(t *testing.T) {
	p := NewPair(Range{100, 300})
	if !p.Claim(200) || p.Claim(200) {
		t.Error("a port is claimed once")
	}
	for range 200 {
		if port, ok := p.Take(0); !ok || port == 200 {
			t.Fatalf("Take() = %d, %v", port, ok)
		}
	}
	if _, ok := p.Take(0); ok {
		t.Error("201 ports, 202 taken")
	}
}

// TestWorkersNeverShareAPort lets several goroutines take, give and refuse at random; an owner's mark per port finds two
// holders of one.
func TestWorkersNeverShareAPort(t *testing.T) {
	r := Range{20000, 20299}
	p := NewPair(r)
	var holders [300]sync.Mutex
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 1))
			var held []uint16
			give := func(i int) {
				port := held[i]
				held[i] = held[len(held)-1]
				held = held[:len(held)-1]
				holders[port-r.First].Unlock()
				if rng.IntN(50) == 0 {
					p.Refused(port, 0)
				} else {
					p.Give(port)
				}
			}
			for range 20_000 {
				if len(held) > 0 && rng.IntN(2) == 0 {
					give(rng.IntN(len(held)))
				} else if port, ok := p.Take(0); ok {
					if !holders[port-r.First].TryLock() {
						t.Errorf("port %d has two holders", port)
						return
					}
					held = append(held, port)
				} else {
					p.latched.Store(0)
				}
				if rng.IntN(100) == 0 {
					runtime.Gosched()
				}
			}
			for len(held) > 0 {
				give(0)
			}
		})
	}
	wg.Wait()
	if u := p.Usage(0); u.Used != 0 {
		t.Errorf("usage %+v at the end", u)
	}
}

// TestWorkersThatMeetNeverShareAPort lets them fight for two ports, as often as can be in the same instant.
func TestWorkersThatMeetNeverShareAPort(t *testing.T) {
	p := NewPair(Range{20000, 20001})
	var held [2]atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300_000 {
				port, ok := p.Take(0)
				if !ok {
					p.latched.Store(0)
					continue
				}
				if held[port-20000].Swap(true) {
					t.Errorf("port %d has two holders", port)
					return
				}
				held[port-20000].Store(false)
				p.Give(port)
			}
		})
	}
	wg.Wait()
}

func TestSetTakesFromTheNextSource(t *testing.T) {
	s := Set{NewPair(Range{10, 11}), NewPair(Range{10, 11})}
	type taken struct {
		*Pair
		port uint16
	}
	got := map[taken]bool{}
	for turn := range uint32(4) {
		p, port := s.Take(turn, 0)
		if p == nil || got[taken{p, port}] {
			t.Fatalf("Take() = %p, %d", p, port)
		}
		if got[taken{p, port}] = true; turn < 2 && p != s[turn] {
			t.Errorf("turn %d begins with another source", turn)
		}
	}
	if s.Latched(0) {
		t.Error("latched before anybody was refused")
	}
	if p, _ := s.Take(0, 0); p != nil || !s.Latched(0) {
		t.Errorf("Take() = %p, latched %v: five ports of four", p, s.Latched(0))
	}
	if s[1].Give(10); s.Latched(0) {
		t.Error("latched although a port has come back")
	}
	s[1].Claim(10)
	if (Set{}).Latched(0) {
		t.Error("a backend without sources is latched")
	}
	if u := s.Usage(0); u != (Usage{Used: 4, Limit: 4}) {
		t.Errorf("usage %+v", u)
	}
}

func BenchmarkTake(b *testing.B) {
	for _, full := range []int{5, 50, 95, 99} {
		b.Run(string(rune('0'+full/10))+string(rune('0'+full%10))+"%", func(b *testing.B) {
			r := Range{10000, 31999}
			p := NewPair(r)
			held := make([]uint16, 0, r.Len())
			for range r.Len() * full / 100 {
				port, _ := p.Take(0)
				held = append(held, port)
			}
			rng := rand.New(rand.NewPCG(1, 1))
			b.ReportAllocs()
			for b.Loop() {
				i := rng.IntN(len(held))
				p.Give(held[i])
				held[i], _ = p.Take(0)
			}
		})
	}
}
