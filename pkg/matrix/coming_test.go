package matrix

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// T8, its process half: backends are killed, stopped, set going and started again while clients come and go all the time.
// No client is refused, no byte is wrong, sessions on backends that stay live on, and what the program counts adds up at
// every look.
func TestBackendsComeAndGo(t *testing.T) {
	const staying, coming = 5, 3
	_, addresses := echoBackends(t, "127.0.0.1", staying)
	fickle := newFickle(t, coming)
	front := freeAddress(t, "127.0.0.1")
	// Three may be dead at once, and a client may meet all of them.
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", append(addresses, fickle.addresses...),
		"connect_retries = 20\n[pool.passive]\nmax_ejected = 0.5\neject_for = \"300ms\"",
		"[pool.health]\ninterval = \"100ms\"\ntimeout = \"5s\"\nrise = 1\nfall = 2")})
	all := gather(t, front, scaled(1000))
	seats := all.byBackend(p)
	for i := range coming {
		delete(seats, fmt.Sprintf("b%d", staying+i))
	}
	steady := seats.all()

	talking, street := steady.keepTalking(), newStreet(front)
	look := p.metrics()
	scrapes := 0
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until) || fickle.count < 20; scrapes++ {
		fickle.stir()
		look = p.lookAgain(look, len(steady))
	}
	fickle.allUp()
	short := street.close()
	t.Logf("%d long sessions on backends that stay, %v; %v; %d scrapes", len(steady), short, fickle, scrapes)
	if n, first := failures(talking()); n > 0 {
		t.Errorf("%d of %d sessions on backends that stayed failed: %v", n, len(steady), first)
	}
	if short.wrong != nil {
		t.Errorf("a client got what nobody sent it: %v", short.wrong)
	}
	if short.away > 0 {
		t.Errorf("%d clients could not connect: %v", short.away, short.why)
	}
	all.leave()
	p.await("every session to be counted as ended", func() bool { return p.metric("longsplice_sessions_active") <= 0 })
	p.wantNobodyRefused()
	p.lookAgain(look, 0)
}

// wantNobodyRefused: a client may see its backend die, nothing else.
func (p *program) wantNobodyRefused() {
	p.t.Helper()
	ended := p.endReasons()
	p.t.Logf("ends: %v, failed connects: %d", ended, p.pools()[0].Retries)
	for _, died := range []string{"client_fin", "client_reset", "backend_fin", "backend_reset"} {
		delete(ended, died)
	}
	if refused := p.refused(); len(ended) > 0 || len(refused) > 0 {
		p.t.Errorf("clients got no session: %v, refused %v", ended, refused)
	}
}

// lookAgain scrapes the metrics: accepted is active and ended, no fewer are active than live sessions are known of (0: none
// at all), and nothing that counts has fallen since the look before.
func (p *program) lookAgain(before map[string]float64, live int) map[string]float64 {
	p.t.Helper()
	now := p.metrics()
	for series, was := range before {
		name, _, _ := strings.Cut(series, "{")
		counts := slices.ContainsFunc([]string{"_total", "_count", "_bucket", "_sum"}, func(end string) bool { return strings.HasSuffix(name, end) })
		if is, there := now[series]; counts && strings.HasPrefix(name, "longsplice_") && (!there || is < was) {
			p.t.Errorf("%s fell from %v to %v (still there: %v)", series, was, is, there)
		}
	}
	var ended float64
	for series, n := range now {
		if strings.HasPrefix(series, "longsplice_sessions_ended_total{") {
			ended += n
		}
	}
	accepted, active := now[`longsplice_sessions_accepted_total{frontend="front"}`], now[`longsplice_sessions_active{frontend="front"}`]
	if accepted != active+ended || active < float64(live) || live == 0 && active != 0 {
		p.t.Errorf("accepted %v, active %v, ended %v", accepted, active, ended)
	}
	return now
}

// fickle is backends that come and go. They belong to the test's goroutine.
type fickle struct {
	t         *testing.T
	addresses []string
	running   []*child // nil: killed
	stopped   []bool
	random    *rand.Rand
	seed      uint64
	count     int // of changes
	did       map[string]int
}

func newFickle(t *testing.T, n int) *fickle {
	seed := rand.Uint64()
	f := &fickle{t: t, stopped: make([]bool, n), random: rand.New(rand.NewPCG(seed, 0)), seed: seed, did: map[string]int{}}
	f.running, f.addresses = echoBackends(t, "127.0.0.1", n)
	return f
}

func (f *fickle) String() string {
	return fmt.Sprintf("what happened to backends (seed %d): %v", f.seed, f.did)
}

// stir does something to one of them, and lets it sink in.
func (f *fickle) stir() {
	f.count++
	i := f.random.IntN(len(f.running))
	switch {
	case f.running[i] == nil:
		f.running[i] = spawn(f.t, nil, "echo", f.addresses[i])
		f.did["started"]++
	case f.stopped[i]:
		f.running[i].signal(syscall.SIGCONT)
		f.stopped[i] = false
		f.did["set going"]++
	case f.random.IntN(3) == 0:
		f.running[i].stop()
		f.stopped[i] = true
		f.did["stopped"]++
	default:
		f.running[i].kill()
		f.running[i] = nil
		f.did["killed"]++
	}
	time.Sleep(time.Duration(f.random.IntN(100)) * time.Millisecond)
}

func (f *fickle) allUp() {
	for i, c := range f.running {
		if f.stopped[i] {
			c.signal(syscall.SIGCONT)
		}
		if c == nil {
			f.running[i] = spawn(f.t, nil, "echo", f.addresses[i])
		}
	}
}

// street is clients who come, say something and go, from many goroutines, until it is closed.
type street struct {
	over atomic.Bool
	wg   sync.WaitGroup
	mu   sync.Mutex
	seen passers
}

// passers is what became of them.
type passers struct {
	served, cut, away int // cut: the session ended before its client; away: it could not connect
	wrong, why        error
}

func (s passers) String() string {
	return fmt.Sprintf("%d short sessions, %d of them cut when their backend died", s.served+s.cut, s.cut)
}

func newStreet(address string) *street {
	s := &street{}
	for range 30 {
		s.wg.Go(func() {
			for !s.over.Load() {
				s.note(pass(address))
			}
		})
	}
	return s
}

// pass is one client's day.
func pass(address string) error {
	v, err := visit(address)
	if err != nil {
		return err
	}
	defer v.leave()
	return v.say(1 + rand.IntN(4000))
}

func (s *street) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.seen.served++
	case errors.Is(err, errWrong):
		s.seen.wrong = err
	case isReset(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		s.seen.cut++
	default:
		s.seen.away, s.seen.why = s.seen.away+1, err
	}
}

// close ends it and waits for whoever is still there.
func (s *street) close() passers {
	s.over.Store(true)
	s.wg.Wait()
	return s.seen
}
