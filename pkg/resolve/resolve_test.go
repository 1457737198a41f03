package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var (
	errNotFound = &net.DNSError{Err: "no such host", Name: "h", IsNotFound: true}
	errServfail = &net.DNSError{Err: "server misbehaving", Name: "h", IsTemporary: true}
)

func timeout(port int) error {
	return &net.DNSError{Err: fmt.Sprintf("read udp 127.0.0.1:%d: i/o timeout", port), Name: "h", IsTimeout: true, IsTemporary: true}
}

// zone is a name server: answers by family and host.
type zone struct {
	mu    sync.Mutex
	four  map[string]any // space-separated addresses, or an error
	six   map[string]any
	asked map[string]int // by host, IPv4 only
}

func newZone() *zone {
	return &zone{four: map[string]any{}, six: map[string]any{}, asked: map[string]int{}}
}

func (z *zone) set(host string, four, six any) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.four[host], z.six[host] = four, six
}

func (z *zone) count(host string) int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return z.asked[host]
}

func (z *zone) lookup(_ context.Context, network, host string) ([]netip.Addr, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	answers := z.six
	if network == "ip4" {
		answers = z.four
		z.asked[host]++
	}
	switch a := answers[host].(type) {
	case error:
		return nil, a
	case string:
		return addrs(a), nil
	}
	return nil, errNotFound
}

func addrs(text string) (list []netip.Addr) {
	for _, a := range strings.Fields(text) {
		list = append(list, netip.MustParseAddr(a))
	}
	return list
}

func show(list []netip.Addr) string { return strings.Trim(fmt.Sprint(list), "[]") }

func TestAsk(t *testing.T) {
	cases := []struct {
		name            string
		four, six       any
		last, want, err string
	}{
		{"both families", "10.0.0.2 10.0.0.1", "fd00::1", "", "10.0.0.1 10.0.0.2 fd00::1", ""},
		{"only IPv4", "10.0.0.1", errNotFound, "", "10.0.0.1", ""},
		{"only IPv6", errNotFound, "fd00::1", "", "fd00::1", ""},
		{"twice the same, and mapped", "10.0.0.1 ::ffff:10.0.0.1 10.0.0.1", nil, "", "10.0.0.1", ""},
		{"a new answer replaces the last", "10.0.0.2", nil, "10.0.0.1", "10.0.0.2", ""},
		{"a family that is gone is gone", "10.0.0.1", errNotFound, "10.0.0.1 fd00::1", "10.0.0.1", ""},
		{"not found keeps the last", errNotFound, errNotFound, "10.0.0.1 fd00::1", "10.0.0.1 fd00::1", "no such host"},
		{"empty keeps the last", "", "", "10.0.0.1", "10.0.0.1", "no address"},
		{"SERVFAIL keeps the last", errServfail, errServfail, "10.0.0.1 fd00::1", "10.0.0.1 fd00::1", "misbehaving"},
		{"SERVFAIL in one family keeps that one's last", "10.0.0.2", errServfail, "10.0.0.1 fd00::1", "10.0.0.2 fd00::1", "misbehaving"},
		{"SERVFAIL and not found keep the last of both", errNotFound, errServfail, "10.0.0.1", "10.0.0.1", "misbehaving"},
		{"SERVFAIL at first still gives the other family", errServfail, "fd00::1", "", "fd00::1", "misbehaving"},
		{"nothing at first is an error", errNotFound, errNotFound, "", "", "no such host"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			z := newZone()
			z.set("h", c.four, c.six)
			r := &Resolver{Lookup: z.lookup}
			last := addrs(c.last)
			got, err := r.ask(context.Background(), "h", last)
			if show(got) != c.want {
				t.Errorf("got %q, want %q", show(got), c.want)
			}
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want one that says %q", err, c.err)
			}
			if show(last) != c.last {
				t.Errorf("the last answer was changed into %q", show(last))
			}
		})
	}
}

func TestSameTrouble(t *testing.T) {
	cases := []struct {
		name string
		a, b error
		want bool
	}{
		{"none", nil, nil, true},
		{"one", errNotFound, nil, false},
		{"over", nil, errNotFound, false},
		{"another kind", errNotFound, errServfail, false},
		{"timeouts that differ by a port", timeout(1), timeout(2), true},
		{"other errors by text", errors.New("a"), errors.New("a"), true},
		{"other errors that differ", errors.New("a"), errors.New("b"), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := sameTrouble(c.a, c.b); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// rig is a resolver over a zone that notes what its hooks hear. It belongs into a synctest bubble, where hours pass in no
// time and a goroutine that is left over is an error.
type rig struct {
	*Resolver
	*zone
	heard []string
}

func newRig() *rig {
	r := &rig{zone: newZone()}
	r.Resolver = New(Hooks{
		Changed: func(host string, a []netip.Addr) { r.hear(host + " = " + show(a)) },
		Failed:  func(host string, err error) { r.hear(fmt.Sprintf("%s: %v", host, err)) },
	})
	r.Lookup = r.lookup
	return r
}

func (r *rig) hear(what string) {
	r.zone.mu.Lock()
	defer r.zone.mu.Unlock()
	r.heard = append(r.heard, what)
}

// next lets interval pass, with its jitter, and returns what was heard meanwhile.
func (r *rig) next(interval time.Duration) string {
	time.Sleep(interval + interval/4)
	synctest.Wait()
	r.zone.mu.Lock()
	defer r.zone.mu.Unlock()
	heard := strings.Join(r.heard, "; ")
	r.heard = nil
	return heard
}

func name(backend, host string, interval time.Duration) Name {
	return Name{Pool: "chat", Backend: backend, Host: host, Interval: interval}
}

func TestResolveNamesWhatDoesNotResolve(t *testing.T) {
	r := newRig()
	defer r.Close()
	r.set("a", "10.0.0.1", nil)
	names := []Name{name("b1", "a", 0), name("b2", "nosuch", 0), name("b3", "a", 0), name("b4", "broken", 0)}
	r.set("broken", errServfail, errServfail)
	got, err := r.Resolve(context.Background(), names)
	if diff := cmp.Diff(Answers{"a": addrs("10.0.0.1")}, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	lines := strings.Split(fmt.Sprint(err), "\n")
	want := []string{"resolve backend chat/b2: lookup h: no such host; ", "resolve backend chat/b4: lookup h: server misbehaving; "}
	if len(lines) != 2 || !strings.HasPrefix(lines[0], want[0]) || !strings.HasPrefix(lines[1], want[1]) {
		t.Errorf("error %q, want %q", lines, want)
	}
	if r.count("a") != 1 {
		t.Errorf("a shared host was asked for %d times", r.count("a"))
	}
}

func TestResolveEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := New(Hooks{})
		defer r.Close()
		r.Lookup = func(ctx context.Context, _, host string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, fmt.Errorf("lookup %s: %w", host, ctx.Err())
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		var names []Name
		for i := range 3 * maxAtOnce {
			names = append(names, name("b", fmt.Sprint("h", i), 0))
		}
		begun := time.Now()
		if _, err := r.Resolve(ctx, names); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if d := time.Since(begun); d != time.Second { // the bubble's clock
			t.Errorf("took %s, want 1s", d)
		}
	})
}

func TestWatchTellsWhatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.Close()
		r.set("a", "10.0.0.1 10.0.0.2", nil)
		names := []Name{name("b1", "a", 30*time.Second)}
		answers, err := r.Resolve(context.Background(), names)
		if err != nil {
			t.Fatal(err)
		}
		r.Watch(names, answers)
		steps := []struct {
			four any
			want string
		}{
			{"10.0.0.2 10.0.0.1", ""}, // another order is the same answer
			{"10.0.0.2 10.0.0.3", "a = 10.0.0.2 10.0.0.3"},
			{errServfail, "a: lookup h: server misbehaving"},
			{errServfail, ""},
			{timeout(1), "a: lookup h: read udp 127.0.0.1:1: i/o timeout"},
			{timeout(2), ""},
			{errNotFound, "a: lookup h: no such host"},
			{"10.0.0.3 10.0.0.2", "a: <nil>"}, // it is over, and nothing has changed meanwhile
			{"10.0.0.3", "a = 10.0.0.3"},
		}
		for i, s := range steps {
			r.set("a", s.four, errNotFound)
			if got := r.next(30 * time.Second); got != s.want {
				t.Errorf("step %d, answer %v: heard %q, want %q", i, s.four, got, s.want)
			}
		}
	})
}

func TestWatchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		defer r.Close()
		r.set("a", "10.0.0.1", nil)
		r.set("b", "10.0.0.2", nil)
		names := []Name{name("b1", "a", time.Hour), name("b2", "b", time.Hour)}
		answers, _ := r.Resolve(context.Background(), names)
		r.Watch(names, answers)
		synctest.Wait()

		r.set("a", errServfail, errServfail)
		names = []Name{name("b1", "a", time.Hour), name("b3", "a", time.Minute)}
		answers, err := r.Resolve(context.Background(), names)
		if err != nil || show(answers["a"]) != "10.0.0.1" {
			t.Errorf("a watched host that fails now: %q, %v; want its last good answer", show(answers["a"]), err)
		}
		r.Watch(names, answers)
		r.set("a", "10.0.0.9", nil)
		if got := r.next(time.Minute); got != "a = 10.0.0.9" {
			t.Errorf("heard %q after the shortest interval, want the new answer", got)
		}
		asked := r.count("b")
		r.next(3 * time.Hour)
		if got := r.count("b"); got != asked {
			t.Errorf("a forgotten host was asked for %d times more", got-asked)
		}
	})
}

func TestCloseEndsLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig()
		r.Lookup = func(ctx context.Context, _, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		r.Watch([]Name{name("b1", "a", time.Nanosecond)}, Answers{"a": addrs("10.0.0.1")})
		time.Sleep(time.Second)
		r.Close()
		r.Watch([]Name{name("b1", "a", time.Nanosecond)}, nil) // nothing any more
		if len(r.heard) != 0 {
			t.Errorf("heard %q", r.heard)
		}
	})
}

// The real resolver knows localhost without asking anybody.
func TestLocalhost(t *testing.T) {
	r := New(Hooks{})
	defer r.Close()
	got, err := r.Resolve(context.Background(), []Name{name("b1", "localhost", 0)})
	if err != nil {
		t.Skipf("this machine cannot resolve localhost: %v", err)
	}
	for _, a := range got["localhost"] {
		if !a.IsLoopback() {
			t.Errorf("localhost is %s", a)
		}
	}
}
