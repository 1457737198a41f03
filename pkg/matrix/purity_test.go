package matrix

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// T13: 20,000 short sessions, half of which are reset by either end while bytes wait in their pipe. No byte of one may come
// out in another; each ends as its peers ended it; there are never more pipes than allowed, and no descriptor is left.
func TestPipesStayPure(t *testing.T) {
	const maxPipes = 12 // fewer than sessions at once: some are copied
	front := freeAddress(t, "127.0.0.1")
	tr, backends := newTraffic(t, front, 4, small)
	relay := relayMode("splice", `pipe_bytes = "64KiB"`, fmt.Sprint("max_pipes = ", maxPipes))
	p := run(t, setup{config: relay + frontend("front", front, "pool") + pool("pool", backends, noChecks)})
	c := tr.churn(100, scaled(20_000))
	looks, most, used := 0, 0, int64(0)
	for ; !c.over(); time.Sleep(10 * time.Millisecond) {
		looks++
		most, used = max(most, openPipes(p)), max(used, p.status().Pipes.Used)
	}
	t.Logf("%v; %d looks: at most %d pipes open, %d with bytes", c, looks, most, used)
	c.check(t)
	if most > maxPipes {
		t.Errorf("%d pipes were open, want at most %d", most, maxPipes)
	}
	if used == 0 {
		t.Errorf("no look found bytes in a pipe: nothing is shown")
	}
	p.await("every session to end as its peers ended it", func() bool { return c.endedIn(p) })
	p.settle()
}

// small is buffers that a burst fills, so that the rest of it waits inside the program.
var small = sockets{mss: 1448, receiveBuffer: 8 << 10, sendBuffer: 64 << 10}

// openPipes counts the pipes whose two ends the process has, by what the kernel says of its descriptors. The first three
// are not its own.
func openPipes(p *program) (n int) {
	ends := map[string]int{}
	links, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid()))
	for _, link := range links {
		if fd, _ := strconv.Atoi(filepath.Base(link)); fd <= 2 {
			continue
		}
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "pipe:") {
			if ends[to]++; ends[to] == 2 {
				n++
			}
		}
	}
	return n
}

// churn is many short sessions, so and so many at a time.
type churn struct {
	tally
	ends    [numEndings]int // by who ended them
	running sync.WaitGroup
	done    chan struct{}
}

// Who ends a short session, and how.
const (
	finished = iota
	resetByClient
	resetByBackend
	numEndings
)

// churn starts n short sessions.
func (tr *traffic) churn(atOnce, n int) *churn {
	c := &churn{tally: tally{began: time.Now()}, done: make(chan struct{})}
	turns := make(chan int, n)
	for i := range n {
		turns <- i
	}
	close(turns)
	for range atOnce {
		c.running.Go(func() {
			for i := range turns {
				if c.lost() {
					return
				}
				c.one(tr, rand.New(rand.NewPCG(uint64(i), 13)))
			}
		})
	}
	go func() { c.running.Wait(); close(c.done) }()
	return c
}

// lost tells whether so many have failed that the rest would say nothing new.
func (c *churn) lost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed > 100
}

// over tells whether all of them have ended.
func (c *churn) over() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// one plays one short session.
func (c *churn) one(tr *traffic, r *rand.Rand) {
	kind := max(r.IntN(numEndings+1)-1, 0) // every second one is clean
	var x *exchange
	if kind == finished {
		x = tr.short(r)
	} else {
		x = tr.aborted(r, kind == resetByClient)
	}
	c.add(x, tr.run(x))
	c.mu.Lock()
	c.ends[kind]++
	c.mu.Unlock()
}

// endedIn tells whether the program saw each session end as it did.
func (c *churn) endedIn(p *program) bool {
	n := p.endReasons()
	return n["client_fin"]+n["backend_fin"] == uint64(c.ends[finished]) &&
		n["client_reset"] == uint64(c.ends[resetByClient]) && n["backend_reset"] == uint64(c.ends[resetByBackend])
}

// short is a session in which either end sends some bytes and a FIN.
func (tr *traffic) short(r *rand.Rand) *exchange {
	x := tr.begin([2]int64{r.Int64N(32 << 10), r.Int64N(32 << 10)})
	m, seed := manner{chunk: 32 << 10, even: true}, r.Uint64()
	part := func(out, in int) func(*net.TCPConn) error {
		return func(c *net.TCPConn) error {
			return duplex(c, x.halves[out], x.halves[in], m, m, rand.New(rand.NewPCG(seed, uint64(out))))
		}
	}
	x.client, x.server = part(toBackend, toClient), part(toClient, toBackend)
	return x
}

// aborted is a session in which one end sends more than fits while the other does not read; then one of them resets it.
// Whoever is left must see a reset, and before it nothing but a beginning of what was sent.
func (tr *traffic) aborted(r *rand.Rand, byClient bool) *exchange {
	sender := r.IntN(2)
	x := tr.begin([2]int64{})
	x.halves[sender].length = 192 << 10
	parts := [2]func(*net.TCPConn) error{}
	for end := range parts {
		talks, resets, seed := end == sender, (end == 0) == byClient, r.Uint64()
		parts[end] = func(c *net.TCPConn) error {
			<-x.met
			r := rand.New(rand.NewPCG(seed, uint64(end)))
			var sent error
			if talks {
				sent = x.halves[end].burst(c)
			}
			time.Sleep(time.Duration(r.Int64N(int64(4 * time.Millisecond))))
			if resets {
				return errors.Join(c.SetLinger(0), c.Close())
			}
			in := x.halves[1-end]
			got, err := in.take(c, manner{chunk: 64 << 10, even: true}, r)
			if errors.Is(err, errWrong) || !isReset(err) && !isReset(sent) {
				return fmt.Errorf("%s ended after %d bytes, want a reset: %w", in.name, got, err)
			}
			return nil
		}
	}
	x.client, x.server = parts[0], parts[1]
	return x
}

// burst sends what goes at once. A reset that the write meets is taken away by it: a read shows a FIN then.
func (s *stream) burst(c *net.TCPConn) error {
	buf := make([]byte, s.length)
	testkit.FillPattern(buf, s.seed, 0)
	_ = c.SetWriteDeadline(time.Now().Add(2 * time.Millisecond))
	n, err := c.Write(buf)
	s.promised.Store(int64(n))
	return err
}
