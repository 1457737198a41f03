package worker

import (
	"math"
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// A backend that accepts, and ends its stream before the worker has seen the connect succeed, is no backend that
// refuses: the client reads what a direct connection shows. Only a RST without a byte looks like a refusal.
func TestBackendThatEndsBeforeItIsSeen(t *testing.T) {
	for name, c := range map[string]struct {
		bytes, urgent int
		fin, rst      bool
		end           simkernel.End
		refused       uint64
	}{
		"bytes, then RST":       {bytes: 100, rst: true, end: simkernel.RST},
		"bytes, then FIN":       {bytes: 100, fin: true, end: simkernel.FIN},
		"bytes, FIN, RST":       {bytes: 100, fin: true, rst: true, end: simkernel.FIN},
		"an urgent byte, FIN":   {urgent: 1, fin: true, end: simkernel.FIN},
		"FIN alone":             {fin: true, end: simkernel.FIN},
		"FIN, then RST":         {fin: true, rst: true, end: simkernel.FIN},
		"RST without any byte":  {rst: true, end: simkernel.RST, refused: 1},
		"nothing at all so far": {end: simkernel.Open},
	} {
		t.Run(name, func(t *testing.T) {
			k, w, _ := simWorker(t, 1)
			k.Immediate = false
			w.turn() // dials
			k.Settle()
			c0, b := k.Clients()[0], k.Backends()[0]
			simkernel.Pair(c0, b)
			b.Send(c.bytes)
			for range c.urgent {
				b.SendUrgent()
			}
			k.Settle()
			if c.fin {
				b.ShutdownWrite()
				k.Settle()
			}
			if c.rst {
				b.Reset()
			}
			for range 5 {
				k.Settle()
				w.turn()
				k.Advance(pollMs * 1e6)
			}
			k.Settle()
			c0.Read(math.MaxInt)
			if want := int64(c.bytes + c.urgent); c0.Received != want || c0.End != c.end {
				t.Errorf("the client has %d bytes, then %v; want %d, then %v", c0.Received, c0.End, want, c.end)
			}
			if n := simCounter(w, stats.Backend, stats.FailureBase+int(stats.FailRefused)); n != c.refused {
				t.Errorf("%d refused connects counted, want %d", n, c.refused)
			}
		})
	}
}

// answeringKernel is the real kernel, where the backend plays its part before connect returns: the worker's first event
// of the connection tells of its end too.
type answeringKernel struct {
	sys.Real
	answers chan func() // connect waits for one
}

func (k *answeringKernel) Connect(fd int, to *sys.Sockaddr) sys.Errno {
	errno := k.Real.Connect(fd, to)
	(<-k.answers)()
	return errno
}

// The same on real sockets, and against a direct connection between the same two peers.
func TestBackendThatEndsBeforeItIsSeenEqualsDirect(t *testing.T) {
	for name, steps := range map[string][]testkit.Step{
		"bytes, then RST": {testkit.Send(5000), testkit.ResetFlushed()},
		"bytes, FIN, RST": {testkit.Send(5000), testkit.HalfClose(), testkit.ResetFlushed()},
		"bytes, then FIN": {testkit.Send(5000), testkit.HalfClose()},
		"FIN, then RST":   {testkit.HalfClose(), testkit.ResetFlushed()},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.LeakCheck(t)
			k := &answeringKernel{answers: make(chan func(), 1)}
			s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Kernel = k })
			answer := func() {
				b, err := s.l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(b.Close)
				if _, err := b.Play(steps...); err != nil {
					t.Error(err)
				}
			}
			direct := mustDial(t, s.l.Addr())
			answer()
			want := play(t, direct, testkit.ReadToEnd())
			through := s.dial()
			answered := make(chan struct{})
			k.answers <- func() { defer close(answered); answer() }
			wantStream(t, "client", play(t, through, testkit.ReadToEnd()), want.Received, want.End)
			<-answered
			if n := s.failures(0, stats.FailRefused) + s.failures(0, stats.FailOther); n != 0 {
				t.Errorf("%d failed connects counted, want none", n)
			}
		})
	}
}

// A backend that nobody serves is told from one that says a word: the kernel's own answer.
func TestRefusedConnectHasNothingToRead(t *testing.T) {
	testkit.LeakCheck(t)
	r := newRig(t, newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("closed", closedPort(t))), nil)
	wantRefused(t, r.front)
	r.wantEnds(t, stats.ConnectRefused, 1)
	if n := r.failures(0, stats.FailRefused); n != 1 {
		t.Errorf("%d refused connects counted, want 1", n)
	}
}
