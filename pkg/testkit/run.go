package testkit

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
)

// meeting counts the Meet steps that each of two peers has reached.
type meeting struct {
	mu      sync.Mutex
	arrived [2]int
	left    [2]bool // the peer's script has ended: nobody waits for it
}

// newMeeting is one with nobody else: a lone peer never waits.
func newMeeting() *meeting { return &meeting{left: [2]bool{true, true}} }

// arrive counts one Meet of side and returns what says whether the other is there too.
func (m *meeting) arrive(side int) func() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.arrived[side]++
	turn := m.arrived[side]
	return func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.left[1-side] || m.arrived[1-side] >= turn
	}
}

func (m *meeting) leave(side int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left[side] = true
}

// RunDirect plays the script over a loopback connection.
func RunDirect(t testing.TB, s Script) Outcome {
	t.Helper()
	return RunAll(t, []Lane{DirectLane(t, nil, s.IPv6)}, []Script{s})[0]
}

// RunThrough plays the script over a connection to addr, where a balancer listens whose only backend is the listener.
func RunThrough(t testing.TB, s Script, addr netip.AddrPort, backend *Listener) Outcome {
	t.Helper()
	out, err := Lane{Front: addr, Backend: backend}.Run(s)
	if err != nil {
		t.Fatalf("%v\n%v", s, err)
	}
	return out
}

// playBoth plays the two sides of a script at once.
func playBoth(s Script, client, server *Peer) (Outcome, error) {
	var (
		peers       = [2]*Peer{client, server}
		scripts     = [2][]Step{s.Client, s.Server}
		seeds       = [2]uint64{s.Seed, ^s.Seed}
		transcripts [2]Transcript
		errs        [2]error
		shared      = &meeting{}
		wg          sync.WaitGroup
	)
	for side, p := range peers {
		p.Seed(seeds[side], seeds[1-side])
		p.meeting, p.side = shared, side
		wg.Go(func() {
			defer shared.leave(side)
			var err error
			if transcripts[side], err = p.Play(scripts[side]...); err != nil {
				errs[side] = fmt.Errorf("%s: %w", [2]string{"client", "server"}[side], err)
			}
		})
	}
	wg.Wait()
	return Outcome{Client: transcripts[0], Server: transcripts[1]}, errors.Join(errs[:]...)
}
