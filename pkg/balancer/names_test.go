package balancer

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// nameServer answers for one name, chat.test.
type nameServer struct {
	mu     sync.Mutex
	addrs  []netip.Addr
	err    error
	asked  int
	errors int // look-ups that failed
}

func (n *nameServer) lookup(_ context.Context, network, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if network != "ip4" || host != "chat.test" {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	n.asked++
	if n.err != nil {
		n.errors++
		return nil, n.err
	}
	return n.addrs, nil
}

func (n *nameServer) answer(err error, addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err, n.addrs = err, nil
	for _, a := range addrs {
		n.addrs = append(n.addrs, netip.MustParseAddr(a))
	}
}

func (n *nameServer) failed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.errors
}

// startNamed runs a balancer whose one backend, "b0", is chat.test; echo servers are at 127.0.0.1, .2 and .3 of its port.
func startNamed(t *testing.T, s *setup, names *nameServer) *Balancer {
	t.Helper()
	l := echoBackend(t)
	port := l.Addr().(*net.TCPAddr).Port
	for _, host := range []string{"127.0.0.2", "127.0.0.3"} {
		echoAt(t, fmt.Sprintf("%s:%d", host, port))
	}
	s.backends = []string{fmt.Sprintf("chat.test:%d", port)}
	if !strings.Contains(s.pool, "resolve") {
		s.pool += "\nresolve = \"1s\""
	}
	s.pool += "\nalgorithm = \"round_robin\""
	c, _, err := config.Parse("test.toml", []byte(s.text(t)), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(context.Background(), Options{Config: c, lookup: names.lookup})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Shutdown(context.Background()) })
	return b
}

func TestEveryAnswerIsABackend(t *testing.T) {
	testkit.LeakCheck(t)
	names := &nameServer{}
	names.answer(nil, "127.0.0.1", "127.0.0.2")
	var s setup
	b := startNamed(t, &s, names)
	sessions(t, s.at, 20)
	before := where(t, b)
	if before["b0@127.0.0.1"] == 0 || before["b0@127.0.0.2"] == 0 || len(before) != 2 {
		t.Fatalf("sessions are at %v", before)
	}
	conns := sessions(t, s.at, 10)
	before = where(t, b)
	generation := b.Status().Generation

	names.answer(nil, "127.0.0.2", "127.0.0.3")
	eventually(t, "backends_changed", func() bool { return recent(b, "backends_changed") != nil })
	if g := b.Status().Generation; g <= generation {
		t.Errorf("the generation was %d and is %d", generation, g)
	}
	for _, c := range append(conns, sessions(t, s.at, 20)...) {
		if !served(c, testkit.Bound) {
			t.Error("a session is not served after the answer has changed")
		}
	}
	after := where(t, b)
	if after["b0@127.0.0.1"] != before["b0@127.0.0.1"] || after["b0@127.0.0.3"] == 0 || after["b0@127.0.0.2"] <= before["b0@127.0.0.2"] {
		t.Errorf("sessions were at %v and are at %v: want none more at .1, and some at .3", before, after)
	}
	gone := backendNamed(t, b, "b0@127.0.0.1")
	if !gone.Removed || gone.State != "draining" || gone.Sessions != int64(before["b0@127.0.0.1"]) || gone.Checks["ok"] == 0 {
		t.Errorf("the series of an answer that is gone: %+v", gone)
	}
	for _, name := range []string{"b0@127.0.0.2", "b0@127.0.0.3"} {
		if x := backendNamed(t, b, name); x.Removed {
			t.Errorf("%s counts as removed", name)
		}
	}

	names.answer(nil, "127.0.0.1", "127.0.0.3") // an answer that comes back is the same backend
	eventually(t, "the first answer again", func() bool { return !backendNamed(t, b, "b0@127.0.0.1").Removed })
	if all := b.Pools()[0].Backends; len(all) != 3 {
		t.Errorf("three answers were seen, and backends are %+v", all)
	}
	if x := backendNamed(t, b, "b0@127.0.0.1"); x.Sessions != int64(before["b0@127.0.0.1"]) || x.ToBackend < gone.ToBackend {
		t.Errorf("it was %+v and is %+v", gone, x)
	}
}

func TestTheLastGoodAnswerIsKept(t *testing.T) {
	testkit.LeakCheck(t)
	names := &nameServer{}
	names.answer(nil, "127.0.0.1", "127.0.0.2")
	var s setup
	b := startNamed(t, &s, names)
	for _, c := range []struct {
		name string
		err  error
	}{
		{"SERVFAIL", &net.DNSError{Err: "server misbehaving", Name: "chat.test", IsTemporary: true}},
		{"silence", context.DeadlineExceeded},
		{"no such host", &net.DNSError{Err: "no such host", Name: "chat.test", IsNotFound: true}},
		{"an empty answer", nil},
	} {
		names.answer(c.err)
		failed := names.failed()
		asked := func() int { names.mu.Lock(); defer names.mu.Unlock(); return names.asked }
		before := asked()
		eventually(t, "another look-up", func() bool { return asked() >= before+1 })
		if c.err != nil && names.failed() == failed {
			t.Fatalf("%s: the look-up did not fail", c.name)
		}
		for _, name := range []string{"b0@127.0.0.1", "b0@127.0.0.2"} {
			if backendNamed(t, b, name).Removed {
				t.Errorf("%s: %s was removed", c.name, name)
			}
		}
		sessions(t, s.at, 2)
	}
	if e := recent(b, "degraded"); e == nil || e.Subject != "chat.test" || !strings.Contains(e.Message, "last good answer is kept") {
		t.Errorf("event %+v", e)
	}
}

// Answers that change for ever must not use up numbers, and leave nothing behind.
func TestAThousandAnswersLeakNothing(t *testing.T) {
	testkit.LeakCheck(t)
	defer func(d time.Duration) { keepSeries = d }(keepSeries)
	keepSeries = 0
	names := &nameServer{}
	names.answer(nil, "127.0.0.1")
	s := setup{pool: `resolve = "1h"`, health: `type = "none"`}
	b := startNamed(t, &s, names)
	t.Cleanup(func() { b.Shutdown(context.Background()) }) // before the variable is put back
	conn := sessions(t, s.at, 1)[0]
	for i := range 1000 {
		b.nameChanged("chat.test", []netip.Addr{netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)}), netip.MustParseAddr("127.0.0.2")})
		b.monitorPools()
	}
	if !served(conn, testkit.Bound) {
		t.Error("the session of an answer that is long gone is not served")
	}
	gone := backendNamed(t, b, "b0@127.0.0.1")
	if !gone.Removed || gone.Sessions != 1 {
		t.Errorf("its backend: %+v", gone)
	}
	conn.Close()
	eventually(t, "all but the two last answers are forgotten", func() bool { return len(b.Pools()[0].Backends) == 2 })
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.registry.All()); n > 5 {
		t.Errorf("%d numbers are in use after a thousand changes", n)
	}
	if len(b.retired) != 0 || len(b.baseline) > 5 {
		t.Errorf("%d retired and %d baselines are kept", len(b.retired), len(b.baseline))
	}
	b.watch.mu.Lock()
	defer b.watch.mu.Unlock()
	if n := len(b.watch.state); n > 2 {
		t.Errorf("the states of %d backends are kept", n)
	}
}

// The counters of a number that changed hands begin at 0.
func TestANumberThatComesBackBeginsAtZero(t *testing.T) {
	testkit.LeakCheck(t)
	defer func(d time.Duration) { keepSeries = d }(keepSeries)
	keepSeries = 0
	names := &nameServer{}
	names.answer(nil, "127.0.0.1")
	s := setup{pool: `resolve = "1h"`, health: `type = "none"`}
	b := startNamed(t, &s, names)
	t.Cleanup(func() { b.Shutdown(context.Background()) })
	for _, c := range sessions(t, s.at, 10) {
		c.Close()
	}
	eventually(t, "ten ends", func() bool { return backendNamed(t, b, "b0@127.0.0.1").Ended["normal"] == 10 })
	b.nameChanged("chat.test", []netip.Addr{netip.MustParseAddr("127.0.0.2")})
	eventually(t, "the first is forgotten", func() bool { return len(b.Pools()[0].Backends) == 1 })
	b.nameChanged("chat.test", []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")})
	reused := backendNamed(t, b, "b0@127.0.0.3")
	b.mu.Lock()
	numbers := len(b.registry.All())
	b.mu.Unlock()
	if numbers != 2 {
		t.Fatalf("%d numbers: the free one was not taken", numbers)
	}
	if reused.Ended["normal"] != 0 || reused.ToBackend != 0 {
		t.Errorf("a new backend begins with %+v", reused)
	}
	for _, c := range sessions(t, s.at, 20) {
		c.Close()
	}
	eventually(t, "new ends", func() bool { n := backendNamed(t, b, "b0@127.0.0.3").Ended["normal"]; return n > 0 && n < 20 })
}
