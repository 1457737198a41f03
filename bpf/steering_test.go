package bpf

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// rig is the listeners of one address, one a worker, made as the balancer makes them. The test plays the workers.
type rig struct {
	t       *testing.T
	s       *Steering
	fds     []int
	sockets []net.Listener
	address string
	serving sync.WaitGroup // goroutines that play workers
}

func newRig(t *testing.T, workers int) *rig {
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	r := &rig{t: t}
	var err error
	if r.s, err = Load(workers); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.s.Close)
	t.Cleanup(r.serving.Wait) // until they have seen their listener closed
	at := netip.MustParseAddrPort("127.0.0.1:0")
	for i := range workers {
		fd, err := sys.ListenTCP(at, sys.ListenOptions{ReusePort: true, First: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		local, _ := sys.Real{}.LocalAddr(fd)
		at = local.AddrPort()
		r.listen(fd)
	}
	r.address = at.String()
	return r
}

// listen keeps a socket open until the end of the test, and accepts with another descriptor of it.
func (r *rig) listen(fd int) {
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	if err != nil {
		r.t.Fatal(err)
	}
	r.fds = append(r.fds, int(f.Fd()))
	r.sockets = append(r.sockets, l)
	r.t.Cleanup(func() { l.Close(); f.Close() })
}

func (r *rig) attach() {
	r.t.Helper()
	if err := r.s.Attach(r.fds); err != nil {
		r.t.Fatal(err)
	}
}

// come connects n clients one after the other; after each the workers of turning make a turn. It returns how many each
// worker got.
func (r *rig) come(n int, held []int, turning ...int) []int64 {
	r.t.Helper()
	for range n {
		c, err := net.Dial("tcp", r.address)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(func() { c.Close() })
		r.turn(held, turning...)
	}
	var got []int64
	for _, fd := range r.fds {
		waiting, _, err := sys.AcceptQueue(fd)
		if err != nil {
			r.t.Fatal(err)
		}
		got = append(got, int64(waiting))
	}
	return got
}

// turn lets workers make a turn with as many sessions as they hold.
func (r *rig) turn(held []int, workers ...int) {
	for _, w := range workers {
		r.s.Cell(w).Tell(held[w])
	}
}

func sum(all []int64) (n int64) {
	for _, x := range all {
		n += x
	}
	return n
}

// A worker of a CPU that has drifted away from the others gets nothing until they have caught up.
func TestTheLeastLoadedIsPreferred(t *testing.T) {
	r := newRig(t, 4)
	r.attach()
	held := []int{1000, 1000, 200, 1000}
	r.turn(held, 0, 1, 2, 3)
	got := r.come(100, held, 0, 1, 2, 3)
	if got[2] != 100 {
		t.Errorf("the workers got %d, want 100 for the third", got)
	}
	if c := r.s.Counts(); c != (Counts{LeastLoaded: 100}) {
		t.Errorf("counted %+v", c)
	}
}

// What is on its way to a worker counts as much as what it holds: a burst between two turns does not fall upon one worker.
func TestABurstIsSpreadWithoutTurns(t *testing.T) {
	r := newRig(t, 4)
	r.attach()
	var got []int64
	for range 200 {
		got = r.come(1, nil)
		for w := range r.fds {
			r.s.Cell(w).since.Store(uint64(sys.Real{}.NowNs())) // however slow this is, nobody counts as asleep
		}
	}
	t.Logf("the workers got %d; %+v", got, r.s.Counts())
	if c := r.s.Counts(); c.ByKernel != 0 || c.ByCPU+c.LeastLoaded != 200 || sum(got) != 200 {
		t.Errorf("counted %+v, and %d wait", c, sum(got))
	}
	if most := slices.Max(got); most > 50*102/100+driftSessions+4 { // 4: on their way when the sum was made
		t.Errorf("the workers got %d, want about 50 each", got)
	}
}

const driftSessions = 8 // of steer.c

// T19: a worker that has a connection and makes no turn for 50 ms gets no more of them, until it turns again.
func TestAFrozenWorkerIsAvoided(t *testing.T) {
	r := newRig(t, 3)
	r.attach()
	held := []int{100, 100, 0} // the third is everybody's choice
	r.turn(held, 0, 1, 2)
	first := r.come(8, held, 0, 1)
	if first[2] == 0 {
		t.Fatalf("the idle worker got nothing: %d", first)
	}
	time.Sleep(60 * time.Millisecond) // longer is no harm
	later := r.come(100, held, 0, 1)
	if later[2] != first[2] {
		t.Errorf("the frozen worker got %d more", later[2]-first[2])
	}
	r.turn(held, 2)
	if back := r.come(20, held, 0, 1, 2); back[2] == later[2] {
		t.Errorf("the worker turns again and gets nothing: %d", back)
	}
}

// The 50 ms begin with the first connection that a worker has not seen: neither how long it was idle before nor what comes
// later counts.
func TestPatienceBeginsWithTheFirstUnseen(t *testing.T) {
	r := newRig(t, 2)
	r.attach()
	held := []int{0, 100}
	r.turn(held, 0, 1)
	for range 3 {
		time.Sleep(20 * time.Millisecond) // idle
		now := time.Duration(sys.Real{}.NowNs())
		r.come(1, held)
		first := r.s.Cell(0).since.Load()
		if early := now - time.Duration(first); early > 10*time.Millisecond { // the kernel's fast clock is some µs off ours
			t.Errorf("the worker is waited for since %v before it got a connection", early)
		}
		r.come(2, held)
		if since := r.s.Cell(0).since.Load(); since != first {
			t.Errorf("further connections put the begin off by %d ns", since-first)
		}
		r.turn(held, 0)
	}
}

// Where every worker is asleep one of them gets the connection all the same.
func TestNobodyAwakeLosesNobody(t *testing.T) {
	r := newRig(t, 2)
	r.attach()
	r.come(20, nil)
	time.Sleep(60 * time.Millisecond)
	if got := r.come(20, nil); sum(got) != 40 || r.s.Counts().ByKernel != 0 {
		t.Errorf("the workers got %d; %+v", got, r.s.Counts())
	}
}

// T27: a slot without a socket costs a counter, and no connection.
func TestAnEmptySlotFallsBackToTheKernel(t *testing.T) {
	r := newRig(t, 2)
	r.attach()
	for slot := range uint32(2) {
		if err := r.s.groups[0].sockets.Delete(slot); err != nil {
			t.Fatal(err)
		}
	}
	got := r.come(100, nil)
	if c := r.s.Counts(); sum(got) != 100 || c != (Counts{ByKernel: 100}) {
		t.Errorf("the workers got %d; counted %+v", got, c)
	}
}

// T27: the program comes and goes while clients connect all the time; each of them is answered.
func TestAttachAndDetachLoseNobody(t *testing.T) {
	r := newRig(t, 4)
	for w := range r.sockets {
		r.serving.Go(func() { r.serve(w) })
	}
	enough := make(chan struct{})
	failed := make(chan error, 4)
	var answered atomic.Int64
	for range cap(failed) {
		go func() { failed <- r.callUntil(enough, &answered) }()
	}
	const rounds = 30
	for range rounds {
		r.attach()
		r.awaitMore(&answered, 20)
		r.s.Detach()
		r.awaitMore(&answered, 20)
	}
	close(enough)
	for range cap(failed) {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d clients answered; %+v", answered.Load(), r.s.Counts())
	// What runs while it is detached may find its slots empty already, once on each CPU.
	if c := r.s.Counts(); c.ByKernel > uint64(rounds*runtime.NumCPU()) || c.ByCPU == 0 {
		t.Errorf("counted %+v", c)
	}
}

// serve is a worker: it answers each connection with a byte.
func (r *rig) serve(w int) {
	for {
		c, err := r.sockets[w].Accept()
		if err != nil {
			return
		}
		_, _ = c.Write([]byte{1})
		c.Close()
		r.s.Cell(w).Tell(0)
	}
}

// callUntil connects again and again; each time the answer has to come.
func (r *rig) callUntil(enough chan struct{}, answered *atomic.Int64) error {
	for {
		select {
		case <-enough:
			return nil
		default:
		}
		c, err := net.DialTimeout("tcp", r.address, 30*time.Second)
		if err != nil {
			return err
		}
		_ = c.SetDeadline(time.Now().Add(30 * time.Second))
		_, err = c.Read(make([]byte, 1))
		c.Close()
		if err != nil {
			return fmt.Errorf("client %d: %w", answered.Load(), err)
		}
		answered.Add(1)
	}
}

// awaitMore waits until n more clients were answered.
func (r *rig) awaitMore(answered *atomic.Int64, n int64) {
	want, deadline := answered.Load()+n, time.Now().Add(time.Minute)
	for answered.Load() < want {
		if time.Now().After(deadline) {
			r.t.Fatal("no client was answered for a minute")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestTooManyWorkersAreRefused(t *testing.T) {
	if s, err := Load(MaxWorkers + 1); err == nil {
		s.Close()
		t.Error("more workers than the program looks at, and no error")
	}
}

// The most workers that can be: the verifier has to follow the loop to its end.
func TestTheMostWorkersAreTaken(t *testing.T) {
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	s, err := Load(MaxWorkers)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if c := s.Counts(); c != (Counts{}) {
		t.Errorf("counted %+v", c)
	}
}
