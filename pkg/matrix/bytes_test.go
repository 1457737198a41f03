package matrix

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// T1: 200 sessions at once carry 2 GB in all, both ways at once, in writes of 1 byte to 1 MiB with pauses, to readers that
// are slow or stop, with half closes at random. Every byte must be the one that was sent there, and each FIN must come after
// the last byte of its half and while the other half still carries bytes.
func TestBytesCross(t *testing.T) {
	for _, mode := range []string{"auto", "splice", "copy"} {
		t.Run(mode, func(t *testing.T) {
			front := freeAddress(t, "127.0.0.1")
			tr, backends := newTraffic(t, front, 4, sockets{})
			p := run(t, setup{config: relayMode(mode) + frontend("front", front, "pool") + pool("pool", backends, noChecks)})
			sum := tr.talk(200, scaled(720_000_000/200))
			t.Log(sum)
			if sum.failed == 0 {
				p.await("every session to end by a FIN", func() bool {
					n := p.endReasons()
					return n["client_fin"]+n["backend_fin"] == uint64(sum.sessions)
				})
			}
			checkModes(t, p, mode)
			sum.check(t)
		})
	}
}

// relayMode is the configuration of a mode; lines are further keys. A busy machine is no reason to give up on a connect.
func relayMode(mode string, lines ...string) string {
	text := fmt.Sprintf("[timeouts]\nconnect = \"1m\"\n[relay]\nmode = %q\n", mode)
	for _, l := range lines {
		text += l + "\n"
	}
	return text
}

// checkModes checks that bytes went the way that the mode is about.
func checkModes(t *testing.T, p *program, mode string) {
	t.Helper()
	copied, spliced := p.metric("longsplice_relay_bytes_total", `"copy"`), p.metric("longsplice_relay_bytes_total", `"splice"`)
	t.Logf("%s: %.0f MB copied, %.0f MB spliced", mode, copied/1e6, spliced/1e6)
	if mode != "splice" && copied == 0 || (mode != "copy") != (spliced > 0) {
		t.Errorf("mode %s: %.0f bytes copied, %.0f spliced", mode, copied, spliced)
	}
}

// tally is what became of many exchanges.
type tally struct {
	mu       sync.Mutex
	sessions int
	bytes    int64
	longest  time.Duration // longest wait for bytes that had been sent
	late     [2]int        // streams that waited for more than 1 s, 2 s
	failed   int
	first    error
	began    time.Time
}

// add counts one exchange.
func (a *tally) add(x *exchange, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sessions++
	for _, s := range x.halves {
		a.bytes += s.got.Load()
		a.longest = max(a.longest, s.longest)
		for i := range a.late {
			if s.longest > time.Duration(i+1)*time.Second {
				a.late[i]++
			}
		}
	}
	if err != nil {
		a.failed++
		if a.first == nil {
			a.first = err
		}
	}
}

func (a *tally) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	took := time.Since(a.began)
	return fmt.Sprintf("%d sessions, %.2f GB in %.1f s (%.0f MB/s), longest wait for bytes under way %v", a.sessions,
		float64(a.bytes)/1e9, took.Seconds(), float64(a.bytes)/1e6/took.Seconds(), a.longest.Round(time.Millisecond))
}

// check fails the test for each exchange that did; a wait fails it on a quiet machine alone.
func (a *tally) check(t *testing.T) {
	t.Helper()
	if a.failed > 0 {
		t.Errorf("%d of %d sessions failed: %v", a.failed, a.sessions, a.first)
	}
	if os.Getenv("LONGSPLICE_QUIET") == "1" && a.longest > time.Second {
		t.Errorf("bytes under way came after %v, want at most 1 s", a.longest)
	}
}

// talk runs n exchanges at once, with perSession bytes each on average.
func (tr *traffic) talk(n, perSession int) *tally {
	a := &tally{began: time.Now()}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			x := tr.conversation(rand.New(rand.NewPCG(uint64(i), 1)), perSession)
			a.add(x, tr.run(x))
		})
	}
	wg.Wait()
	return a
}

// conversation is an exchange in which everything that an honest peer may do is done at random.
func (tr *traffic) conversation(r *rand.Rand, meanBytes int) *exchange {
	var talks, listens [2]manner
	var lengths [2]int64
	for i := range lengths {
		talks[i], listens[i] = talker(r), listener(r)
		lengths[i] = int64(min(r.ExpFloat64()*float64(meanBytes)/2, float64(2000*talks[i].chunk)))
		if r.IntN(20) == 0 {
			lengths[i] = 0 // a half that ends without a byte
		}
	}
	x := tr.begin(lengths)
	if half := r.IntN(4); half < 2 { // one side says its last words when it has seen the other's end
		s := x.halves[half]
		s.pivot, s.ready = s.length/2, x.halves[1-half].ended
	}
	seed := r.Uint64()
	x.client = func(c *net.TCPConn) error {
		return duplex(c, x.halves[toBackend], x.halves[toClient], talks[0], listens[0], rand.New(rand.NewPCG(seed, 2)))
	}
	x.server = func(c *net.TCPConn) error {
		return duplex(c, x.halves[toClient], x.halves[toBackend], talks[1], listens[1], rand.New(rand.NewPCG(seed, 3)))
	}
	return x
}

// talker writes up to 1 KiB, 2 KiB, … 1 MiB at a time.
func talker(r *rand.Rand) manner {
	return manner{chunk: 1 << (10 + r.IntN(11)), every: 200_000, pause: 10 * time.Millisecond}
}

// listener reads as fast as it can, or slowly, or stops now and then.
func listener(r *rand.Rand) manner {
	switch r.IntN(10) {
	case 0:
		return manner{chunk: 64 << 10, every: 10_000, pause: 2 * time.Millisecond}
	case 1, 2, 3:
		return manner{chunk: 64 << 10, even: true, every: 1_000_000, pause: 400 * time.Millisecond}
	}
	return manner{chunk: 64 << 10, even: true, every: 200_000, pause: 10 * time.Millisecond}
}
