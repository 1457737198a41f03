package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// A script of results: o ok, f fail, t timeout, l local. The states are those after each: ? unknown, + healthy, - unhealthy.
func TestRiseAndFall(t *testing.T) {
	cases := []struct {
		name, from, script, states string
		rise, fall                 int
	}{
		{"the first success decides", "?", "o", "+", 3, 3},
		{"the first failure decides", "?", "f", "-", 3, 3},
		{"the first timeout decides", "?", "t", "-", 3, 3},
		{"a shortage decides nothing", "?", "llo", "??+", 3, 3},
		{"fall takes its number in a row", "+", "ftf", "++-", 2, 3},
		{"a success in between begins anew", "+", "ffoffof", "+++++++", 2, 3},
		{"rise takes its number in a row", "-", "oofooo", "-----+", 3, 3},
		{"a shortage neither counts nor forgives", "+", "flfllf", "+++++-", 2, 3},
		{"a shortage does not help to rise", "-", "olo", "--+", 2, 3},
		{"rise and fall of one", "?", "ofofo", "+-+-+", 1, 1},
		{"fall after rise begins anew", "-", "offoff", "++-++-", 1, 2},
	}
	results := map[rune]outcome{'o': ok, 'f': failed, 't': timedOut, 'l': local}
	const signs = "?+-"
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := &watch{checks: PoolChecks{Health: config.Health{Rise: c.rise, Fall: c.fall}}}
			health, states := backend.Health(strings.Index(signs, c.from)), ""
			for _, r := range c.script {
				health, _ = w.next(health, results[r])
				states += string(signs[health])
			}
			if states != c.states {
				t.Errorf("after %s from %s: %s, want %s", c.script, c.from, states, c.states)
			}
		})
	}
}

// Whoever sees a new health can know the reason: it is told before, the same as after.
func TestTheReasonIsToldBeforeTheHealthChanges(t *testing.T) {
	x := backend.NewRegistry().Get(backend.Identity{Pool: "chat", Name: "b0"})
	var told []string
	c := New(Hooks{
		Changing: func(b *backend.Backend, to backend.Health, why string) {
			told = append(told, fmt.Sprintf("%d to %d: %s", b.Health(), to, why))
		},
		Changed: func(_ *backend.Pool, b *backend.Backend, from, to backend.Health, why string) {
			told = append(told, fmt.Sprintf("%d to %d is %d: %s", from, to, b.Health(), why))
		},
	})
	defer c.Close()
	p, err := backend.NewPool(backend.PoolOptions{Name: "chat", TableSize: 13}, []backend.Member{{Backend: x, Weight: 1}}, &backend.PoolLive{})
	if err != nil {
		t.Fatal(err)
	}
	w := &watch{c: c, b: x, checks: PoolChecks{Pool: p, Health: config.Health{Rise: 1, Fall: 2}}}
	refused := errors.New("refused")
	w.judge(ok, nil)
	w.judge(failed, refused)
	w.judge(failed, refused)
	want := []string{
		"0 to 1: a check succeeded", "0 to 1 is 1: a check succeeded",
		"1 to 2: 2 checks in a row failed, the last one: refused", "1 to 2 is 2: 2 checks in a row failed, the last one: refused",
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
}

// fakeDial answers a check by the backend's address, at once.
type fakeDial struct {
	mu    sync.Mutex
	fails map[string]error // nil: success
	tried map[string]int
}

func (d *fakeDial) dial(_ context.Context, _, address string) (net.Conn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried[address]++
	if err := d.fails[address]; err != nil {
		return nil, err
	}
	ours, theirs := net.Pipe()
	theirs.Close()
	return ours, nil
}

func (d *fakeDial) set(address string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fails[address] = err
}

func (d *fakeDial) count(address string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tried[address]
}

// rig is a checker over a fakeDial, with what its hooks heard.
type rig struct {
	*Checker
	*fakeDial
	registry *backend.Registry

	mu      sync.Mutex
	changes []string
	results map[string]int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	testkit.LeakCheck(t)
	r := &rig{
		fakeDial: &fakeDial{fails: map[string]error{}, tried: map[string]int{}},
		registry: backend.NewRegistry(), results: map[string]int{},
	}
	r.Checker = New(Hooks{Changed: r.changed, Checked: r.checked})
	r.Checker.dial = r.fakeDial.dial
	t.Cleanup(r.Close)
	return r
}

func (r *rig) changed(p *backend.Pool, b *backend.Backend, from, to backend.Health, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, fmt.Sprintf("%s/%s %d>%d %s", p.Name, b.Name, from, to, why))
}

func (r *rig) checked(pool, name, result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.results[pool+"/"+name+" "+result]++
}

func (r *rig) result(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results[what]
}

// pool makes a pool with members that are named by the last digit of their address, 10.0.0.N:80.
func (r *rig) pool(t *testing.T, digits string) *backend.Pool {
	t.Helper()
	var members []backend.Member
	for _, d := range digits {
		b := r.registry.Get(backend.Identity{
			Pool: "chat", Name: string(d), Address: address(d), Addr: sys.AddrFrom(netip.MustParseAddrPort(address(d))),
		})
		members = append(members, backend.Member{Backend: b, Weight: 1})
	}
	p, err := backend.NewPool(backend.PoolOptions{Name: "chat", Algorithm: backend.LeastSessions}, members, &backend.PoolLive{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func address(digit rune) string { return "10.0.0." + string(digit) + ":80" }

// health is the signs of the pool's members: ? unknown, + healthy, - unhealthy.
func health(p *backend.Pool) (signs string) {
	for _, m := range p.Members {
		signs += string("?+-"[m.Health()])
	}
	return signs
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patient); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

var (
	errDown  = errors.New("down")
	errFDs   = os.NewSyscallError("socket", sys.EMFILE)
	quick    = withDefaults(config.Health{Type: "tcp"})                      // checks follow each other at once
	onlyOnce = withDefaults(config.Health{Type: "tcp", Interval: time.Hour}) // the first check, most likely
)

func TestFirstRound(t *testing.T) {
	r := newRig(t)
	p := r.pool(t, "123")
	r.set(address('2'), errDown)
	r.set(address('3'), errFDs)
	r.Apply([]PoolChecks{{p, onlyOnce}})
	<-r.FirstRound()
	if got := health(p); got != "+-?" {
		t.Errorf("health %s, want +-?: the one with a local shortage counts as checked and stays unknown", got)
	}
	for _, what := range []string{"chat/1 ok", "chat/2 fail", "chat/3 local"} {
		if r.result(what) == 0 {
			t.Errorf("the hook did not hear of %q", what)
		}
	}
}

func TestFirstRoundIsOver(t *testing.T) {
	cases := []struct {
		name string
		act  func(*rig, *backend.Pool)
	}{
		{"at once without pools", func(r *rig, p *backend.Pool) { r.Apply(nil) }},
		{"at once without checks", func(r *rig, p *backend.Pool) { r.Apply([]PoolChecks{{p, config.Health{Type: "none"}}}) }},
		{"when the checker is closed", func(r *rig, p *backend.Pool) { r.Close() }},
		{"when who was not checked yet is gone", func(r *rig, p *backend.Pool) {
			r.Checker.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			r.Apply([]PoolChecks{{p, quick}})
			r.Apply(nil)
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			c.act(r, r.pool(t, "1"))
			<-r.FirstRound()
		})
	}
}

func TestFirstRoundWaitsForAll(t *testing.T) {
	r := newRig(t)
	release := make(chan struct{})
	r.Checker.dial = func(ctx context.Context, network, a string) (net.Conn, error) {
		if a == address('2') {
			<-release
		}
		return r.fakeDial.dial(ctx, network, a)
	}
	p := r.pool(t, "12")
	r.Apply([]PoolChecks{{p, quick}})
	await(t, "the other was checked often", func() bool { return r.count(address('1')) > 5 })
	select {
	case <-r.FirstRound():
		t.Error("the round is over before all were checked")
	default:
	}
	close(release)
	<-r.FirstRound()
}

func TestChangesAreTold(t *testing.T) {
	r := newRig(t)
	p := r.pool(t, "1")
	h := quick
	h.Rise, h.Fall = 2, 3
	r.Apply([]PoolChecks{{p, h}})
	await(t, "it is healthy", func() bool { return health(p) == "+" })
	r.set(address('1'), errDown)
	await(t, "it is unhealthy", func() bool { return health(p) == "-" })
	await(t, "the pool is in panic", p.Live.Panic.Load)
	r.set(address('1'), nil)
	await(t, "it is healthy again", func() bool { return health(p) == "+" })
	r.Close()
	want := []string{
		"chat/1 0>1 a check succeeded",
		"chat/1 1>2 3 checks in a row failed, the last one: down",
		"chat/1 2>1 2 checks in a row succeeded",
	}
	if diff := cmp.Diff(want, r.changes); diff != "" {
		t.Error(diff)
	}
	if p.Live.Panic.Load() {
		t.Error("the pool is still in panic")
	}
}

func TestShortageNeverCountsAgainstABackend(t *testing.T) {
	r := newRig(t)
	p := r.pool(t, "1")
	r.Apply([]PoolChecks{{p, quick}})
	await(t, "it is healthy", func() bool { return health(p) == "+" })
	r.set(address('1'), errFDs)
	before := r.result("chat/1 local")
	await(t, "many checks met the shortage", func() bool { return r.result("chat/1 local") > before+5 })
	r.Close()
	if got := health(p); got != "+" || len(r.changes) != 1 {
		t.Errorf("health %s after %q, want + and one change", got, r.changes)
	}
}

func TestApplyAgainKeepsWhatIsKnown(t *testing.T) {
	r := newRig(t)
	r.set(address('2'), errDown)
	first := r.pool(t, "12")
	r.Apply([]PoolChecks{{first, onlyOnce}})
	<-r.FirstRound()
	gone, second := first.Members[0].Backend, r.pool(t, "23")
	r.Apply([]PoolChecks{{second, quick}}) // an hour of waiting is cut short, too
	if got := health(second)[:1]; got != "-" {
		t.Errorf("health of the one that stays is %s, want -", got)
	}
	if gone.Health() != backend.Unknown {
		t.Errorf("health of the one that is gone is %d, want unknown", gone.Health())
	}
	checks := r.count(gone.Address)
	r.set(address('2'), nil)
	await(t, "the others are healthy", func() bool { return health(second) == "++" })
	if got := r.count(gone.Address); got != checks {
		t.Errorf("the one that is gone was checked %d times more", got-checks)
	}
	await(t, "the new pool is refreshed", func() bool { return !second.Live.Panic.Load() })
}

func TestApplyWithoutChecksMakesHealthy(t *testing.T) {
	r := newRig(t)
	r.set(address('1'), errDown)
	p := r.pool(t, "1")
	r.Apply([]PoolChecks{{p, onlyOnce}})
	<-r.FirstRound()
	r.Apply([]PoolChecks{{p, config.Health{Type: "none"}}})
	if got := health(p); got != "+" || p.Live.Panic.Load() {
		t.Errorf("health %s, panic %v; want + and no panic", got, p.Live.Panic.Load())
	}
	r.Apply([]PoolChecks{{p, quick}})
	await(t, "checks decide again", func() bool { return health(p) == "-" })
}

func TestResultsOfARetiredWatchDoNotCount(t *testing.T) {
	r := newRig(t)
	p := r.pool(t, "1")
	w := &watch{c: r.Checker, b: p.Members[0].Backend, cancel: func() {}, checks: PoolChecks{p, quick}}
	w.retire()
	w.judge(failed, errDown)
	if got := health(p); got != "?" || len(r.changes)+len(r.results) != 0 {
		t.Errorf("health %s, hooks heard %q and %v; want ? and nothing", got, r.changes, r.results)
	}
}

func TestCloseDoesNotWaitForACheckThatHangs(t *testing.T) {
	testkit.LeakCheck(t)
	entered := make(chan struct{}, 100)
	hanging := serve(t, "tcp", func(c net.Conn) { entered <- struct{}{}; silent(c) })
	c := New(Hooks{})
	b := at(hanging)
	p, err := backend.NewPool(backend.PoolOptions{Name: "p", Algorithm: backend.RoundRobin}, []backend.Member{{Backend: b, Weight: 1}}, &backend.PoolLive{})
	if err != nil {
		t.Fatal(err)
	}
	c.Apply([]PoolChecks{{p, withDefaults(config.Health{Type: "http", Timeout: time.Hour})}})
	<-entered
	c.Close()
	c.Apply([]PoolChecks{{p, quick}}) // is nothing any more
	if b.Health() != backend.Unknown {
		t.Errorf("health %d, want unknown: no check has ended", b.Health())
	}
}

func TestJitter(t *testing.T) {
	low, high := 1.0, 1.0
	for range 10_000 {
		j := jittered()
		low, high = min(low, j), max(high, j)
	}
	if low < 0.9 || low > 0.92 || high > 1.1 || high < 1.08 {
		t.Errorf("intervals vary from %.3f to %.3f, want 0.9 to 1.1", low, high)
	}
}
