package matrix

import (
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// throng is clients who come all at once, more of them than the program lets in. Each says a byte when it is connected and
// is in when that byte is back; then it stays until it may go.
type throng struct {
	in       atomic.Int64
	mayGo    chan struct{} // one of those who are in goes for each value; once it is closed, everybody
	dismiss  sync.Once
	gone     sync.WaitGroup
	outcomes []error
}

// assemble sends n clients to address and does not wait for them. At the end of t they all go.
func assemble(t testing.TB, address string, n int) *throng {
	th := &throng{mayGo: make(chan struct{}), outcomes: make([]error, n)}
	for i := range n {
		th.gone.Go(func() { th.outcomes[i] = th.attend(address) })
	}
	t.Cleanup(func() { th.disperse() })
	return th
}

// attend is one client's way.
func (th *throng) attend(address string) error {
	v, err := visit(address)
	if err != nil {
		return err
	}
	defer v.leave()
	th.in.Add(1)
	<-th.mayGo
	return v.say(1)
}

// disperse lets everybody go, those outside as soon as they have been in, and returns what became of each.
func (th *throng) disperse() []error {
	th.dismiss.Do(func() { close(th.mayGo) })
	th.gone.Wait()
	return th.outcomes
}

// talk lets every visitor say n bytes again and again. stop ends that and returns the errors of the last round, which is
// the first one with any.
func (c crowd) talk(n int) (stop func() []error) {
	enough, ended := make(chan struct{}), make(chan []error)
	go func() {
		for {
			errs := c.say(n)
			failed, _ := failures(errs)
			select {
			case <-enough:
			default:
				if failed == 0 {
					continue
				}
			}
			ended <- errs
			return
		}
	}()
	return func() []error { close(enough); return <-ended }
}

// turns is how many rounds of their loops the workers have made in which something happened.
func (p *program) turns() (n uint64) {
	for _, w := range p.workers() {
		for _, count := range w.Turns.Counts {
			n += count
		}
	}
	return n
}

// rest watches the program for a second in which it has nothing to do but to wait. A loop that spins makes some 100,000
// turns in that time, whatever the machine; one that waits makes a few for the test's own questions.
func (p *program) rest(what string) {
	p.t.Helper()
	turns, cpu, switches, began := p.turns(), p.cpu(), p.switches(), time.Now()
	time.Sleep(time.Second)
	took, used := time.Since(began), p.cpu()-cpu
	made := p.turns() - turns
	p.t.Logf("%s: in %v %d turns, %d switches, %v of the processor", what, took.Round(time.Millisecond), made, p.switches()-switches, used)
	if most := uint64(took/time.Millisecond) + 100; made > most {
		p.t.Errorf("%s: %d turns in %v, want at most %d", what, made, took, most)
	}
	if quiet() && used > took/20 {
		p.t.Errorf("%s: %v of the processor in %v, want at most 5 %%", what, used, took)
	}
}

// quiet says that nothing else runs on this machine, so that times mean something.
func quiet() bool { return os.Getenv("LONGSPLICE_QUIET") == "1" }

// atMost logs a time, and asserts it where the machine is quiet.
func atMost(t testing.TB, what string, took, most time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, took)
	if quiet() && took > most {
		t.Errorf("%s: %v, want at most %v", what, took, most)
	}
}
