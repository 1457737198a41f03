package simkernel

import (
	"fmt"
	"math"
	"testing"

	"github.com/longsplice/longsplice/pkg/sys"
)

var simOptions = Options{MinBuffer: 16, MaxBuffer: 2048, Faults: Faults{
	AcceptEMFILE: 20, AcceptENFILE: 10, AcceptENOMEM: 10, AcceptAborted: 20, SocketEMFILE: 10,
	ConnectRefuse: 20, ConnectNow: 10, ConnectDead: 10,
	PipeEMFILE: 50, ShortSend: 50, FewEvents: 200, Interrupt: 100, Shuffle: 200, Meanwhile: 200,
}}

// sim drives tiny with random peers.
type sim struct {
	k    *Kernel
	x    tiny
	rude bool // somebody reset or left early: bytes may be missing at the end

	resets map[*Peer]bool // peers that reset a stream they had not ended; true: when all they sent was acknowledged
}

// run plays one seed and returns what was wrong, "" if nothing.
func (m *sim) run(seed uint64, b bug) string {
	k := m.k
	k.Restart(seed)
	m.x.start(k, b)
	m.rude = false
	m.resets = map[*Peer]bool{}
	for range 100 + k.Rand().IntN(200) {
		m.step()
		if why := m.stalled(); why != "" {
			return why
		}
		if len(k.Violations()) > 0 {
			return k.Violations()[0]
		}
	}
	m.drain()
	m.x.stop()
	return m.verdict()
}

func (m *sim) step() {
	k := m.k
	switch r := k.Rand().IntN(20); {
	case r == 0 && len(k.Clients()) < 4:
		k.Dial(m.x.lfd, sys.Addr{Port: 5})
	case r < 8:
		k.Step()
	case r < 13:
		m.x.turn()
	default:
		if p := m.anyPeer(); p != nil {
			m.peerStep(p)
		}
	}
}

func (m *sim) anyPeer() *Peer {
	k := m.k
	n := len(k.Clients()) + len(k.Backends())
	if n == 0 {
		return nil
	}
	if i := k.Rand().IntN(n); i < len(k.Clients()) {
		return k.Clients()[i]
	} else {
		return k.Backends()[i-len(k.Clients())]
	}
}

func (m *sim) peerStep(p *Peer) {
	r := m.k.Rand().IntN(100)
	switch {
	case p.Closed:
	case r < 45:
		p.Read(1 + m.k.Rand().IntN(1000))
	case p.HalfClosed():
	case r < 90:
		p.Send(1 + m.k.Rand().IntN(1000))
	case r < 94 && !p.UrgentPending():
		p.SendUrgent()
	case r < 97:
		p.ShutdownWrite()
	case r == 97:
		m.rude = true
		p.Close()
	case r == 98:
		m.rude = true
		m.resets[p] = p.Unsent() == 0
		p.Reset()
	}
}

// drain lets everybody finish: what is sent is read, streams end by FIN.
func (m *sim) drain() {
	k := m.k
	k.Faults.Interrupt = 0
	defer func() { k.Faults = simOptions.Faults }()
	for range 400 {
		if k.PendingEvents() == 0 && k.Quiet() && m.finished() {
			break
		}
		k.Settle()
		m.x.turn()
		for _, list := range [][]*Peer{k.Clients(), k.Backends()} {
			for _, p := range list {
				p.Read(math.MaxInt)
				if !p.HalfClosed() && !p.Closed && p.SendErr == 0 {
					p.ShutdownWrite()
				}
			}
		}
	}
}

func (m *sim) finished() bool {
	for _, list := range [][]*Peer{m.k.Clients(), m.k.Backends()} {
		for _, p := range list {
			if !p.Closed && (p.End == Open || !p.HalfClosed() && p.SendErr == 0) {
				return false
			}
		}
	}
	return true
}

// stalled judges by the kernel's truth: with no event to come, no half has something to do.
func (m *sim) stalled() string {
	if m.k.PendingEvents() > 0 {
		return ""
	}
	for _, s := range m.x.sessions {
		for side := range s.h {
			h := &s.h[side]
			if h.over || s.fds[0] < 0 || s.fds[1] < 0 || !s.connected || !m.k.Connected(h.dst) {
				continue
			}
			if h.holds() && m.k.SendSpace(h.dst) > 0 {
				return fmt.Sprintf("session %d half %d holds bytes, its sink has room, and no event is due", s.id, side)
			}
			if !h.holds() && (m.k.HasInput(h.src) || m.k.HasEnd(h.src)) {
				return fmt.Sprintf("session %d half %d has input, and no event is due", s.id, side)
			}
		}
	}
	return ""
}

func (m *sim) verdict() string {
	k := m.k
	if len(k.Violations()) > 0 {
		return k.Violations()[0]
	}
	if fds := k.LeakedFDs(); len(fds) != 1 { // the epoll set
		return fmt.Sprint("leaked descriptors: ", fds)
	}
	for _, p := range append(append([]*Peer{}, k.Clients()...), k.Backends()...) {
		src := p.Source()
		if byRecv, _ := p.Swallowed(); byRecv > 0 {
			return fmt.Sprintf("an urgent byte of peer %d was swallowed", p.ID())
		}
		if p.End == Open && !p.Closed {
			return fmt.Sprintf("peer %d never sees an end", p.ID())
		}
		if src == nil {
			continue
		}
		if whole, reset := m.resets[src]; reset && !p.Closed {
			if p.End != RST {
				return fmt.Sprintf("peer %d (fd %d) reads a %v where a RST was sent by %d (fd %d)", p.ID(), p.FD, p.End, src.ID(), src.FD)
			}
			if _, byKernel := src.Swallowed(); whole && p.Received+int64(byKernel+p.Missed()) != src.Sent {
				return fmt.Sprintf("peer %d got %d of %d bytes before the RST", p.ID(), p.Received, src.Sent)
			}
		}
		if m.rude {
			continue
		}
		if _, byKernel := src.Swallowed(); p.Received+int64(byKernel) != src.Sent || p.End != FIN {
			return fmt.Sprintf("peer %d got %d of %d bytes, then %v", p.ID(), p.Received, src.Sent, p.End)
		}
		if len(p.Urgent) != len(src.SentUrgent) {
			return fmt.Sprintf("peer %d got urgent bytes at %v of %v", p.ID(), p.Urgent, src.SentUrgent)
		}
	}
	return ""
}

func TestARelayThatIsRightIsFoundRight(t *testing.T) {
	m := sim{k: New(0, simOptions)}
	for seed := range seeds(3000) {
		if why := m.run(seed, none); why != "" {
			t.Fatalf("seed %d: %s\n%s", seed, why, m.k.Trace())
		}
	}
}

func TestEveryBugIsFound(t *testing.T) {
	for _, b := range []bug{
		blindRecv, dropByte, earlyFIN, oneRecv, forgetSpace, crossed, leak, closeTwice, urgentInline, resetAtOnce, resetIsFIN, trustSplice, dirtyPipe,
	} {
		t.Run(string(b), func(t *testing.T) {
			m := sim{k: New(0, simOptions)}
			for seed := range uint64(2000) {
				if why := m.run(seed, b); why != "" {
					t.Logf("seed %d: %s", seed, why)
					return
				}
			}
			t.Error("not found")
		})
	}
}

func TestASeedRepeatsItself(t *testing.T) {
	m, other := sim{k: New(0, simOptions)}, sim{k: New(0, simOptions)}
	for seed := range uint64(50) {
		other.run(seed+1000, none) // what was before must not matter
		m.run(seed, none)
		other.run(seed, none)
		if m.k.Trace() != other.k.Trace() || m.k.Calls() != other.k.Calls() {
			t.Fatalf("seed %d went two ways", seed)
		}
	}
}

func BenchmarkSeed(b *testing.B) {
	m := sim{k: New(0, simOptions)}
	calls := 0
	for i := range b.N {
		m.run(uint64(i), none)
		calls += m.k.Calls()
	}
	b.ReportMetric(float64(calls)/float64(b.N), "calls/op")
}
