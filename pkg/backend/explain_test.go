package backend

import "testing"

func TestTakesSaysWhyNot(t *testing.T) {
	p := described(t, PoolOptions{}, "ab-c!d^e=f0")
	for name, want := range map[string]string{
		"a": "", "b": "it is unhealthy", "c": "it is draining", "d": "it is ejected after failed connects",
		"e": "it is full (max_sessions)", "f": "it is draining",
	} {
		if takes, why := p.Takes(p.named(name), now); takes != (want == "") || why != want {
			t.Errorf("%s: %v, %q; want %q", name, takes, why, want)
		}
	}
	if takes, _ := described(t, PoolOptions{}, "a-").Takes(&p.Members[0], now); !takes {
		t.Error("a does not take sessions in a panic")
	}
}

func TestHomeIsWhereAPickOfTheWellGoes(t *testing.T) {
	p := newPool(t, PoolOptions{}, alike(20)...)
	for i := range 200 {
		if home, m := p.Home(hash(i)), p.Pick(&Cursor{}, hash(i), now, NoBackend); home != m {
			t.Errorf("hash %d: home %s, picked %s", i, nameOf(home), nameOf(m))
		}
	}
	for name, other := range map[string]*Pool{
		"round robin": newPool(t, PoolOptions{Algorithm: RoundRobin}, alike(2)...),
		"no weights":  newPool(t, PoolOptions{}, member{name: "a"}),
	} {
		if home := other.Home(1); home != nil {
			t.Errorf("%s: home %s, want none", name, nameOf(home))
		}
	}
}

// Share is the number at which Pick passes a member over.
func TestShareIsWhereAPickWalksOn(t *testing.T) {
	p := newPool(t, PoolOptions{BalanceFactor: 1.25}, member{name: "a", weight: 1}, member{name: "b", weight: 4}, member{name: "c", weight: 2, backup: true})
	for i := range 500 {
		home := p.Home(hash(i))
		m := p.Pick(&Cursor{}, hash(i), now, NoBackend)
		if within := home.Sessions() < p.Share(home); within != (m == home) {
			t.Fatalf("session %d: home %s holds %d of its share %d, picked %s", i, home.Name, home.Sessions(), p.Share(home), m.Name)
		}
		m.Acquire(0)
	}
	if got := newPool(t, PoolOptions{}, alike(2)...); got.Share(&got.Members[0]) != 0 {
		t.Error("a share without a balance factor")
	}
}
