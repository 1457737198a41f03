package balancer

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

var backendStates = []string{"healthy", "unhealthy", "unknown", "draining", "ejected"}

// consistent checks what must hold at every look, whatever happens meanwhile.
func consistent(t *testing.T, b *Balancer, before map[string]uint64) {
	s := b.Status()
	if s.Sessions.Held < 0 || s.Sessions.Held > s.Sessions.Limit {
		t.Errorf("sessions %+v", s.Sessions)
	}
	never := func(name string, n uint64) {
		if n < before[name] {
			t.Errorf("%s was %d and is %d", name, before[name], n)
		}
		before[name] = n
	}
	for _, f := range b.Frontends() {
		ended := uint64(0)
		for reason, n := range f.Ended {
			never("ended "+reason, n)
			ended += n
		}
		if len(f.Ended) != int(stats.NumReasons)-1 || len(f.Refused) != int(stats.NumRefusals) {
			t.Errorf("%d reasons and %d refusals are shown", len(f.Ended), len(f.Refused))
		}
		if f.Active < 0 || f.Accepted != uint64(f.Active)+ended {
			t.Errorf("%d accepted, %d active, %d ended", f.Accepted, f.Active, ended)
		}
		if n := total(f.Duration.Counts); n != ended {
			t.Errorf("%d sessions ended and %d durations are known", ended, n)
		}
		never("accepted", f.Accepted)
		never("to backend", f.ToBackend)
		never("to client", f.ToClient)
	}
	for _, p := range b.Pools() {
		if p.Connecting < 0 {
			t.Errorf("%d sessions are connecting", p.Connecting)
		}
		for _, x := range p.Backends {
			if !slices.Contains(backendStates, x.State) {
				t.Errorf("backend %s is %q", x.Name, x.State)
			}
			if x.Sessions < 0 {
				t.Errorf("backend %s holds %d sessions", x.Name, x.Sessions)
			}
			never("ended normally at "+x.Name, x.Ended["normal"])
			never("bytes to "+x.Name, x.ToBackend)
		}
	}
	for _, w := range b.Workers() {
		if w.Sessions < 0 {
			t.Errorf("worker %d holds %d sessions", w.ID, w.Sessions)
		}
	}
}

func total(counts []uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// Clients come and go in all ways while somebody looks as fast as can be; at every look the books are balanced, and at
// the end they agree with what the clients did.
func TestTheBooksAreBalancedAtEveryLook(t *testing.T) {
	testkit.LeakCheck(t)
	const clients, rounds = 200, 5
	s := setup{backends: []string{echoBackend(t).Addr().String(), echoBackend(t).Addr().String(), deadAddress(t)}, health: `type = "none"`}
	b := s.start(t)
	stop := make(chan struct{})
	var looking, churn sync.WaitGroup
	looks := 0
	looking.Go(func() {
		for before := map[string]uint64{}; !closed(stop); looks++ {
			consistent(t, b, before)
		}
	})
	looking.Go(func() {
		for !closed(stop) {
			lookAtEverything(t, b)
		}
	})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var opened, echoed atomic.Uint64
	for i := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(i)))
		churn.Go(func() {
			for range rounds {
				n, ok := visit(s.at, random)
				echoed.Add(n)
				if ok {
					opened.Add(1)
				}
			}
		})
	}
	churn.Wait()
	eventually(t, "all sessions are accepted and have ended", func() bool {
		f := b.Frontends()[0]
		return f.Accepted >= opened.Load() && f.Active == 0 && b.Status().Sessions.Held == 0
	})
	close(stop)
	looking.Wait()
	t.Logf("%d sessions, %d looks", opened.Load(), looks)
	f := b.Frontends()[0]
	if f.Accepted != opened.Load() {
		t.Errorf("clients opened %d sessions, %d were accepted", opened.Load(), f.Accepted)
	}
	if f.ToClient < echoed.Load() || f.ToBackend < f.ToClient {
		t.Errorf("clients got %d bytes; counted are %d, of %d sent", echoed.Load(), f.ToClient, f.ToBackend)
	}
	toBackend, sum := uint64(0), uint64(0)
	for _, x := range b.Pools()[0].Backends {
		toBackend += x.ToBackend
		sum += total([]uint64{x.Ended["normal"], x.Ended["client"], x.Ended["backend"], x.Ended["timeout"], x.Ended["local"]})
	}
	if toBackend != f.ToBackend || sum+f.Ended["no_backend"] != f.Accepted {
		t.Errorf("backends got %d bytes of %d, and had %d sessions of %d", toBackend, f.ToBackend, sum, f.Accepted)
	}
	connects := b.Pools()[0].Connect
	if n := total(connects.Counts); n == 0 || connects.Sum <= 0 || n > f.Accepted {
		t.Errorf("%d connects in %g s", n, connects.Sum)
	}
	var moved uint64
	for _, w := range b.Workers() {
		moved += w.CopiedBytes + w.SplicedBytes
		if w.Sessions != 0 || total(w.Turns.Counts) == 0 || w.BusyS <= 0 {
			t.Errorf("worker %d: %+v", w.ID, w)
		}
	}
	if moved != f.ToBackend+f.ToClient {
		t.Errorf("workers moved %d bytes, frontends count %d", moved, f.ToBackend+f.ToClient)
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// visit is one client: it sends some bytes, reads some of what comes back, and leaves in one way or another. It returns
// what it got, and whether it was connected.
func visit(at string, random *rand.Rand) (got uint64, connected bool) {
	c, err := net.Dial("tcp", at)
	if err != nil {
		return 0, errors.Is(err, sys.ECONNRESET) // let in and turned away
	}
	defer c.Close()
	size := random.IntN(100_000)
	if random.IntN(4) == 0 {
		size = 0
	}
	go c.Write(make([]byte, size))
	n, _ := io.CopyN(io.Discard, c, int64(random.IntN(size+1)))
	switch random.IntN(3) {
	case 0:
		c.(*net.TCPConn).SetLinger(0)
	case 1:
		c.(*net.TCPConn).CloseWrite()
		more, _ := io.Copy(io.Discard, c)
		n += more
	}
	return uint64(n), true
}

func TestStatusOfABalancer(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{process: `name = "edge-7"`}
	b := s.start(t)
	sessions(t, s.at, 3)
	st := b.Status()
	if st.Name != "edge-7" || st.Workers != 2 || st.Generation != 1 || !st.Ready || st.Kernel == "" || len(st.Features) == 0 {
		t.Errorf("status %+v", st)
	}
	if st.Sessions.Held != 3 || st.FDs.Held < 6 || st.FDs.Held > st.FDs.Limit || st.Pipes.Limit <= 0 {
		t.Errorf("sessions %+v, fds %+v, pipes %+v", st.Sessions, st.FDs, st.Pipes)
	}
	if len(st.Limits) == 0 || st.Limits[0].Sessions != st.Sessions.Limit {
		t.Errorf("the nearest of %+v is not the limit %d", st.Limits, st.Sessions.Limit)
	}
	eventually(t, "three sessions in frontends and workers", func() bool {
		w := b.Workers()
		return w[0].Sessions+w[1].Sessions == 3 && b.Frontends()[0].Active == 3
	})
	if f := b.Frontends()[0]; f.Listen[0] != s.at {
		t.Errorf("frontend %+v", f)
	}
	if h := b.Host(); h.TCPMemoryBytes < 0 || h.TimeWaitSockets < 0 {
		t.Errorf("host %+v", h)
	}
}
