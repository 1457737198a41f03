package matrix

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// T6: kill -9 takes one of ten backends away under live sessions. Those of the other nine lose nothing; the victim's clients
// see what a direct connection to a killed process shows; whoever comes next does not notice.
func TestKillOneOfTen(t *testing.T) {
	const ejectFor = 5 * time.Second
	backends, addresses := echoBackends(t, "127.0.0.1", 10)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", addresses,
		fmt.Sprintf("[pool.passive]\nconsecutive_failures = 1\neject_for = %q", ejectFor),
		"[pool.health]\ninterval = \"200ms\"\ntimeout = \"10s\"\nfall = 2")})
	seats := gather(t, front, scaled(4000)).byBackend(p)
	victims, direct := seats["b0"], gather(t, addresses[0], 40)
	delete(seats, "b0")
	others := seats.all()

	backends[0].stop() // what is sent to it now stays unread
	leaveUnread(t, addresses[0], victims, direct)
	talking := others.keepTalking()
	killed := time.Now()
	backends[0].kill()
	through, reference := victims.endings(), direct.endings()
	if diff := cmp.Diff(shares(reference), shares(through)); diff != "" {
		t.Errorf("ends of the victim's sessions, direct (-) and through the balancer (+):\n%s", diff)
	}
	victims.leave()

	newcomers := oneByOne(t, front, len(victims)) // its clients come back
	p.await("b0 to be found dead", func() bool { return p.backend("b0").State != "healthy" && len(p.events("backend_unhealthy")) > 0 })
	allowed := len(p.workers()) * (1 + int(time.Since(killed)/ejectFor)) // an ejection that ends lets one try again
	failed := p.backend("b0").Failures
	t.Logf("%d sessions, %d of them the victim's: %v; %d came back, failed connects: %v", len(others)+len(victims), len(victims), through, len(newcomers), failed["refused"])
	if n := total(failed); n > uint64(allowed) { // none if the checks were first to notice
		t.Errorf("%d connects failed (%v), want at most %d: one for each worker", n, failed, allowed)
	}
	if n, first := failures(talking()); n > 0 {
		t.Errorf("%d of the other backends' %d sessions failed: %v", n, len(others), first)
	}
	p.wantEnds(map[string]uint64{"backend_fin": uint64(through["read: FIN"]), "backend_reset": uint64(through["unread: RST"])})

	spawn(t, nil, "echo", addresses[0])
	p.await("b0 to take sessions again", func() bool { return p.backend("b0").State == "healthy" })
	gather(t, front, len(victims))
	if n := p.backend("b0").Sessions; n == 0 {
		t.Error("a backend that came back got no session")
	}
}

// T6, with what a configuration says by default: a backend is put aside when five connects in a row have failed, and no
// client notices, since each is sent on to another backend. In a crowd those that are being dialled meanwhile fail too.
func TestKillOneOfTenByDefault(t *testing.T) {
	const ejectAfter, ejectFor = 5, 10 * time.Second
	backends, addresses := echoBackends(t, "127.0.0.1", 10)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", addresses, noChecks)})
	killed := time.Now()
	backends[0].kill()
	oneByOne(t, front, 300)
	allowed := uint64(ejectAfter * (1 + int(time.Since(killed)/ejectFor)))
	if n := total(p.backend("b0").Failures); n < ejectAfter || n > allowed {
		t.Errorf("%d connects failed, want %d to %d", n, ejectAfter, allowed)
	}
	spawn(t, nil, "echo", addresses[0]) // one attempt more finds somebody, if no two are dead
	backends[1].kill()
	gather(t, front, scaled(2000))
	failed := total(p.backend("b0").Failures) + total(p.backend("b1").Failures)
	t.Logf("failed connects: b0 %v, b1 %v", p.backend("b0").Failures, p.backend("b1").Failures)
	if n := p.pools()[0].Retries; n != failed || failed < 2*ejectAfter {
		t.Errorf("%d retries, want one for each of the %d failed connects", n, failed)
	}
	ended := p.endReasons()
	delete(ended, "backend_fin") // those that b1 had
	if len(ended) > 0 || len(p.refused()) > 0 {
		t.Errorf("clients noticed: %v, refused %v", ended, p.refused())
	}
}

// T6: half of the backends are dead, and neither checks nor ejections know of it. Whoever may make as many attempts finds one
// that lives, though bounded load prefers the dead, who hold no sessions.
func TestHalfOfEightDead(t *testing.T) {
	backends, addresses := echoBackends(t, "127.0.0.1", 8)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", addresses,
		"connect_retries = 4\n[pool.passive]\nconsecutive_failures = 0", noChecks)})
	for _, b := range backends[:4] {
		b.kill()
	}
	oneByOne(t, front, 200)
	gather(t, front, scaled(1000))
	t.Logf("%d connects failed", p.pools()[0].Retries)
	p.wantEnds(map[string]uint64{})
}

// oneByOne brings n visitors in, each after the one before has its session.
func oneByOne(t *testing.T, address string, n int) crowd {
	t.Helper()
	all := make(crowd, n)
	t.Cleanup(all.leave)
	for i := range all {
		var err error
		if all[i], err = visit(address); err != nil {
			t.Fatalf("visitor %d of %d: %v", i, n, err)
		}
	}
	return all
}

// stop stops the child and returns when none of its threads runs any more.
func (c *child) stop() {
	c.signal(syscall.SIGSTOP)
	if _, err := syscall.Wait4(c.cmd.Process.Pid, nil, syscall.WUNTRACED, nil); err != nil {
		c.t.Errorf("wait for a backend to stop: %v", err)
	}
}

// leaveUnread lets every other visitor of each crowd send bytes that the backend at address, which is stopped, does not
// read, and waits until its kernel holds them.
func leaveUnread(t *testing.T, address string, crowds ...crowd) {
	t.Helper()
	const each = 100
	senders := 0
	for _, c := range crowds {
		for i := 0; i < len(c); i += 2 {
			senders++
			if _, err := c[i].conn.Write(make([]byte, each)); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "the backend's kernel to hold what was sent", func() bool { return unread(t, address)[each] == senders })
}

// unread counts the connections of this namespace whose own end is address, by how many bytes nobody has read yet.
func unread(t *testing.T, address string) map[int64]int {
	t.Helper()
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	own, counts := fmt.Sprintf(":%04X", n), map[int64]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		words := strings.Fields(lines.Text()) // number, own end, other end, state, tx_queue:rx_queue, …
		if len(words) > 4 && strings.HasSuffix(words[1], own) {
			_, queue, _ := strings.Cut(words[4], ":")
			bytes, _ := strconv.ParseInt(queue, 16, 64)
			counts[bytes]++
		}
	}
	return counts
}

// endings counts how the sessions of a crowd end, those with bytes that the backend did not read apart.
func (c crowd) endings() map[string]int {
	ends := make([]string, len(c))
	inParallel(len(c), func(i int) error {
		ends[i] = [...]string{"unread", "read"}[i%2] + ": " + endWord(c[i].endOf())
		return nil
	})
	counts := map[string]int{}
	for _, e := range ends {
		counts[e]++
	}
	return counts
}

// endWord is FIN or RST, or what else an end was.
func endWord(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "FIN"
	case isReset(err):
		return "RST"
	}
	return fmt.Sprint(err)
}

// shares is which ends there were, whatever their number.
func shares(counts map[string]int) map[string]bool {
	there := map[string]bool{}
	for end := range counts {
		there[end] = true
	}
	return there
}

// seating is the crowds of the backends, by name.
type seating map[string]crowd

// byBackend asks the program where each visitor's session leads.
func (c crowd) byBackend(p *program) seating {
	p.t.Helper()
	at := map[string]string{}
	for _, s := range p.sessions().Sessions {
		at[s.Client] = s.Backend
	}
	seats := seating{}
	for _, v := range c {
		name := at[v.conn.LocalAddr().String()]
		seats[name] = append(seats[name], v)
	}
	if n := len(seats[""]); n > 0 {
		p.t.Fatalf("%d of %d sessions are not in the listing", n, len(c))
	}
	return seats
}

func (s seating) all() (c crowd) {
	for _, visitors := range s {
		c = append(c, visitors...)
	}
	return c
}

// keepTalking lets every visitor say something again and again until the answer is called, which returns their errors.
func (c crowd) keepTalking() (end func() []error) {
	stop, done := make(chan struct{}), make(chan []error, 1)
	go func() {
		errs := make([]error, len(c))
		for rounds := 0; ; rounds++ {
			for i, err := range c.say(500) {
				errs[i] = errors.Join(errs[i], err)
			}
			select {
			case <-stop:
				done <- errs
				return
			default:
			}
		}
	}()
	return func() []error { close(stop); return <-done }
}

// backend is what the program says of a backend of its first pool.
func (p *program) backend(name string) balancer.BackendStatus {
	p.t.Helper()
	for _, b := range p.pools()[0].Backends {
		if b.Name == name {
			return b
		}
	}
	p.t.Fatalf("the program knows no backend %s", name)
	return balancer.BackendStatus{}
}

// wantEnds waits until the sessions that have ended are these, by reason, and that no client was refused.
func (p *program) wantEnds(want map[string]uint64) {
	p.t.Helper()
	for reason, n := range want {
		if n == 0 {
			delete(want, reason)
		}
	}
	var got map[string]uint64
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = p.endReasons(); total(got) >= total(want) {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		p.t.Errorf("ends of sessions (-want +got):\n%s", diff)
	}
	if refused := p.refused(); len(refused) > 0 {
		p.t.Errorf("clients were refused: %v", refused)
	}
}

func total(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
