package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// quickHealth checks often; a backend is down after two checks and up after two.
const quickHealth = "interval = \"50ms\"\ntimeout = \"1s\"\nfall = 2\nrise = 2"

// echoAt serves an address again that was served before.
func echoAt(t *testing.T, address string) net.Listener {
	t.Helper()
	var l net.Listener
	eventually(t, "listen again at "+address, func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	t.Cleanup(func() { l.Close() })
	go echo(l)
	return l
}

// backendNamed is the status of a backend of the first pool.
func backendNamed(t *testing.T, b *Balancer, name string) BackendStatus {
	t.Helper()
	for _, s := range b.Pools()[0].Backends {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no backend %s", name)
	return BackendStatus{}
}

func awaitEvent(t *testing.T, b *Balancer, name string) {
	t.Helper()
	eventually(t, name, func() bool { return recent(b, name) != nil })
}

func awaitState(t *testing.T, b *Balancer, name, state string) BackendStatus {
	t.Helper()
	eventually(t, name+" is "+state, func() bool { return backendNamed(t, b, name).State == state })
	return backendNamed(t, b, name)
}

// where counts the live sessions by backend.
func where(t *testing.T, b *Balancer) map[string]int {
	t.Helper()
	page, err := b.Sessions(context.Background(), SessionQuery{Limit: largestPage})
	if err != nil {
		t.Fatal(err)
	}
	n := map[string]int{}
	for _, s := range page.Sessions {
		n[s.Backend]++
	}
	return n
}

// A state and the reason beside it are of one moment: the reason is noted before the state changes, and until then the old
// state has the old reason.
func TestAStateIsShownWithItsOwnReason(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{health: `type = "none"`} // the test is the checker
	b := s.start(t)
	x := &b.snap.Load().Pools[0].Members[0]
	shown := func() string {
		st := backendNamed(t, b, "b0")
		if st.Since.IsZero() {
			t.Errorf("%s since never", st.State)
		}
		return st.State + ": " + st.Why
	}
	var got []string
	for _, to := range []struct {
		health backend.Health
		why    string
	}{{backend.Unhealthy, "it hung up"}, {backend.Healthy, "it answered"}, {backend.Unhealthy, "it is silent"}} {
		b.watch.changing(x.Backend, to.health, to.why)
		got = append(got, shown())
		x.SetHealth(to.health)
		got = append(got, shown())
	}
	want := "[healthy:  unhealthy: it hung up unhealthy: it hung up healthy: it answered healthy: it answered unhealthy: it is silent]"
	if fmt.Sprint(got) != want {
		t.Errorf("shown were\n%v, want\n%s", got, want)
	}
}

func TestABackendThatDiesIsAvoidedUntilItIsBack(t *testing.T) {
	testkit.LeakCheck(t)
	dying, other := echoBackend(t), echoBackend(t)
	s := setup{pool: `algorithm = "round_robin"`, health: quickHealth, backends: []string{dying.Addr().String(), other.Addr().String()}}
	b := s.start(t)
	for _, name := range []string{"b0", "b1"} {
		if st := backendNamed(t, b, name); st.State != "healthy" || st.Checks["ok"] == 0 {
			t.Errorf("after the first round %s is %s, checks %v", name, st.State, st.Checks)
		}
	}
	before := sessions(t, s.at, 10)
	first := where(t, b)
	if first["b0"] == 0 || first["b1"] == 0 {
		t.Errorf("sessions are at %v, want some at each", first)
	}
	dying.Close()
	awaitEvent(t, b, "backend_unhealthy")
	down := awaitState(t, b, "b0", "unhealthy")
	if down.Checks["fail"] < 2 || !strings.Contains(down.Why, "2 checks in a row failed") {
		t.Errorf("unhealthy after %d failed checks: %s", down.Checks["fail"], down.Why)
	}
	if e := recent(b, "backend_unhealthy"); e == nil || e.Subject != "chat/b0" || e.Fields["address"] != dying.Addr().String() || e.Level != "warn" {
		t.Errorf("event: %+v", e)
	}
	sessions(t, s.at, 40)
	if n := where(t, b); n["b0"] != first["b0"] || n["b1"] != first["b1"]+40 {
		t.Errorf("sessions were at %v and are at %v; want all new ones at b1", first, n)
	}
	if p := b.Pools()[0]; p.Retries != 0 || p.Panic {
		t.Errorf("%d retries, panic %v: new sessions were sent to the dead backend", p.Retries, p.Panic)
	}
	for _, c := range before {
		if !served(c, testkit.Bound) {
			t.Error("on_unhealthy = keep, and a session was not kept")
		}
	}
	echoAt(t, dying.Addr().String())
	awaitEvent(t, b, "backend_healthy")
	up := awaitState(t, b, "b0", "healthy")
	if e := recent(b, "backend_healthy"); e == nil || e.Subject != "chat/b0" || !strings.Contains(up.Why, "2 checks in a row succeeded") {
		t.Errorf("event %+v, why %q", e, up.Why)
	}
	sessions(t, s.at, 10)
	if n := where(t, b); n["b0"] == first["b0"] {
		t.Errorf("sessions are at %v; b0 is back and got none", n)
	}
}

// With nobody healthy health is ignored; who is draining or ejected is not brought back by that.
func TestPanic(t *testing.T) {
	testkit.LeakCheck(t)
	one, two, three := echoBackend(t), echoBackend(t), echoBackend(t)
	s := setup{
		pool: "algorithm = \"round_robin\"\nconnect_retries = 2\n[pool.passive]\nconsecutive_failures = 0", health: quickHealth,
		backends: []string{one.Addr().String(), two.Addr().String(), three.Addr().String()},
		backend:  map[int]string{2: "weight = 0"},
	}
	b := s.start(t)
	one.Close()
	two.Close()
	eventually(t, "panic_on", func() bool { return recent(b, "panic_on") != nil })
	if p := b.Pools()[0]; !p.Panic {
		t.Error("the pool does not say that it is in panic")
	}
	if x, err := b.Explain("chat", "192.0.2.1:4711"); err != nil || !strings.Contains(strings.Join(x.Steps, "\n"), "panic") || x.Backend == "" || x.Backend == "b2" {
		t.Errorf("explain: %+v, %v", x, err)
	}
	before := b.Frontends()[0].Ended
	for range 10 {
		c, err := net.Dial("tcp", s.at) // the reset may come before this returns
		if c != nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if !errors.Is(err, sys.ECONNRESET) {
			t.Errorf("with nobody there a client saw %v, want a reset", err)
		}
	}
	eventually(t, "ten ends", func() bool { return b.Frontends()[0].Ended["connect_refused"] == before["connect_refused"]+10 })
	if n := b.Frontends()[0].Ended["no_backend"]; n != 0 {
		t.Errorf("%d sessions had no backend, though the pool is in panic", n)
	}
	echoAt(t, one.Addr().String()) // served at once, before any check says so
	if c := dial(t, s.at); !served(c, testkit.Bound) {
		t.Error("a backend that is back is not used in a panic")
	}
	eventually(t, "panic_off", func() bool { return recent(b, "panic_off") != nil })
	if n := where(t, b); n["b2"] != 0 {
		t.Errorf("the draining backend got %d sessions", n["b2"])
	}
}

func TestBackupsAreUsedWhenNoPrimaryIsToBeHad(t *testing.T) {
	testkit.LeakCheck(t)
	primary, backup := echoBackend(t), echoBackend(t)
	s := setup{health: quickHealth, backends: []string{primary.Addr().String(), backup.Addr().String()}, backend: map[int]string{1: "backup = true"}}
	b := s.start(t)
	sessions(t, s.at, 10)
	primary.Close()
	awaitState(t, b, "b0", "unhealthy")
	sessions(t, s.at, 10)
	if n := where(t, b); n["b0"] != 10 || n["b1"] != 10 {
		t.Errorf("sessions are at %v, want ten at each", n)
	}
	if b.Pools()[0].Panic {
		t.Error("a pool with a healthy backup is in panic")
	}
	echoAt(t, primary.Addr().String())
	awaitState(t, b, "b0", "healthy")
	sessions(t, s.at, 10)
	if n := where(t, b); n["b0"] != 20 || n["b1"] != 10 {
		t.Errorf("sessions are at %v, want 20 and 10", n)
	}
}

// Two backends that fail together: the sessions of both are reset, over a while, and no others.
func TestUnhealthyBackendsGiveTheirSessionsUp(t *testing.T) {
	testkit.LeakCheck(t)
	defer func(d time.Duration) { shedUnhealthyOver = d }(shedUnhealthyOver)
	shedUnhealthyOver = time.Second
	one, two, three := echoBackend(t), echoBackend(t), echoBackend(t)
	s := setup{
		pool: "algorithm = \"round_robin\"\non_unhealthy = \"reset\"", health: quickHealth,
		backends: []string{one.Addr().String(), two.Addr().String(), three.Addr().String()},
	}
	b := s.start(t)
	t.Cleanup(func() { b.Shutdown(context.Background()) }) // before the variable is put back
	conns := sessions(t, s.at, 60)
	first := where(t, b)
	lost := first["b0"] + first["b1"]
	ends := make(chan time.Time, len(conns))
	began := time.Now()
	for _, c := range conns {
		go func() {
			if _, err := c.Read(make([]byte, 1)); errors.Is(err, sys.ECONNRESET) {
				ends <- time.Now()
			}
		}()
	}
	one.Close()
	two.Close()
	var last time.Time
	for i := range lost {
		select {
		case last = <-ends:
			if float64(i) > float64(lost)*float64(last.Sub(began))/float64(shedUnhealthyOver) {
				t.Fatalf("%d were reset within %s: not paced", i+1, last.Sub(began))
			}
		case <-time.After(testkit.Bound):
			t.Fatalf("only %d of %d sessions were reset", i, lost)
		}
	}
	if n := where(t, b); n["b2"] != first["b2"] || n["b0"]+n["b1"] != 0 {
		t.Errorf("sessions were at %v and are at %v, want those of b2 alone", first, n)
	}
	if f := b.Frontends()[0]; f.Ended["backend_unhealthy"] != uint64(lost) {
		t.Errorf("ended: %v", f.Ended)
	}
}

// A backend that refuses is put aside after so many failures in a row, others serve meanwhile, and it is tried again.
func TestPassiveEjection(t *testing.T) {
	testkit.LeakCheck(t)
	dead, alsoDead, alive := deadAddress(t), deadAddress(t), echoBackend(t)
	s := setup{
		pool:   "algorithm = \"round_robin\"\nconnect_retries = 2\n[pool.passive]\nconsecutive_failures = 3\neject_for = \"1s\"\nmax_ejected = 0.34",
		health: `type = "none"`, backends: []string{dead, alsoDead, alive.Addr().String()},
	}
	b := s.start(t)
	ejected := func() (n int) {
		for _, x := range b.Pools()[0].Backends {
			if x.State == "ejected" {
				n++
			}
		}
		return n
	}
	sessions(t, s.at, 20)
	eventually(t, "backend_ejected", func() bool { return recent(b, "backend_ejected") != nil })
	if n := ejected(); n > 1 {
		t.Errorf("%d of 3 backends are ejected, max_ejected = 0.34 allows one", n)
	}
	e := recent(b, "backend_ejected")
	if e.Subject != "chat/b0" && e.Subject != "chat/b1" || !strings.Contains(e.Message, "3 connects in a row") {
		t.Errorf("event %+v", e)
	}
	if x, err := b.Explain("chat", "192.0.2.1:4711"); err != nil || ejected() == 1 && !strings.Contains(x.Backends[0].Why+x.Backends[1].Why, "ejected") {
		t.Errorf("explain: %+v, %v", x, err)
	}
	failures := func() uint64 {
		return backendNamed(t, b, "b0").Failures["refused"] + backendNamed(t, b, "b1").Failures["refused"]
	}
	eventually(t, "the end of the ejection", func() bool { return ejected() == 0 })
	before := failures()
	sessions(t, s.at, 6)
	eventually(t, "they are tried again", func() bool { return failures() > before })
	if n := where(t, b); n["b2"] != 26 {
		t.Errorf("sessions are at %v, want all 26 at b2", n)
	}
}

// deadAddress is a loopback address that nobody serves: the socket there is bound and does not listen.
func deadAddress(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	a, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(a.(*syscall.SockaddrInet4).Port))
}

// silentBackend accepts and reads nothing.
func silentBackend(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted []net.Conn
	over := make(chan struct{})
	go func() {
		defer close(over)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted = append(accepted, c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-over
		for _, c := range accepted {
			c.Close()
		}
	})
	return l.Addr().String()
}
