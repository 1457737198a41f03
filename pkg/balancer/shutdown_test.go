package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
	"github.com/longsplice/longsplice/pkg/worker"
)

// setup is what a test configures beside one frontend, "chat", with one pool of that name; all are lines of TOML.
type setup struct {
	process, frontend, pool, health string
	backends                        []string // addresses; named b0, b1, …
	backend                         map[int]string
	at                              string // where the frontend listens; "" becomes a free port
}

func (s *setup) text(t *testing.T) string {
	t.Helper()
	if s.at == "" {
		s.at = fmt.Sprintf("127.0.0.1:%d", freePort(t))
	}
	var b strings.Builder
	drain := "drain_timeout = \"0s\"\n"
	if strings.Contains(s.process, "drain_timeout") {
		drain = ""
	}
	fmt.Fprintf(&b, "[process]\nadmin = \"\"\nworkers = 2\n%s%s\n", drain, s.process)
	fmt.Fprintf(&b, "[[frontend]]\nname = \"chat\"\npool = \"chat\"\nlisten = [\"%s\"]\n%s\n", s.at, s.frontend)
	fmt.Fprintf(&b, "[[pool]]\nname = \"chat\"\n%s\n[pool.health]\n%s\n", s.pool, s.health)
	for i, address := range s.backends {
		fmt.Fprintf(&b, "[[pool.backend]]\nname = \"b%d\"\naddress = \"%s\"\n%s\n", i, address, s.backend[i])
	}
	return b.String()
}

// start runs a balancer with the setup. Without backends it gets one that echoes.
func (s *setup) start(t *testing.T) *Balancer {
	t.Helper()
	if s.backends == nil {
		s.backends = []string{echoBackend(t).Addr().String()}
	}
	return start(t, "%s", s.text(t))
}

// sessions opens n sessions, each of which has passed a byte both ways.
func sessions(t *testing.T, at string, n int) []net.Conn {
	t.Helper()
	var all []net.Conn
	for i := range n {
		c := dial(t, at)
		if !served(c, testkit.Bound) {
			t.Fatalf("session %d of %d is not served", i, n)
		}
		all = append(all, c)
	}
	return all
}

// awaitReset reads until the connection ends, and fails unless it ends by a reset.
func awaitReset(t *testing.T, c net.Conn) time.Time {
	c.SetReadDeadline(time.Now().Add(testkit.Bound))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, sys.ECONNRESET) {
		t.Errorf("a session that was closed on purpose ended with %v, want a reset", err)
	}
	return time.Now()
}

// shutdown begins a Shutdown and returns what is closed when it has returned.
func shutdown(b *Balancer) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		b.Shutdown(context.Background())
	}()
	return over
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(testkit.Bound):
		t.Fatalf("%s: not within %s", what, testkit.Bound)
	}
}

// ended checks that all of n sessions ended, and each for that reason.
func ended(t *testing.T, b *Balancer, reason string, n uint64) {
	t.Helper()
	f := b.Frontends()[0]
	if f.Ended[reason] != n || f.Accepted != n || f.Active != 0 {
		t.Errorf("%d accepted, %d active, ended %v; want %d, all %s", f.Accepted, f.Active, f.Ended, n, reason)
	}
	if s := b.Status(); s.Sessions.Held != 0 {
		t.Errorf("%d sessions are held at the end", s.Sessions.Held)
	}
}

func TestALameDuckAcceptsAndIsNotReady(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{process: `lame_duck = "1h"`}
	b := s.start(t)
	if st := b.Status(); !st.Ready || st.NotReady != "" || st.Draining {
		t.Errorf("before: ready %v (%s), draining %v", st.Ready, st.NotReady, st.Draining)
	}
	over := shutdown(b)
	eventually(t, "drain_begin", func() bool { return recent(b, "drain_begin") != nil })
	if st := b.Status(); st.Ready || st.NotReady != "draining" || !st.Draining || !b.Frontends()[0].Draining {
		t.Errorf("ready %v (%s), draining %v", st.Ready, st.NotReady, st.Draining)
	}
	c := sessions(t, s.at, 1)[0]
	b.StopNow()
	b.StopNow()
	await(t, "the end", over)
	awaitReset(t, c)
	ended(t, b, "shutdown", 1)
	b.Shutdown(context.Background())
	names := ""
	for _, e := range b.Recent() {
		names += e.Name + " "
	}
	if names != "started drain_begin drain_done stopped " {
		t.Errorf("events: %s", names)
	}
}

func TestADrainThatMayLastForever(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{process: `drain_timeout = "forever"`}
	b := s.start(t)
	c := sessions(t, s.at, 1)[0]
	over := shutdown(b)
	eventually(t, "nobody is let in", func() bool {
		late, err := net.Dial("tcp", s.at)
		if late != nil {
			late.Close()
		}
		return errors.Is(err, sys.ECONNREFUSED)
	})
	if !served(c, testkit.Bound) {
		t.Error("a session that was there is not served while the others leave")
	}
	select {
	case <-over:
		t.Error("the drain ended with a session left")
	default:
	}
	c.Close()
	await(t, "the end", over)
	if n := b.Frontends()[0].Ended["client_fin"]; n < 1 || b.Frontends()[0].Active != 0 {
		t.Errorf("%d sessions ended by the client's FIN, %d are active", n, b.Frontends()[0].Active)
	}
}

func TestADrainWithoutTimeResetsAtOnce(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{process: `drain_timeout = "0s"`}
	b := s.start(t)
	conns := sessions(t, s.at, 30)
	await(t, "the end", shutdown(b))
	for _, c := range conns {
		awaitReset(t, c)
	}
	ended(t, b, "shutdown", 30)
}

func TestTheEndOfItsContextCutsAShutdownShort(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{process: `drain_timeout = "forever"`}
	b := s.start(t)
	c := sessions(t, s.at, 1)[0]
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		b.Shutdown(ctx)
	}()
	eventually(t, "drain_begin", func() bool { return recent(b, "drain_begin") != nil })
	cancel()
	await(t, "the end", over)
	awaitReset(t, c)
	ended(t, b, "shutdown", 1)
}

// Sessions are closed one after the other: never more than are due, and not all at the end.
func TestADrainIsPaced(t *testing.T) {
	testkit.LeakCheck(t)
	const n, over = 60, 2 * time.Second
	s := setup{process: fmt.Sprintf("drain_timeout = \"%s\"", over)}
	b := s.start(t)
	conns := sessions(t, s.at, n)
	var mu sync.Mutex
	var ends []time.Duration // in order
	var reading sync.WaitGroup
	began := time.Now()
	for _, c := range conns {
		reading.Go(func() {
			awaitReset(t, c)
			mu.Lock()
			ends = append(ends, time.Since(began))
			mu.Unlock()
		})
	}
	await(t, "the end", shutdown(b))
	reading.Wait()
	for i, at := range ends { // seen late, never early: this holds on any machine
		if due := float64(n) * float64(at) / float64(over); float64(i) > due {
			t.Fatalf("%d sessions were closed after %s, when %.1f were due", i+1, at, due)
		}
	}
	spread := ends[n-1] - ends[0]
	t.Logf("first after %s, last after %s", ends[0], ends[n-1])
	if spread < ends[n-1]/2 {
		t.Errorf("the first was closed after %s, the last after %s: not evenly", ends[0], ends[n-1])
	}
	ended(t, b, "shutdown", n)
}

// Who has been let in by the kernel when accepting ends is served like the others.
func TestTheAcceptQueuesAreEmptiedFirst(t *testing.T) {
	testkit.LeakCheck(t)
	const n = 100
	s := setup{process: `drain_timeout = "forever"`}
	b := s.start(t)
	let := make(chan struct{})
	for _, w := range b.workers {
		w.Give(worker.Once(func(*worker.Worker) { <-let })) // a worker that stands still
	}
	var conns []net.Conn
	for range n {
		conns = append(conns, dial(t, s.at))
	}
	over := shutdown(b)
	eventually(t, "drain_begin", func() bool { return recent(b, "drain_begin") != nil })
	time.Sleep(20 * time.Millisecond) // the orders to stop accepting are given; if they are not, the test proves less
	close(let)
	for i, c := range conns {
		if !served(c, testkit.Bound) {
			t.Fatalf("client %d of %d, who was in the queue, is not served", i, n)
		}
	}
	for _, c := range conns {
		c.Close()
	}
	await(t, "the end", over)
	ended(t, b, "client_fin", n)
}

// A backend that becomes unhealthy while the process drains must not stop the drain.
func TestADrainGoesOnWhenABackendBecomesUnhealthy(t *testing.T) {
	testkit.LeakCheck(t)
	dying, other := echoBackend(t), echoBackend(t)
	s := setup{
		process: `drain_timeout = "2s"`, pool: "on_unhealthy = \"reset\"\nalgorithm = \"round_robin\"", health: "interval = \"100ms\"\ntimeout = \"90ms\"\nfall = 1",
		backends: []string{dying.Addr().String(), other.Addr().String()},
	}
	b := s.start(t)
	conns := sessions(t, s.at, 20)
	over := shutdown(b)
	eventually(t, "drain_begin", func() bool { return recent(b, "drain_begin") != nil })
	dying.Close()
	eventually(t, "backend_unhealthy", func() bool { return recent(b, "backend_unhealthy") != nil })
	await(t, "the end", over)
	for _, c := range conns {
		awaitReset(t, c)
	}
	f := b.Frontends()[0]
	if n := f.Ended["shutdown"] + f.Ended["backend_unhealthy"]; n != 20 {
		t.Errorf("ended: %v", f.Ended)
	}
}

// Whoever looks at a balancer may do so until it is gone, and after.
func TestLookingAtABalancerThatStops(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{process: `drain_timeout = "200ms"`}
	b := s.start(t)
	sessions(t, s.at, 20)
	stop := make(chan struct{})
	var looking sync.WaitGroup
	for range 2 {
		looking.Go(func() {
			for !closed(stop) {
				lookAtEverything(t, b)
			}
		})
	}
	await(t, "the end", shutdown(b))
	lookAtEverything(t, b)
	close(stop)
	looking.Wait()
}

// lookAtEverything calls every method that reads.
func lookAtEverything(t *testing.T, b *Balancer) {
	b.Status()
	b.Frontends()
	b.Pools()
	b.Workers()
	b.Host()
	b.Recent()
	if _, err := b.Sessions(context.Background(), SessionQuery{}); err != nil {
		t.Errorf("sessions: %v", err)
	}
	if _, err := b.Explain("chat", "192.0.2.7:4711"); err != nil {
		t.Errorf("explain: %v", err)
	}
}
