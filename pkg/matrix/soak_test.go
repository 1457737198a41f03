package matrix

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// soak is how much of it there is. Without the variables that `make soak` sets, it is two seconds that show that it works.
type soak struct {
	lasting time.Duration // SOAK_FOR, "1h"; 0: until the bytes are relayed
	bytes   int64         // SOAK_BYTES, "107e9"; 0: until the time is over
	one     int64         // SOAK_ONE: of the one long connection; a tenth of bytes, or 2 GB
	every   time.Duration // a line
	talkers int           // conversations at once
	storm   int           // small writes in each half of T3's sessions
	full    int           // how often T3 must find a pipe full
}

func readSoak(t *testing.T) soak {
	s := soak{lasting: 2 * time.Second, one: int64(scaled(256 << 20)), every: time.Second / 2, talkers: scaled(40), storm: scaled(1000)}
	long, bytes, one := os.Getenv("SOAK_FOR"), os.Getenv("SOAK_BYTES"), os.Getenv("SOAK_ONE")
	if long == "" && bytes == "" {
		return s
	}
	s = soak{one: 2e9, every: 10 * time.Second, talkers: 200, storm: 250_000, full: 100_000}
	var err error
	if long != "" {
		if s.lasting, err = time.ParseDuration(long); err != nil {
			t.Fatalf("SOAK_FOR: %v", err)
		}
	}
	number := func(name, text string, to *int64) {
		n, err := strconv.ParseFloat(text, 64)
		if text != "" && err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		*to = int64(n)
	}
	number("SOAK_BYTES", bytes, &s.bytes)
	if s.bytes > 0 {
		s.one = s.bytes / 10
	}
	if one != "" {
		number("SOAK_ONE", one, &s.one)
	}
	return s
}

// T2: one connection, read as fast as it comes. The program's memory at its end is what it was after a tenth.
func TestSoakOneConnection(t *testing.T) {
	s := readSoak(t)
	front := freeAddress(t, "127.0.0.1")
	tr, backends := newTraffic(t, front, 1, sockets{})
	p := run(t, setup{config: relayMode("auto") + frontend("front", front, "pool") + pool("pool", backends, noChecks)})
	x, sum := tr.begin([2]int64{s.one, 0}), &tally{began: time.Now()}
	m := manner{chunk: 1 << 20, even: true}
	r := func() *rand.Rand { return rand.New(rand.NewPCG(2, 2)) }
	x.client = func(c *net.TCPConn) error { return duplex(c, x.halves[toBackend], x.halves[toClient], m, m, r()) }
	x.server = func(c *net.TCPConn) error { return duplex(c, x.halves[toClient], x.halves[toBackend], m, m, r()) }
	ended := make(chan error, 1)
	go func() { ended <- tr.run(x) }()
	half := x.halves[toBackend]
	var early int64
	for early == 0 || len(ended) == 0 {
		if early == 0 && (half.got.Load() >= s.one/10 || len(ended) > 0) {
			early = p.rss()
		}
		time.Sleep(5 * time.Millisecond)
	}
	grown := p.rss() - early
	sum.add(x, <-ended)
	t.Logf("%v; resident memory grew by %d KiB", sum, grown>>10)
	sum.check(t)
	if limit := int64(8 << 20); grown > limit {
		t.Errorf("the program's memory grew by %d KiB, want at most %d", grown>>10, limit>>10)
	}
}

// T31, with T1 and T13: conversations and short aborted sessions go on beside each other through one program, each byte
// checked; another program has its backends killed and started again, has too few descriptors for its clients, and reaches
// half of its backends over a link that loses packets. It may fail its clients, but show none of them a wrong byte.
func TestSoak(t *testing.T) {
	s := readSoak(t)
	chaos := startChaos(t)
	calm := startCalm(t, s)
	began, start := time.Now(), calm.p.rss()
	var peakRSS int64
	var peakFDs int
	line := func() string {
		peakRSS, peakFDs = max(peakRSS, calm.p.rss()), max(peakFDs, calm.p.fds())
		pipes := calm.p.status().Pipes
		return fmt.Sprintf("%4.0f s: %v; short: %v; %d descriptors, %d KiB resident, %d of %d pipes; chaos: %v", time.Since(began).Seconds(),
			calm.talk, calm.churn, calm.p.fds(), calm.p.rss()>>10, pipes.Used+pipes.Idle, pipes.Limit, chaos)
	}
	over := func() bool {
		return s.lasting > 0 && time.Since(began) >= s.lasting || s.bytes > 0 && calm.bytes() >= s.bytes || calm.lost()
	}
	for next := began.Add(s.every); !over(); time.Sleep(s.every / 10) {
		chaos.stir(s.every / 5)
		if time.Now().After(next) {
			t.Log(line())
			next = next.Add(s.every)
		}
	}
	last := line()
	calm.stop()
	chaos.stop()
	calm.p.settle()
	t.Logf("sum after %s", last)
	t.Logf("waits of more than 1 s, 2 s: %v and %v; resident %d KiB at the start, %d at the end, %d at the peak; descriptors %d, %d, %d",
		calm.talk.late, calm.churn.late, start>>10, calm.p.rss()>>10, peakRSS>>10, calm.p.fdsIdle, calm.p.fds(), peakFDs)
	t.Logf("sessions ended as %v, in the chaos as %v", calm.p.endReasons(), chaos.p.endReasons())
	calm.talk.check(t)
	calm.churn.check(t)
	chaos.check(t)
}

// T3, as often as a soak wants it.
func TestSoakSmallSegments(t *testing.T) {
	s := readSoak(t)
	if full := stormTraced(t, s.storm); full < s.full {
		t.Errorf("a pipe held bytes and its sink took none %d times, want %d", full, s.full)
	}
}

// calm is the program of which everything is expected.
type calm struct {
	p       *program
	talk    *tally
	churn   *churn
	ending  chan struct{}
	running sync.WaitGroup
}

func startCalm(t *testing.T, s soak) *calm {
	front, short := freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1")
	talk, talkers := newTraffic(t, front, 4, sockets{})
	churning, churners := newTraffic(t, short, 4, small)
	c := &calm{talk: &tally{began: time.Now()}, churn: &churn{tally: tally{began: time.Now()}}, ending: make(chan struct{})}
	c.p = run(t, setup{config: relayMode("auto", `pipe_bytes = "256KiB"`) +
		frontend("talk", front, "talk") + pool("talk", talkers, noChecks) +
		frontend("short", short, "short") + pool("short", churners, noChecks)})
	c.repeat(s.talkers, func(r *rand.Rand) {
		x := talk.conversation(r, 3_000_000)
		c.talk.add(x, talk.run(x))
	})
	c.repeat(scaled(16), func(r *rand.Rand) { c.churn.one(churning, r) })
	return c
}

// repeat calls do again and again, n at a time.
func (c *calm) repeat(n int, do func(*rand.Rand)) {
	for i := range n {
		c.running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 31))
			for !c.lost() {
				select {
				case <-c.ending:
					return
				default:
					do(r)
				}
			}
		})
	}
}

func (c *calm) stop() { close(c.ending); c.running.Wait() }

func (c *calm) bytes() int64 { return c.talk.total() + c.churn.total() }

// lost tells whether it has failed already.
func (c *calm) lost() bool { return c.talk.failures() > 10 || c.churn.failures() > 10 }

// chaos is the program that has a bad day.
type chaos struct {
	t         *testing.T
	p         *program
	hosts     []*testkit.Host
	addresses []string
	backends  []*child // nil while dead
	next      time.Time
	ending    atomic.Bool
	running   sync.WaitGroup

	visits, failed, wrong, kills atomic.Int64
}

// startChaos has two backends here and two behind a link that loses 2 % of all packets each way.
func startChaos(t *testing.T) *chaos {
	h := testkit.NewHost(t, "lossy")
	lose(t, h)
	c := &chaos{t: t, hosts: []*testkit.Host{nil, nil, h, h}}
	for i, host := range c.hosts {
		address := freeAddress(t, "127.0.0.1")
		if host != nil {
			_, port, _ := net.SplitHostPort(address)
			address = net.JoinHostPort(host.Addr4().String(), port)
		}
		c.addresses, c.backends = append(c.addresses, address), append(c.backends, nil)
		c.start(i)
	}
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{nofile: 256, config: frontend("front", front, "pool") + pool("pool", c.addresses)})
	c.p = p
	for range 150 {
		c.running.Go(func() {
			for !c.ending.Load() {
				c.visit(front)
			}
		})
	}
	return c
}

// lose makes the host lose packets at random.
func lose(t *testing.T, h *testkit.Host) {
	cmd := h.Command(testkit.NeedProgram(t, "nft"), "-f", "-")
	cmd.Stdin = strings.NewReader(`
		add table inet loss
		add chain inet loss in { type filter hook input priority 0; }
		add chain inet loss out { type filter hook output priority 0; }
		add rule inet loss in meta l4proto tcp numgen random mod 100 < 2 drop
		add rule inet loss out meta l4proto tcp numgen random mod 100 < 2 drop`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("lose packets: %v: %s", err, out)
	}
}

// visit is one client's visit: it talks for a while and leaves.
func (c *chaos) visit(front string) {
	c.visits.Add(1)
	v, err := visit(front)
	for i := 0; err == nil && i < 20 && !c.ending.Load(); i++ {
		err = v.say(1 + rand.IntN(20_000))
	}
	if v != nil {
		v.leave()
	}
	if err != nil {
		c.failed.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
	if errors.Is(err, errWrong) {
		c.wrong.Add(1)
		c.t.Errorf("in the chaos: %v", err)
	}
}

func (c *chaos) start(i int) { c.backends[i] = spawn(c.t, c.hosts[i], "echo", c.addresses[i]) }

// stir kills a backend or brings it back, once in so long.
func (c *chaos) stir(every time.Duration) {
	if time.Now().Before(c.next) {
		return
	}
	c.next = time.Now().Add(every)
	i := rand.IntN(len(c.backends))
	if c.backends[i] == nil {
		c.start(i)
		return
	}
	c.backends[i].kill()
	c.backends[i] = nil
	c.kills.Add(1)
}

func (c *chaos) stop() { c.ending.Store(true); c.running.Wait() }

func (c *chaos) String() string {
	return fmt.Sprintf("%d visits, %d failed, %d with wrong bytes, %d kills", c.visits.Load(), c.failed.Load(), c.wrong.Load(), c.kills.Load())
}

// check wants visits that went well and visits that did not, and of course no wrong byte.
func (c *chaos) check(t *testing.T) {
	t.Helper()
	if c.wrong.Load() > 0 || c.visits.Load() == c.failed.Load() || c.kills.Load() == 0 {
		t.Errorf("the chaos: %v", c)
	}
}
