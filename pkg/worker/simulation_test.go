package worker

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

var oneSeed = flag.Uint64("seed", 0, "run the simulation with this seed alone")

var simOptions = simkernel.Options{MinBuffer: 16, MaxBuffer: 2048, Faults: simkernel.Faults{
	AcceptEMFILE: 20, AcceptENFILE: 10, AcceptENOMEM: 10, AcceptAborted: 20, SocketEMFILE: 10,
	ConnectRefuse: 20, ConnectNow: 10, ConnectDead: 10, ConnectNever: 5,
	ConnectNoPort: 30, BindInUse: 10, BindGone: 10,
	PipeEMFILE: 50, ShortSend: 50, FewEvents: 200, Interrupt: 100, Shuffle: 200, Meanwhile: 200,
}}

// sim plays one seed: a worker on the fake kernel between peers that do random things.
type sim struct {
	k      *simkernel.Kernel
	calls  *tallied // k, as the worker sees it
	w      *Worker
	lfd    int
	cfg    Config
	snap   *backend.Snapshot
	counts stats.Copy // of a seed that is over

	rude   bool                     // somebody closed early or reset, or we cut a session: not every byte need arrive
	ours   bool                     // we cut a session, or may have: not even what came before a RST need arrive
	resets map[*simkernel.Peer]bool // who reset a stream; true: when all it had sent was acknowledged
	mute   int                      // backends that reset, perhaps before a byte of theirs had arrived
	gone   int                      // clients that reset
	steps  int
}

// begin makes a worker as the seed has it.
func (m *sim) begin(seed uint64) {
	k := m.k
	k.Restart(seed)
	m.rude, m.ours, m.resets, m.steps = false, false, map[*simkernel.Peer]bool{}, 0
	m.mute, m.gone = 0, 0
	r := k.Rand()
	var to []backend.Identity
	for i := range 1 + r.IntN(3) {
		to = append(to, identity(fmt.Sprint("b", i), netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}), 80)))
	}
	times := backend.Timeouts{Connect: 300, Idle: 60_000, HalfClose: 20_000, Stall: 8000}
	if r.IntN(4) == 0 {
		times.FirstByte = 5000
	}
	o := backend.PoolOptions{
		TableSize: 13, ConnectRetries: r.IntN(3), EjectAfter: int64(r.IntN(4)), EjectForMs: 500, MaxEjected: 0.5,
		Algorithm: backend.Algorithm(r.IntN(3)), BalanceFactor: 1.25,
	}
	m.snap = simSnapshot(simSources(r), o, times, to)
	m.cfg = Config{
		Kernel: m.calls, Limits: &Limits{Max: int64(1 + r.IntN(6))}, Pipes: &relay.PipeBudget{Limit: int64(r.IntN(4))}, PipeBytes: 4096,
		BufferBytes: 1 << (4 + r.IntN(6)), MaxBlocks: 1 + r.IntN(4), CheckPipes: true, Mode: relay.Mode(r.IntN(3)),
	}
	w, err := New(m.cfg)
	if err != nil {
		panic(err)
	}
	m.w = w
	m.lfd = k.Listen(sys.Addr{Port: 80})
	w.Adopt(m.snap)
	w.Listen(Listener{FD: m.lfd, Addr: sys.Addr{Port: 80}, Name: "sim"})
}

// simSources are none, some whose ports the kernel chooses, or some with so few ports of ours that they run out.
func simSources(r *rand.Rand) (c sources) {
	mode := r.IntN(3)
	if mode == 0 {
		return c
	}
	for i := range 1 + r.IntN(2) {
		c.addrs = append(c.addrs, netip.AddrFrom4([4]byte{10, 9, 0, byte(i + 1)}))
	}
	if mode == 2 {
		c.own = ports.Range{First: 2000, Last: uint16(2000 + r.IntN(4))}
	}
	return c
}

func simSnapshot(c sources, o backend.PoolOptions, times backend.Timeouts, to []backend.Identity) *backend.Snapshot {
	s := c.snapshot(panicking{}, o, times, to...)
	s.Frontends[0].RefuseWhenFull = false
	return s
}

// panicking stands for a test where there is none at hand.
type panicking struct{ testing.TB }

func (panicking) Helper()           {}
func (panicking) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

// run plays a seed and returns what was wrong, "" if nothing.
func (m *sim) run(seed uint64) string {
	m.begin(seed)
	for range 100 + m.k.Rand().IntN(200) {
		m.step()
		if why := m.check(); why != "" {
			return why
		}
	}
	if why := m.drain(); why != "" {
		return why
	}
	return m.verdict()
}

func (m *sim) step() {
	m.steps++
	k := m.k
	switch r := k.Rand().IntN(1000); {
	case r < 40 && len(k.Clients()) < 5:
		m.dial()
	case r < 350:
		k.Step()
	case r < 600:
		m.w.turn()
	case r < 640:
		k.Advance(int64(1+k.Rand().IntN(40)) * 1e6)
	case r < 642:
		m.ours = m.ours || m.closing() // a closing session may lose patience
		k.Advance(int64(1+k.Rand().IntN(4000)) * 1e6)
	case r < 643:
		m.order()
	case r < 646 && len(k.Backends()) > 0:
		m.speakAndLeave(k.Backends()[len(k.Backends())-1]) // the worker may not have seen that it accepted
	case r < 649 && len(k.Clients()) > 0:
		m.speakAndLeave(k.Clients()[len(k.Clients())-1]) // and may still be dialling for this one
	default:
		if p := m.anyPeer(); p != nil {
			m.peerStep(p)
		}
	}
}

func (m *sim) dial() {
	if m.k.Rand().IntN(5) == 0 {
		m.k.DialUnix(m.lfd)
		return
	}
	m.k.Dial(m.lfd, sys.Addr{IP: [16]byte{10: 0xff, 11: 0xff, 12: 10, 15: byte(1 + len(m.k.Clients()))}, Port: 5000})
}

// speakAndLeave lets a peer do both before the worker has its next turn.
func (m *sim) speakAndLeave(p *simkernel.Peer) {
	if p.Closed {
		return
	}
	p.Send(m.k.Rand().IntN(60))
	p.Deliver(math.MaxInt)
	if m.k.Rand().IntN(4) == 0 {
		p.ShutdownWrite()
		p.Deliver(math.MaxInt)
	}
	if m.k.Rand().IntN(4) > 0 {
		m.reset(p)
	}
	p.Deliver(math.MaxInt)
}

// reset lets a peer cut its connection; on a unix socket that is a close.
func (m *sim) reset(p *simkernel.Peer) {
	m.rude = true
	if p.Unix() {
		p.Close()
		return
	}
	whole := p.Unsent() == 0
	if !p.HalfClosed() { // behind a FIN it does not show
		m.resets[p] = whole
	}
	switch {
	case slices.Contains(m.k.Clients(), p):
		m.gone++
	case !whole || p.Sent == 0 && !p.HalfClosed():
		m.mute++
	}
	p.Reset()
}

// order is what an operator might ask.
func (m *sim) order() {
	switch m.k.Rand().IntN(3) {
	case 0:
		m.w.Give(Once(func(w *Worker) { w.Shed(Shedding{Reason: stats.Shed, Backend: backend.NoBackend, OverMs: 100}) }))
	case 1:
		id := m.w.nextID
		m.w.Give(Once(func(w *Worker) { w.Kill(id, stats.Killed) }))
	case 2:
		var l Listing
		m.w.Give(NewOrder(l.Step))
	}
}

// closing tells whether a session is closing.
func (m *sim) closing() bool {
	for slot := range m.w.slots.used {
		if s := m.w.slots.at(slot); s.state == resetting || s.state == lingering {
			return true
		}
	}
	return false
}

func (m *sim) peers() []*simkernel.Peer {
	return append(append([]*simkernel.Peer(nil), m.k.Clients()...), m.k.Backends()...)
}

func (m *sim) anyPeer() *simkernel.Peer {
	clients, servers := m.k.Clients(), m.k.Backends()
	if len(clients)+len(servers) == 0 {
		return nil
	}
	i := m.k.Rand().IntN(len(clients) + len(servers))
	if i < len(clients) {
		return clients[i]
	}
	return servers[i-len(clients)]
}

func (m *sim) peerStep(p *simkernel.Peer) {
	r := m.k.Rand().IntN(100)
	switch {
	case p.Closed:
	case r < 45:
		p.Read(1 + m.k.Rand().IntN(1000))
	case p.HalfClosed():
	case r < 90:
		p.Send(1 + m.k.Rand().IntN(1000))
	case r < 94 && !p.UrgentPending() && !p.Unix():
		p.SendUrgent()
	case r < 97:
		p.ShutdownWrite()
	case r == 97:
		m.rude = true
		p.Close()
	case r == 98:
		m.reset(p)
	}
}

// check judges by the kernel's truth, not by our latches.
func (m *sim) check() string {
	k, w := m.k, m.w
	if len(k.Violations()) > 0 {
		return k.Violations()[0]
	}
	if *oneSeed != 0 { // found at the end otherwise
		for _, p := range m.peers() {
			if byRecv, _ := p.Swallowed(); byRecv > 0 {
				return fmt.Sprintf("an urgent byte of peer %d was swallowed just now", p.ID())
			}
		}
	}
	if why := m.checkPorts(); why != "" {
		return why
	}
	waiting := k.PendingEvents() > 0 || w.ready.any() || w.starved.any()
	for slot := range w.slots.used {
		s := w.slots.at(slot)
		if s.state == free || s.state == dead {
			continue
		}
		if !w.wheel.Armed(slot) {
			return fmt.Sprintf("slot %d in state %d has no timer", slot, s.state)
		}
		if s.state != relaying || waiting {
			continue
		}
		for dir := range s.half {
			h, src, dst := &s.half[dir], int(s.fd[dir]), int(s.fd[other(dir)])
			if !k.Connected(dst) {
				continue
			}
			if h.Over() {
				if !k.EndSent(dst) {
					return fmt.Sprintf("slot %d half %d has ended, and its FIN was not passed on", slot, dir)
				}
				continue
			}
			if h.Held() > 0 && k.SendSpace(dst) > 0 {
				return fmt.Sprintf("slot %d half %d holds %d bytes, its sink has room, and no event is due", slot, dir, h.Held())
			}
			if h.Held() == 0 && (k.HasInput(src) || k.HasUrgent(src) || k.HasEnd(src)) {
				return fmt.Sprintf("slot %d half %d has input, and no event is due", slot, dir)
			}
		}
	}
	return ""
}

// checkPorts: a port is counted for every session that has one, and never for two. (The fake kernel itself objects to two
// open sockets that connect from one port to one backend.)
func (m *sim) checkPorts() string {
	type port struct {
		pair ports.Number
		port uint16
	}
	held := map[ports.Number]int64{}
	holder := map[port]uint32{}
	for slot := range m.w.slots.used {
		s := m.w.slots.at(slot)
		if s.state == free || s.pair == 0 {
			continue
		}
		held[s.pair]++
		p := port{s.pair, s.port}
		if first, twice := holder[p]; twice && s.port != 0 {
			return fmt.Sprintf("slots %d and %d both hold port %d of pair %d", first, slot, p.port, p.pair)
		}
		holder[p] = slot
	}
	for _, p := range m.snap.Pairs {
		if p != nil && p.Used() != held[p.Number] {
			return fmt.Sprintf("%d ports of pair %d are counted as used, sessions hold %d", p.Used(), p.Number, held[p.Number])
		}
	}
	return ""
}

// drain lets everybody finish: what is sent is read, and streams end.
func (m *sim) drain() string {
	k := m.k
	faults := k.Faults
	k.Faults.Interrupt = 0
	defer func() { k.Faults = faults }()
	for i := range 2000 {
		if k.PendingEvents() == 0 && k.Quiet() && m.finished() {
			return ""
		}
		k.Settle()
		m.w.turn()
		if i%4 == 3 {
			k.Advance(30e6)
		}
		for _, p := range m.peers() {
			p.Read(math.MaxInt)
			if !p.HalfClosed() && !p.Closed && p.SendErr == 0 {
				p.ShutdownWrite()
			}
		}
		if why := m.check(); why != "" {
			return why
		}
	}
	return "no end comes: " + m.describe()
}

// describe is what is left, for a failure's text.
func (m *sim) describe() string {
	text := fmt.Sprintf("%d waiting, %d live, %d paused, %d events", m.k.Waiting(m.lfd), m.w.slots.live, m.w.paused, m.k.PendingEvents())
	for _, p := range m.peers() {
		text += fmt.Sprintf("; peer %d fd %d end %v closed %v halfclosed %v err %v", p.ID(), p.FD, p.End, p.Closed, p.HalfClosed(), p.SendErr)
	}
	for slot := range m.w.slots.used {
		s := m.w.slots.at(slot)
		text += fmt.Sprintf("; slot %d state %d fds %v halves %+v", slot, s.state, s.fd, s.half)
	}
	return text
}

func (m *sim) finished() bool {
	for _, p := range m.peers() {
		if !p.Closed && p.End == simkernel.Open {
			return false
		}
	}
	return m.k.Waiting(m.lfd) == 0 && m.w.slots.live == 0
}

// verdict judges a seed that is over.
func (m *sim) verdict() string {
	m.counts = stats.Copy{}
	m.w.publish()
	m.w.sheet.AddTo(&m.counts)
	if why := m.judgeCounts(&m.counts); why != "" {
		return why
	}
	if why := m.judgeBlame(&m.counts); why != "" {
		return why
	}
	for _, p := range m.peers() {
		if why := m.judgePeer(p); why != "" {
			return why
		}
	}
	m.w.closeAll()
	m.k.Close(m.lfd)
	if len(m.k.Violations()) > 0 {
		return m.k.Violations()[0]
	}
	if fds := m.k.LeakedFDs(); len(fds) != 0 {
		return fmt.Sprint("leaked descriptors: ", fds)
	}
	if n := m.cfg.Pipes.Open.Load(); n != 0 {
		return fmt.Sprint("pipes left in the budget: ", n)
	}
	return ""
}

// judgeCounts: every accepted session ended for one reason, and nothing shared stays taken.
func (m *sim) judgeCounts(c *stats.Copy) string {
	var all, cut uint64
	for r := stats.Reason(1); r < stats.NumReasons; r++ {
		n := c.Value(stats.Frontend, 0, stats.EndedBase+int(r))
		all += n
		if !r.Clean() {
			cut += n
		}
		switch r {
		case stats.ClientFIN, stats.BackendFIN, stats.ClientReset, stats.BackendReset:
		default:
			m.ours = m.ours || n > 0
		}
	}
	m.rude = m.rude || cut > 0
	if accepted := c.Value(stats.Frontend, 0, stats.Accepted); accepted != all {
		return fmt.Sprintf("%d sessions accepted, %d ended", accepted, all)
	}
	if n := m.cfg.Limits.Held.Load(); n != 0 {
		return fmt.Sprintf("%d places are still held", n)
	}
	if n := m.snap.Frontends[0].Live.Active.Load(); n != 0 {
		return fmt.Sprintf("the frontend still counts %d sessions", n)
	}
	for _, b := range m.snap.Backends {
		if n := b.Sessions(); n != 0 {
			return fmt.Sprintf("backend %s still counts %d sessions", b.Name, n)
		}
	}
	if begun, ended := c.Value(stats.Pool, 0, stats.DialBegun), c.Value(stats.Pool, 0, stats.DialEnded); begun != ended {
		return fmt.Sprintf("%d dials begun, %d ended", begun, ended)
	}
	if n := m.w.mover.Blocks.Out() + m.w.mover.Pipes.Out(); n != 0 {
		return fmt.Sprintf("%d blocks and pipes are not given back", n)
	}
	return ""
}

// judgeBlame: no backend counts as refusing that did not, no client as gone that was not, and nobody is let in who cannot
// be connected for want of a descriptor.
func (m *sim) judgeBlame(c *stats.Copy) string {
	var failed [stats.NumConnectFailures]int
	for _, b := range m.snap.Backends {
		for f := range failed {
			failed[f] += int(c.Value(stats.Backend, int(b.Number), stats.FailureBase+f))
		}
	}
	ended := func(r stats.Reason) int { return int(c.Value(stats.Frontend, 0, stats.EndedBase+int(r))) }
	switch {
	case failed[stats.FailRefused] > m.k.Refused+m.mute:
		return fmt.Sprintf("%d connects counted as refused of %d, and of %d that may look so", failed[stats.FailRefused], m.k.Refused, m.mute)
	case failed[stats.FailOther] > 0:
		return fmt.Sprintf("%d connects failed in a way that there is not", failed[stats.FailOther])
	case ended(stats.ClientLeft) > m.gone:
		return fmt.Sprintf("%d clients counted as gone while dialling, %d have reset", ended(stats.ClientLeft), m.gone)
	case len(m.snap.Pairs) == 1 && ended(stats.NoPorts) > 0:
		return "a session ended for want of a port, and the kernel chose them all"
	case len(m.snap.Pairs) == 1 && m.snap.Pools[0].ConnectRetries == 0 && ended(stats.NoFDs) > 0:
		return "a client was let in and then sent away for want of a descriptor"
	}
	return ""
}

// judgePeer: what a peer read is what the other one sent, and ends as that ended it.
func (m *sim) judgePeer(p *simkernel.Peer) string {
	if byRecv, _ := p.Swallowed(); byRecv > 0 {
		return fmt.Sprintf("an urgent byte of peer %d was swallowed", p.ID())
	}
	if p.End == simkernel.Open && !p.Closed {
		return fmt.Sprintf("peer %d never sees an end", p.ID())
	}
	src := p.Source()
	if src == nil {
		return ""
	}
	if whole, reset := m.resets[src]; reset && !p.Closed {
		if p.End != simkernel.RST && !p.Unix() {
			return fmt.Sprintf("peer %d (fd %d) reads a %v where a RST was sent by %d (fd %d)", p.ID(), p.FD, p.End, src.ID(), src.FD)
		}
		if _, byKernel := src.Swallowed(); whole && !m.ours && p.Received+int64(byKernel+p.Missed()) != src.Sent {
			return fmt.Sprintf("peer %d got %d of %d bytes before the RST", p.ID(), p.Received, src.Sent)
		}
	}
	if m.rude {
		return ""
	}
	if _, byKernel := src.Swallowed(); p.Received+int64(byKernel) != src.Sent || p.End != simkernel.FIN {
		return fmt.Sprintf("peer %d got %d of %d bytes, then %v", p.ID(), p.Received, src.Sent, p.End)
	}
	if len(p.Urgent) != len(src.SentUrgent) {
		return fmt.Sprintf("peer %d got urgent bytes at %v of %v", p.ID(), p.Urgent, src.SentUrgent)
	}
	return ""
}
