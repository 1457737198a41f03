package backend

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longsplice/longsplice/pkg/flow"
)

// member describes one of a test's pool.
type member struct {
	name   string
	weight int64
	max    int64
	backup bool
}

// newPool makes a pool with a registry of its own, so that its backends are numbered from 0 in the order given.
func newPool(t testing.TB, o PoolOptions, members ...member) *Pool {
	t.Helper()
	if o.TableSize == 0 {
		o.TableSize = 65537
	}
	o.Name = "chat"
	live, registry := &PoolLive{}, NewRegistry()
	var all []Member
	for _, m := range members {
		b := registry.Get(Identity{Pool: o.Name, Name: m.name, Address: m.name + ":80", Live: live})
		all = append(all, Member{Backend: b, Weight: m.weight, MaxSessions: m.max, Backup: m.backup})
	}
	p, err := NewPool(o, all, live)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// alike is n members b000, b001, ... of weight 1.
func alike(n int) (members []member) {
	for i := range n {
		members = append(members, member{name: fmt.Sprintf("b%03d", i), weight: 1})
	}
	return members
}

func (p *Pool) named(name string) *Member {
	i := slices.IndexFunc(p.Members, func(m Member) bool { return m.Name == name })
	return &p.Members[i]
}

func nameOf(m *Member) string {
	if m == nil {
		return "none"
	}
	return m.Name
}

// hashes are as good as those of flow, and the same in every run.
func hash(i int) uint64 { return flow.NewHasher([16]byte{1, 2, 3}).Counter(uint64(i)) }

// seeded is a source of chance whose seed is printed.
func seeded(t testing.TB, seed uint64) *rand.Rand {
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

const now = 1_000_000 // ms

var algorithms = map[string]Algorithm{"maglev": Maglev, "least_sessions": LeastSessions, "round_robin": RoundRobin}

// A pool is described by its members' names in letters. Capitals are backups, and a sign behind a letter is the state:
// - unhealthy, ! draining, ^ ejected, = full, 0 without weight, * one connect failed; ? and + are unknown and healthy.
func described(t testing.TB, o PoolOptions, text string) *Pool {
	t.Helper()
	var members []member
	for _, r := range text {
		if name := string(r); strings.ToLower(name) != strings.ToUpper(name) {
			members = append(members, member{name: name, weight: 1, backup: name == strings.ToUpper(name)})
			continue
		}
		last := &members[len(members)-1]
		switch r {
		case '=':
			last.max = 1
		case '0':
			last.weight = 0
		}
	}
	p := newPool(t, o, members...)
	var last *Member
	for _, r := range text {
		switch r {
		case '-':
			last.SetHealth(Unhealthy)
		case '+':
			last.SetHealth(Healthy)
		case '!':
			last.SetDraining(true)
		case '^':
			last.eject(now + 1)
		case '*':
			last.Failed()
		case '=':
			last.Acquire(0)
		case '?', '0':
		default:
			last = p.named(string(r))
		}
	}
	p.Refresh(now)
	return p
}

// picked is the set of members that many picks give, in order of their names.
func picked(p *Pool, avoid Number) string {
	seen := map[string]bool{}
	var c Cursor
	for i := range 1000 {
		seen[nameOf(p.Pick(&c, hash(i), now, avoid))] = true
	}
	var names []string
	for n := range seen {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

func TestWhoIsPicked(t *testing.T) {
	cases := []struct {
		name, pool, avoid, want string
		options                 PoolOptions
	}{
		{"everyone", "abc", "", "abc", PoolOptions{}},
		{"unknown and healthy alike", "a?b+", "", "ab", PoolOptions{}},
		{"not the unhealthy", "ab-c", "", "ac", PoolOptions{}},
		{"not the draining", "ab!c", "", "ac", PoolOptions{}},
		{"not the ejected", "ab^c", "", "ac", PoolOptions{}},
		{"not the full", "ab=c", "", "ac", PoolOptions{}},
		{"not those without weight", "ab0c", "", "ac", PoolOptions{}},
		{"nobody is left", "a!b^c=d0", "", "none", PoolOptions{}},
		{"no member at all has weight", "a0b0", "", "none", PoolOptions{}},

		{"no backup while there is a primary", "a-bCD", "", "b", PoolOptions{}},
		{"backups when no primary is healthy", "a-b-CD", "", "CD", PoolOptions{}},
		{"backups when all primaries are full", "a=b=CD-", "", "C", PoolOptions{}},
		{"only backups", "CD", "", "CD", PoolOptions{}},

		{"panic when none is healthy", "a-b-", "", "ab", PoolOptions{}},
		{"panic does not bring back others", "a-b-!c-^d-=e-0", "", "a", PoolOptions{}},
		{"panic counts those that drain as not there", "a-b!", "", "a", PoolOptions{}},
		{"no panic at the threshold", "a-b-cd", "", "cd", PoolOptions{PanicThreshold: 0.5}},
		{"panic below the threshold", "a-b-c-d", "", "abcd", PoolOptions{PanicThreshold: 0.5}},

		{"not the one to avoid", "abc", "b", "ac", PoolOptions{}},
		{"a backup rather than the one to avoid", "aB", "a", "B", PoolOptions{}},
		{"the one to avoid if there is no other", "ab-", "a", "a", PoolOptions{}},
		{"the one to avoid, but not if it is full", "a=b-", "a", "none", PoolOptions{}},
		{"not those whose last connect failed either", "ab*cd*", "a", "c", PoolOptions{}},
		{"those whose last connect failed before the one to avoid", "a*b*c-", "a", "b", PoolOptions{}},
		{"at first, those whose last connect failed too", "ab*", "", "ab", PoolOptions{}},
	}
	for _, c := range cases {
		for algorithm, a := range algorithms {
			t.Run(c.name+" by "+algorithm, func(t *testing.T) {
				c.options.Algorithm = a
				p := described(t, c.options, c.pool)
				avoid := NoBackend
				if c.avoid != "" {
					avoid = p.named(c.avoid).Number
				}
				if got := picked(p, avoid); got != c.want {
					t.Errorf("pool %s without %q: %s, want %s", c.pool, c.avoid, got, c.want)
				}
			})
		}
	}
}

func TestEjectionEnds(t *testing.T) {
	p := described(t, PoolOptions{}, "ab^")
	if got := nameOf(p.Pick(&Cursor{}, 0, now+1, p.named("a").Number)); got != "b" {
		t.Errorf("picked %s when the ejection has ended, want b", got)
	}
}

func TestPanicFollowsHealth(t *testing.T) {
	p := described(t, PoolOptions{}, "a-b-")
	if !p.Live.Panic.Load() {
		t.Error("no panic though none is healthy")
	}
	p.named("b").SetHealth(Healthy)
	p.Refresh(now)
	if p.Live.Panic.Load() {
		t.Error("panic though one is healthy")
	}
}

func TestEject(t *testing.T) {
	cases := []struct {
		name, pool, tries, want string
		options                 PoolOptions
	}{
		{"one of one is never ejected", "a", "a", "", PoolOptions{EjectAfter: 5, MaxEjected: 0.9}},
		{"one of several may be", "abc", "abc", "a", PoolOptions{EjectAfter: 5, MaxEjected: 0.1}},
		{"no more than the share", "abcdef", "fedcba", "fe", PoolOptions{EjectAfter: 5, MaxEjected: 0.34}},
		{"all, if the share says so", "abc", "cba", "cba", PoolOptions{EjectAfter: 5, MaxEjected: 1}},
		{"none with a share of 0", "abc", "abc", "", PoolOptions{EjectAfter: 5}},
		{"none if it is off", "abc", "abc", "", PoolOptions{MaxEjected: 1}},
		{"nobody twice", "abc", "aa", "a", PoolOptions{EjectAfter: 5, MaxEjected: 1}},
		{"those ejected before count", "a^bcde", "bc", "", PoolOptions{EjectAfter: 5, MaxEjected: 0.34}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.options.EjectForMs = 10
			p := described(t, c.options, c.pool)
			ejected := ""
			for _, r := range c.tries {
				if p.Eject(p.named(string(r)).Backend, 5, now) {
					ejected += string(r)
				}
			}
			if ejected != c.want {
				t.Errorf("ejected %q, want %q", ejected, c.want)
			}
		})
	}
}

func TestEjectAfterFailuresInARow(t *testing.T) {
	p := described(t, PoolOptions{EjectAfter: 3, EjectForMs: 10, MaxEjected: 1}, "ab")
	b := p.named("a").Backend
	for i, success := range []bool{false, false, true, false, false} {
		if success {
			b.Connected()
		} else if p.Eject(b, b.Failed(), now) {
			t.Fatalf("ejected at step %d, before three failures in a row", i)
		}
	}
	if !p.Eject(b, b.Failed(), now) || !b.Ejected(now+9) || b.Ejected(now+10) || b.EjectedUntil() != now+10 {
		t.Errorf("after three failures in a row: ejected until %d, want %d", b.EjectedUntil(), now+10)
	}
	if n := b.Failed(); n != 1 {
		t.Errorf("%d failures after the ejection, want a new count", n)
	}
}

// Workers eject at the same time; the share holds all the same.
func TestEjectKeepsTheShareAmongWorkers(t *testing.T) {
	const n, rounds = 8, 2000
	p := newPool(t, PoolOptions{EjectAfter: 1, EjectForMs: 1, MaxEjected: 0.25}, alike(n)...)
	for round := range int64(rounds) {
		ejected := together(n, func(i int) bool { return p.Eject(p.Members[i].Backend, 1, 10*round) })
		if ejected < 1 || ejected > n/4 {
			t.Fatalf("round %d: %d of %d ejected at once, want 1 to %d", round, ejected, n, n/4)
		}
	}
}

// together calls f(0) to f(n-1) at the same time and counts what is true.
func together(n int, f func(i int) bool) (count int) {
	var wg sync.WaitGroup
	results, start := make([]bool, n), make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	for _, r := range results {
		if r {
			count++
		}
	}
	return count
}

// Checks of several backends end at the same time; the last Refresh sees them all.
func TestRefreshSeesAllOfSeveralChanges(t *testing.T) {
	const checks, each, rounds = 8, 50, 600
	p := newPool(t, PoolOptions{BalanceFactor: 1.25}, alike(checks*each)...)
	for round := range rounds {
		to, usable := Unhealthy, int64(1)
		if round%2 == 1 {
			to, usable = Healthy, checks*each
		}
		together(checks, func(i int) bool {
			for _, m := range p.Members[i*each : (i+1)*each] {
				m.SetHealth(to)
			}
			p.Refresh(now)
			return true
		})
		if got := p.primary.usable.Load(); got != usable {
			t.Fatalf("round %d: all have health %d, usable weight %d, want %d", round, to, got, usable)
		}
		if panicking := p.Live.Panic.Load(); panicking != (to == Unhealthy) {
			t.Fatalf("round %d: all have health %d, panic %v", round, to, panicking)
		}
	}
}

func TestBuildErrorNamesThePool(t *testing.T) {
	live, registry := &PoolLive{}, NewRegistry()
	m := Member{Backend: registry.Get(Identity{Name: "a", Live: live}), Weight: 1}
	_, err := NewPool(PoolOptions{Name: "chat", TableSize: 10}, []Member{m}, live)
	if err == nil || !strings.Contains(err.Error(), "build pool chat: ") {
		t.Errorf("got %v, want an error that names the pool", err)
	}
}
