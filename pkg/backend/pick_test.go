package backend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/flow"
)

func TestMaglevSharesByWeight(t *testing.T) {
	p := newPool(t, PoolOptions{}, member{name: "a", weight: 1}, member{name: "b", weight: 2}, member{name: "c", weight: 5}, member{name: "d", weight: 0})
	const picks = 80_000
	got := map[string]int{}
	for i := range picks {
		got[nameOf(p.Pick(&Cursor{}, hash(i), now, NoBackend))]++
	}
	for name, weight := range map[string]float64{"a": 1, "b": 2, "c": 5} {
		if want := weight / 8 * picks; math.Abs(float64(got[name])-want) > 0.05*want {
			t.Errorf("%s got %d of %d, want about %.0f", name, got[name], picks, want)
		}
	}
	if got["d"] != 0 {
		t.Errorf("d has no weight and got %d", got["d"])
	}
}

// Where a member fails, its hashes spread over all others and no other hash moves.
func TestMaglevMovesOnlyWhoMust(t *testing.T) {
	const n, picks = 10, 20_000
	p := newPool(t, PoolOptions{}, alike(n)...)
	before := make([]string, picks)
	for i := range before {
		before[i] = nameOf(p.Pick(&Cursor{}, hash(i), now, NoBackend))
	}
	p.Members[3].SetHealth(Unhealthy)
	p.Refresh(now)
	moved := map[string]int{}
	for i, was := range before {
		is := nameOf(p.Pick(&Cursor{}, hash(i), now, NoBackend))
		switch {
		case was == p.Members[3].Name:
			moved[is]++
		case is != was:
			t.Fatalf("hash %d moved from %s to %s, which both are well", i, was, is)
		}
	}
	mean := picks / n / (n - 1)
	for i, m := range p.Members {
		if got := moved[m.Name]; i != 3 && (got < mean/2 || got > 2*mean) {
			t.Errorf("%s took over %d sessions, want about %d", m.Name, got, mean)
		}
	}
}

// The same hash goes to the same name on every box, however its configuration is ordered, whatever states members are in.
func TestOrderOfMembersDoesNotMatter(t *testing.T) {
	const pools, picks = 60, 300
	for seed := range uint64(pools) {
		rng := seeded(t, seed)
		members := alike(3 + rng.IntN(60))
		for i := range members {
			members[i].weight = 1 + rng.Int64N(3)
			members[i].backup = rng.IntN(8) == 0
		}
		o := PoolOptions{BalanceFactor: float64(rng.IntN(2)) * 1.25, TableSize: 4099}
		one := newPool(t, o, members...)
		other := newPool(t, o, shuffled(rng, members)...)
		down := rng.Float64() // up to nearly all
		for _, m := range one.Members {
			state := rng.IntN(5)
			held := rng.IntN(3)
			for _, b := range []*Member{one.named(m.Name), other.named(m.Name)} {
				if float64(b.Name[3]%10)/10 < down {
					setState(b, state)
				}
				for range held {
					b.Acquire(0)
				}
			}
		}
		one.Refresh(now)
		other.Refresh(now)
		for i := range picks {
			a, b := one.Pick(&Cursor{}, hash(i), now, NoBackend), other.Pick(&Cursor{next: 7}, hash(i), now, NoBackend)
			if nameOf(a) != nameOf(b) {
				t.Fatalf("seed %d: hash %d goes to %s, and to %s with the members in another order", seed, i, nameOf(a), nameOf(b))
			}
		}
	}
}

func shuffled(rng *rand.Rand, members []member) []member {
	members = slices.Clone(members)
	rng.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	return members
}

func setState(m *Member, state int) {
	switch state {
	case 0:
		m.SetDraining(true)
	case 1:
		m.eject(now + 1)
	default:
		m.SetHealth(Unhealthy)
	}
}

func TestNobodyIsPickedWhoTakesNone(t *testing.T) {
	for seed := range uint64(40) {
		rng := seeded(t, seed)
		for algorithm, a := range algorithms {
			p := newPool(t, PoolOptions{Algorithm: a, BalanceFactor: 1.25, TableSize: 4099}, alike(1+rng.IntN(40))...)
			for i := range p.Members {
				if rng.IntN(10) > 0 {
					setState(&p.Members[i], rng.IntN(4))
				}
			}
			p.Refresh(now)
			q := query{nowMs: now, avoid: NoBackend, panicking: p.Live.Panic.Load()}
			some := slices.ContainsFunc(p.Members, func(m Member) bool { return q.takes(&m) })
			var c Cursor
			for i := range 200 {
				m := p.Pick(&c, hash(i), now, NoBackend)
				if (m != nil) != some || m != nil && !q.takes(m) {
					t.Fatalf("seed %d, %s: picked %s; a member that takes sessions exists: %v", seed, algorithm, nameOf(m), some)
				}
			}
		}
	}
}

// Mirrokni, Thorup, Zadimoghaddam: no pick leads beyond the ceiling of factor times the fair share.
func TestBoundedLoad(t *testing.T) {
	const sessions = 8000
	for _, weights := range []string{"1111111111", "1234", "19", "1"} {
		t.Run(weights, func(t *testing.T) {
			rng := seeded(t, 1)
			var members []member
			total := int64(0)
			for i, w := range weights {
				members = append(members, member{name: fmt.Sprint("b", i), weight: int64(w - '0')})
				total += int64(w - '0')
			}
			p := newPool(t, PoolOptions{BalanceFactor: 1.25}, members...)
			var held []*Member
			for i := range sessions {
				m := p.Pick(&Cursor{}, hash(rng.IntN(sessions/20)), now, NoBackend) // hashes come often: load is uneven
				m.Acquire(0)
				if ceiling := math.Ceil(1.25 * float64(p.Live.Sessions.Load()) * float64(m.Weight) / float64(total)); float64(m.Sessions()) > ceiling {
					t.Fatalf("session %d: %s holds %d of %d, above %v", i, m.Name, m.Sessions(), p.Live.Sessions.Load(), ceiling)
				}
				if held = append(held, m); rng.IntN(3) == 0 {
					k := rng.IntN(len(held))
					held[k].Release()
					held[k] = held[len(held)-1]
					held = held[:len(held)-1]
				}
			}
			if got := p.Live.Sessions.Load(); got != int64(len(held)) {
				t.Errorf("the pool counts %d sessions, %d are held", got, len(held))
			}
		})
	}
}

func TestBoundedLoadLetsUnboundHashesPileUp(t *testing.T) {
	p := newPool(t, PoolOptions{}, alike(4)...)
	for range 100 {
		p.Pick(&Cursor{}, hash(1), now, NoBackend).Acquire(0)
	}
	home := p.Pick(&Cursor{}, hash(1), now, NoBackend)
	if home.Sessions() != 100 {
		t.Errorf("%d of 100 sessions of one hash are at its home, want all: factor is 0", home.Sessions())
	}
}

// Where all but one hold their share the hash finds the one, however long the way.
func TestBoundedLoadFindsWhoHasRoom(t *testing.T) {
	p := newPool(t, PoolOptions{BalanceFactor: 1}, alike(300)...)
	for i := range p.Members {
		for range 10 {
			p.Members[i].Acquire(0)
		}
	}
	p.Members[123].Release()
	for i := range 1000 {
		if got := nameOf(p.Pick(&Cursor{}, hash(i), now, NoBackend)); got != "b123" {
			t.Fatalf("hash %d goes to %s, want b123: the others hold what is theirs", i, got)
		}
	}
}

func TestBoundedLoadSharesAmongThoseThatAreWell(t *testing.T) {
	p := described(t, PoolOptions{BalanceFactor: 1.25}, "abc-d!e^f0")
	if got := p.primary.usable.Load(); got != 2 {
		t.Errorf("usable weight %d, want that of a and b", got)
	}
	for i := range 1000 {
		p.Pick(&Cursor{}, hash(i%10), now, NoBackend).Acquire(0)
	}
	for _, name := range []string{"a", "b"} {
		if got := p.named(name).Sessions(); got < 375 || got > 625 {
			t.Errorf("%s holds %d of 1000, want at most 1.25 times its half", name, got)
		}
	}
}

func TestLeastSessionsFollowsWeights(t *testing.T) {
	p := newPool(t, PoolOptions{Algorithm: LeastSessions}, member{name: "a", weight: 1}, member{name: "b", weight: 3}, member{name: "c", weight: 6})
	var c Cursor
	for range 1000 {
		p.Pick(&c, 0, now, NoBackend).Acquire(0)
	}
	for name, want := range map[string]int64{"a": 100, "b": 300, "c": 600} {
		if got := p.named(name).Sessions(); got < want-1 || got > want+1 {
			t.Errorf("%s holds %d, want %d", name, got, want)
		}
	}
}

func TestLeastSessionsTakesTiesInTurn(t *testing.T) {
	p := newPool(t, PoolOptions{Algorithm: LeastSessions}, alike(5)...)
	got := map[string]int{}
	c := Cursor{next: math.MaxUint32 - 100} // across the wrap, too
	for range 500 {
		got[nameOf(p.Pick(&c, 0, now, NoBackend))]++
	}
	for name, n := range got {
		if n < 99 || n > 101 {
			t.Errorf("%s came up %d times of 500, want 100", name, n)
		}
	}
}

// The example of nginx's commit message of 2012: 5, 1, 1 gives a a b a c a a.
func TestRoundRobinIsSmooth(t *testing.T) {
	p := newPool(t, PoolOptions{Algorithm: RoundRobin}, member{name: "a", weight: 50}, member{name: "b", weight: 10}, member{name: "c", weight: 10}, member{name: "d", weight: 0})
	var c Cursor
	got := ""
	for range 14 {
		got += nameOf(p.Pick(&c, 0, now, NoBackend))
	}
	if !strings.Contains("aabacaaaabacaaaabacaa", got) {
		t.Errorf("sequence %s, want aabacaa over and over", got)
	}
}

func TestRoundRobinSkipsWhoTakesNone(t *testing.T) {
	const down, picks = 198, 1000 // more in a row than a pick steps over
	p := newPool(t, PoolOptions{Algorithm: RoundRobin}, alike(down+2)...)
	for i := range down {
		p.Members[i].SetHealth(Unhealthy)
	}
	p.Refresh(now)
	var c Cursor
	for range picks {
		p.Pick(&c, 0, now, NoBackend).Acquire(0)
	}
	for _, m := range p.Members[down:] {
		if got := m.Sessions(); got < picks*4/10 || got > picks*6/10 {
			t.Errorf("%s got %d of %d, want about half", m.Name, got, picks)
		}
	}
}

// Who comes behind a member that is down does not get its turns, too.
func TestRoundRobinGivesTheTurnsOfWhoIsDownToAll(t *testing.T) {
	p := described(t, PoolOptions{Algorithm: RoundRobin}, "ab-cdef-g")
	var c Cursor
	got := map[string]int{}
	for range 500 {
		got[nameOf(p.Pick(&c, 0, now, NoBackend))]++
	}
	for name, n := range got {
		if n != 100 {
			t.Errorf("%s came up %d times of 500, want 100", name, n)
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	for algorithm, a := range algorithms {
		p := described(t, PoolOptions{Algorithm: a, BalanceFactor: 1.25}, "ab-c!d^e=FG")
		var c Cursor
		i := 0
		if n := testing.AllocsPerRun(1000, func() { i++; p.Pick(&c, hash(i), now, 2) }); n != 0 {
			t.Errorf("%s: %v allocations per pick", algorithm, n)
		}
	}
}

// BenchmarkPick is what choosing costs a new session: hash of the 5-tuple and pick, of 1,000 backends.
func BenchmarkPick(b *testing.B) {
	cases := []struct {
		name string
		o    PoolOptions
		down int // of 1,000
	}{
		{"maglev", PoolOptions{}, 0},
		{"maglev-bounded", PoolOptions{BalanceFactor: 1.25}, 0},
		{"maglev-tenth-down", PoolOptions{BalanceFactor: 1.25}, 100},
		{"round_robin", PoolOptions{Algorithm: RoundRobin}, 0},
		{"least_sessions", PoolOptions{Algorithm: LeastSessions}, 0},
	}
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			p := newPool(b, c.o, alike(1000)...)
			for i := range p.Members {
				if i < c.down {
					p.Members[i].SetHealth(Unhealthy)
				}
				for range 10 {
					p.Members[i].Acquire(0)
				}
			}
			p.Refresh(now)
			h, k, cursor := flow.NewHasher([16]byte{1}), flow.Key{Proto: 6}, Cursor{}
			b.ReportAllocs()
			for b.Loop() {
				k.ClientPort++
				if k.ClientPort == 0 {
					k.ClientIP[15]++
				}
				if p.Pick(&cursor, h.Tuple(&k), now, NoBackend) == nil {
					b.Fatal("no backend")
				}
			}
		})
	}
}
