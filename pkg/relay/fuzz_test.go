package relay

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/sys"
)

// FuzzPump relays both directions of a session under a schedule that is the input itself: steps says what the peers, the
// network and the loop do next, fates what each call of the relay meets, shape how large everything is.
func FuzzPump(f *testing.F) {
	for i, steps := range pumpStories {
		for j, fate := range pumpFates {
			for mode := range uint32(3) {
				f.Add(mode|uint32(i*7+j)<<4, []byte(steps), bytes.Repeat([]byte(fate), 40))
			}
		}
	}
	r := rand.NewChaCha8([32]byte{7})
	for range 12 {
		steps, fates := make([]byte, 400), make([]byte, 600)
		r.Read(steps)
		r.Read(fates)
		f.Add(uint32(r.Uint64()), steps, fates)
	}
	f.Fuzz(func(t *testing.T, shape uint32, steps, fates []byte) {
		if len(steps) > 4000 || len(fates) > 8000 {
			return
		}
		p := newPump(shape, fates)
		if why := p.run(steps); why != "" {
			t.Fatalf("%s\n%s", why, p.k.Trace())
		}
	})
}

// What a pair of bytes in steps says: the action and its argument, an amount of bytes or who acts.
const (
	clientSends   = 'c'
	backendSends  = 'b'
	clientReads   = 'C'
	backendReads  = 'B'
	toUs          = '>' // the network carries to us what the client sent, then what the backend sent
	fromUs        = '<'
	turns         = '.'
	turnsBadly    = ':' // interrupted, or with few events, or with the newest first
	sendsUrgent   = 'u'
	endsItsStream = 'f'
	closes        = 'x'
	resets        = 'r'
	vanishes      = 'v'
)

var pumpActions = []byte{
	clientSends, backendSends, clientReads, backendReads, toUs, fromUs, turns, turns, turnsBadly, sendsUrgent, clientSends, backendReads,
	endsItsStream, closes, resets, vanishes,
}

// pumpStories are schedules that once were, or could have been, somebody's mistake.
var pumpStories = []string{
	"c\x50>\x50.0<\x50B\x50",                             // a message
	"c\xf0>\xf0.0.0<\xf0B\x20.0<\x40B\xf0.0<\xf0.0B\xf0", // bulk towards a slow reader
	"c\x40u0>\xf0.0c\x40>\xf0.0<\xf0B\xf0.0",             // an urgent byte in the middle
	"u0>\x00.0f0>\xf0.0<\xf0B\xf0",                       // an urgent byte, then the end
	"c\xf0u0c\x80f0>\xf0.0<\xf0.0B\xf0<\xf0.0B\xf0",      // the same behind bulk: splice says 0
	"c\x50u0c\x50f0>\x20.0.0<\xf0B\xf0",                  // the same, in parts that arrive while we read
	"c\x40u0c\x40u0>\x40.0.0<\xf0B\xf0u0>\xf0.0",         // a mark right behind what fills a block
	"c\x60f0>\xf0.0b\x80>\xf0.0<\xf0C\xf0f1>\xf0.0",      // a half-close and a long answer
	"c\xa0>\x70.0>\x70:1r0.0.0",                          // a reset behind bytes
	"b\xa0>\x70.0<\x20x0.0:2.0",                          // the reader leaves
	"c\xa0>\xf0.0<\x70v1.0",                              // the reader vanishes
	"u0>\xf0:1<\xf0B\xf0u0>\xf0:3<\xf0B\xf0c\x10>\xf0.0", // urgent bytes back to back
}

// pumpFates meet the calls again and again.
var pumpFates = []string{
	"",                                 // nothing
	"\xf3",                             // all that the client has sent arrives, its end too
	"\x13\x43\x00\x03",                 // a little of it
	"\x1b\x24\x2d\x16\x07\x03\x04\x05", // some of everything
	"\x0e\x05\x0f",                     // short counts and shortages
}

// amount is 1 to 32,783 bytes, small ones as likely as large ones.
func amount(b byte) int { return 1<<(b>>4) + int(b&15) }

// pump is a session without a worker: two halves between two simulated connections, and an epoll set.
type pump struct {
	*Mover
	k      *fated
	epfd   int
	fd     [2]int
	peer   [2]*simkernel.Peer
	half   [2]Half
	moved  [2]int // the turn of a half's last Move
	turnNo int
	again  bool // a half wants to go on: the ready list
	budget PipeBudget

	rude bool // somebody closed early or vanished: not every byte need arrive
	cut  bool // a connection died, and both are closed
}

func newPump(shape uint32, fates []byte) *pump {
	bits := func(at, n int) int { return int(shape >> at & (1<<n - 1)) }
	o := simkernel.Options{MinBuffer: 16, MaxBuffer: 16 << (bits(4, 4) % 12)}
	k := &fated{Kernel: simkernel.New(uint64(shape), o), fates: fates}
	p := &pump{k: k}
	p.budget.Limit = int64(3 - bits(14, 2))
	l := k.Listen(sys.Addr{Port: 80})
	p.peer[0] = k.Dial(l, sys.Addr{Port: 1})
	p.fd[0], _, _ = k.Accept(l)
	p.fd[1], _ = k.Socket(sys.AF_INET)
	to := sys.SockaddrInet(netip.MustParseAddrPort("10.0.0.1:80"))
	k.OnConnect = func(sys.Sockaddr) simkernel.Answer { return simkernel.Answer{AtOnce: true} }
	k.Connect(p.fd[1], &to)
	p.peer[1] = k.Backends()[0]
	simkernel.Pair(p.peer[0], p.peer[1])
	k.Close(l)
	k.pump = p
	p.Mover = &Mover{
		K: k, Mode: Mode(bits(0, 4) % 3), Pipes: NewPipes(k, 4096<<bits(12, 2), &p.budget),
		Blocks: NewBlocks(16<<bits(8, 3), 1+bits(11, 1)),
	}
	p.Pipes.Check = true
	p.epfd, _ = k.EpollCreate()
	for side, fd := range p.fd {
		p.half[side].Set(Nagle)
		k.EpollAdd(p.epfd, fd, sys.EPOLLIN|sys.EPOLLOUT|sys.EPOLLPRI|sys.EPOLLRDHUP|sys.EPOLLET, uint64(side))
	}
	return p
}

// run plays a schedule, lets everybody finish and returns what was wrong, "" if nothing.
func (p *pump) run(steps []byte) string {
	for ; len(steps) >= 2 && !p.cut; steps = steps[2:] {
		p.step(steps[0], steps[1])
		if why := p.check(); why != "" {
			return why
		}
	}
	p.k.fates = nil
	for range 3000 {
		if p.over() {
			break
		}
		p.finishPeers()
		p.turn(8)
		if why := p.check(); why != "" {
			return why
		}
	}
	return p.verdict()
}

func (p *pump) step(action, arg byte) {
	n, who := amount(arg), p.peer[arg&1]
	switch action {
	default:
		p.step(pumpActions[int(action)%len(pumpActions)], arg)
	case clientSends, backendSends:
		if who = p.peer[action&1^1]; !who.HalfClosed() { // 'c' is odd
			who.Send(n)
		}
	case clientReads, backendReads:
		p.peer[action&1^1].Read(n)
	case toUs:
		p.peer[0].Deliver(n)
		p.peer[1].Deliver(n)
	case fromUs:
		p.peer[0].Fetch(n)
		p.peer[1].Fetch(n)
	case turns:
		p.turn(8)
	case turnsBadly:
		p.turnBadly(arg)
	case sendsUrgent:
		if !who.UrgentPending() && !who.HalfClosed() {
			who.SendUrgent()
		}
	case endsItsStream:
		who.ShutdownWrite()
	case closes, resets, vanishes:
		p.leave(who, action)
	}
}

// leave ends a peer before its time.
func (p *pump) leave(who *simkernel.Peer, how byte) {
	if who.HalfClosed() || who.Closed {
		return
	}
	p.rude = true
	switch how {
	case closes:
		who.Close()
	case resets:
		who.Reset()
	case vanishes:
		who.Vanish(sys.ETIMEDOUT)
	}
}

func (p *pump) turnBadly(arg byte) {
	f := &p.k.Faults
	switch arg % 3 {
	case 0:
		f.Interrupt = 1000
	case 1:
		f.FewEvents = 1000
	case 2:
		f.Shuffle = 1000
	}
	p.turn(1 + int(arg>>2)%2)
	*f = simkernel.Faults{}
}

// turn is one round of the loop: events, at most so many, then the ready list.
func (p *pump) turn(most int) {
	p.turnNo++
	goOn := p.again
	p.again = false
	var events [8]sys.Event
	n, _ := p.k.EpollWait(p.epfd, events[:most], 0)
	for _, e := range events[:n] {
		p.latch(int(e.Token()), e.Events)
		p.move(0)
		p.move(1)
	}
	if goOn {
		p.move(0)
		p.move(1)
	}
}

// latch raises what an event says, as pkg/worker does.
func (p *pump) latch(side int, events uint32) {
	in, out := &p.half[side], &p.half[1-side]
	const ended = sys.EPOLLRDHUP | sys.EPOLLHUP | sys.EPOLLERR
	if events&(sys.EPOLLIN|sys.EPOLLPRI|ended) != 0 {
		in.Set(Readable)
		if p.moved[side] == p.turnNo {
			in.Set(Unsure)
		}
	}
	if events&ended != 0 {
		in.Set(Hangup)
	}
	if events&sys.EPOLLPRI != 0 {
		in.Set(Urgent)
	}
	if events&(sys.EPOLLOUT|sys.EPOLLHUP|sys.EPOLLERR) != 0 {
		out.Set(Writable)
	}
}

func (p *pump) move(dir int) {
	h := &p.half[dir]
	if p.cut || !h.Runnable() {
		return
	}
	p.moved[dir] = p.turnNo
	switch out, errno := p.Move(h, p.fd[dir], p.fd[1-dir]); out {
	case More, Starved:
		p.again = true
	case SourceEnded:
		h.Set(Done)
		if p.k.ShutdownWrite(p.fd[1-dir]); p.half[1-dir].Over() {
			p.hangUp(false)
		}
	case SourceFailed, SourceBroken, SinkFailed:
		if !p.rude {
			p.k.complain("direction %d: outcome %d with %s, and nobody closed or reset anything", dir, out, sys.Name(errno))
		}
		p.hangUp(true)
	}
}

// hangUp closes both sides, by RST where one has died.
func (p *pump) hangUp(reset bool) {
	p.cut = true
	for side, fd := range p.fd {
		p.Drop(&p.half[side])
		p.half[side].Set(Done)
		if reset {
			p.k.Reset(fd)
		} else {
			p.k.Close(fd)
		}
	}
}

// check judges by the kernel's truth, not by the latches.
func (p *pump) check() string {
	k := p.k
	if v := append(k.wrong, k.Violations()...); len(v) > 0 {
		return v[0]
	}
	if p.cut {
		return ""
	}
	inPipes := 0
	for dir := range p.half {
		h := &p.half[dir]
		held := int(h.held)
		if h.pipe != 0 {
			inPipes += held
		}
		if h.flags&urgentHeld != 0 {
			held++
		}
		if k.in[dir] != k.out[dir]+held || k.out[dir] != int(h.Bytes) {
			return fmt.Sprintf("direction %d: %d bytes in, %d out, %d held, %d counted", dir, k.in[dir], k.out[dir], held, h.Bytes)
		}
		if why := p.stalled(dir); why != "" {
			return why
		}
	}
	if n := k.PipeBytesHeld(); n != inPipes {
		return fmt.Sprintf("%d bytes are in pipes, %d are held there", n, inPipes)
	}
	return ""
}

// stalled tells what a half could do, where no event is due that would make it.
func (p *pump) stalled(dir int) string {
	k, h, src, dst := p.k, &p.half[dir], p.fd[dir], p.fd[1-dir]
	switch {
	case p.again || k.PendingEvents() > 0 || h.Over() || !k.Connected(dst):
	case h.Held() > 0 && k.SendSpace(dst) > 0:
		return fmt.Sprintf("direction %d holds %d bytes, its sink has room, and no event is due", dir, h.Held())
	case h.Held() == 0 && (k.HasInput(src) || k.HasUrgent(src) || k.HasEnd(src)):
		return fmt.Sprintf("direction %d has input, and no event is due", dir)
	}
	return ""
}

// finishPeers lets the peers read all there is and end their streams.
func (p *pump) finishPeers() {
	p.k.Settle()
	for _, peer := range p.peer {
		peer.Read(math.MaxInt)
		if !peer.Closed && !peer.HalfClosed() && peer.SendErr == 0 {
			peer.ShutdownWrite()
		}
	}
}

func (p *pump) over() bool {
	return p.cut && p.k.Quiet() && (p.peer[0].Closed || p.peer[0].End != simkernel.Open) && (p.peer[1].Closed || p.peer[1].End != simkernel.Open)
}

// verdict judges a schedule that is over.
func (p *pump) verdict() string {
	for dir, peer := range p.peer {
		from := p.peer[1-dir]
		byRecv, byKernel := from.Swallowed()
		switch {
		case byRecv > 0:
			return fmt.Sprintf("an urgent byte of side %d was swallowed", 1-dir)
		case peer.End == simkernel.Open && !peer.Closed:
			return fmt.Sprintf("side %d never sees an end: %+v", dir, p.half)
		case p.rude:
		case peer.End != simkernel.FIN || peer.Received+int64(byKernel) != from.Sent:
			return fmt.Sprintf("side %d read %d of %d bytes, then %v", dir, peer.Received, from.Sent, peer.End)
		case len(peer.Urgent) != len(from.SentUrgent):
			return fmt.Sprintf("side %d read urgent bytes at %v of %v", dir, peer.Urgent, from.SentUrgent)
		}
	}
	if n := p.Blocks.Out() + p.Pipes.Out(); n != 0 {
		return fmt.Sprintf("%d blocks and pipes are not given back", n)
	}
	p.Pipes.Close()
	p.k.Close(p.epfd)
	if fds := p.k.LeakedFDs(); len(fds) > 0 || len(p.k.Violations()) > 0 {
		return fmt.Sprint("leaked descriptors: ", fds, p.k.Violations())
	}
	return ""
}

// fated is the simulated kernel where each call of the relay meets the next fate: nothing, something that the network
// does just before it, a short count, a shortage. It counts what goes in and out.
type fated struct {
	*simkernel.Kernel
	pump    *pump
	fates   []byte
	in, out [2]int
	wrong   []string
}

func (k *fated) complain(format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
}

// Fates: what the low bits of a byte mean; the high ones are an amount.
const (
	clientArrives = 3 + iota
	backendArrives
	peersTake
	isShort
	isScarce
)

// fate takes the next byte, lets the network do its part, and returns what is left for the call.
func (k *fated) fate() (what, n int) {
	if len(k.fates) == 0 {
		return 0, 0
	}
	b := k.fates[0]
	k.fates = k.fates[1:]
	what, n = int(b&7), amount(b&^7)
	switch what {
	case clientArrives:
		k.pump.peer[0].Deliver(n)
	case backendArrives:
		k.pump.peer[1].Deliver(n)
	case peersTake:
		for _, p := range k.pump.peer {
			p.Fetch(n)
			p.Read(n)
		}
	}
	return what, n
}

// side of a socket; of a pipe -1.
func (k *fated) side(fd int) int {
	for side, f := range k.pump.fd {
		if f == fd {
			return side
		}
	}
	return -1
}

func (k *fated) Recv(fd int, b []byte, flags int) (int, sys.Errno) {
	k.fate() // a short count of recv means that the socket is empty: it is never made up
	n, errno := k.Kernel.Recv(fd, b, flags)
	if flags&sys.MSG_PEEK == 0 && errno == 0 {
		k.in[k.side(fd)] += n
	}
	return n, errno
}

func (k *fated) Send(fd int, b []byte, flags int) (int, sys.Errno) {
	b = b[:k.limit(len(b))]
	n, errno := k.Kernel.Send(fd, b, flags)
	k.Faults.ShortSend = 0
	if errno == 0 {
		k.out[1-k.side(fd)] += n
	}
	return n, errno
}

// limit is how much of n bytes a call may move; under scarcity the kernel takes some or none of one byte.
func (k *fated) limit(n int) int {
	switch what, most := k.fate(); what {
	case isShort:
		return min(n, most)
	case isScarce:
		k.Faults.ShortSend = 1000
		return min(n, 1)
	}
	return n
}

func (k *fated) Splice(from, to, n int) (int, sys.Errno) {
	src := k.side(from)
	n = k.limit(n)
	if src >= 0 && k.Faults.ShortSend > 0 && n == 1 {
		k.Faults.ShortSend = 0
		return 0, sys.EINVAL // a source that cannot splice, from now on or for once
	}
	moved, errno := k.Kernel.Splice(from, to, n)
	k.Faults.ShortSend = 0
	switch {
	case errno != 0:
	case src >= 0:
		k.in[src] += moved
	default:
		k.out[1-k.side(to)] += moved
	}
	return moved, errno
}

func (k *fated) Pipe(size int) (sys.Pipe, sys.Errno) {
	if what, _ := k.fate(); what == isScarce {
		return sys.Pipe{}, sys.EMFILE
	}
	return k.Kernel.Pipe(size)
}

func (k *fated) AtMark(fd int) (bool, sys.Errno) { k.fate(); return k.Kernel.AtMark(fd) }
func (k *fated) Unread(fd int) (int, sys.Errno)  { k.fate(); return k.Kernel.Unread(fd) }

// ShutdownWrite passes a FIN on: only where the source sent one, and behind all its bytes.
func (k *fated) ShutdownWrite(fd int) sys.Errno {
	from := k.pump.peer[1-k.side(fd)]
	_, byKernel := from.Swallowed()
	if in := k.in[1-k.side(fd)]; !from.HalfClosed() || int64(in+byKernel) != from.Sent {
		k.complain("a FIN is passed on after %d of %d bytes", in, from.Sent)
	}
	return k.Kernel.ShutdownWrite(fd)
}
