package testkit

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

// settle is what a balancer gets to notice that its connect() succeeded: a reset before that is by rights a failed connect,
// and no direct connection has its like.
const settle = 20 * time.Millisecond

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
	loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1})
	if s.IPv6 {
		loopback = netip.IPv6Loopback()
	}
	l, err := Listen(netip.AddrPortFrom(loopback, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return RunThrough(t, s, l.Addr(), l)
}

// RunThrough plays the script over a connection to addr, where a balancer listens whose only backend is the listener: no
// health check may connect to it. The scripts begin when the backend has accepted. Sockets that the script leaves open are
// closed after both peers have ended.
func RunThrough(t testing.TB, s Script, addr netip.AddrPort, backend *Listener) Outcome {
	t.Helper()
	client, err := Dial(addr)
	if err != nil {
		t.Fatalf("%v\nclient: %v", s, err)
	}
	defer client.Close()
	server, err := backend.Accept()
	if err != nil {
		t.Fatalf("%v\nserver: %v", s, err)
	}
	defer server.Close()
	if addr != backend.Addr() {
		time.Sleep(settle)
	}
	out, errs := playBoth(s, client, server)
	for side, err := range errs {
		if err != nil {
			t.Errorf("%v\n%s: %v", s, [2]string{"client", "server"}[side], err)
		}
	}
	return out
}

func playBoth(s Script, client, server *Peer) (Outcome, [2]error) {
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
			transcripts[side], errs[side] = p.Play(scripts[side]...)
		})
	}
	wg.Wait()
	return Outcome{Client: transcripts[0], Server: transcripts[1]}, errs
}
