package simkernel

import (
	"math"

	"github.com/longsplice/longsplice/pkg/sys"
)

// End is how a stream ended for its reader.
type End uint8

// Ends of a stream.
const (
	Open End = iota
	FIN
	RST
)

func (e End) String() string { return [...]string{"open", "FIN", "RST"}[e] }

// Peer is the other end of one of the worker's connections: a client or a backend. It sends the bytes of its own
// pattern, and checks that what it reads is the pattern of the peer it is paired with, from the first
// byte on, none lost, doubled or strange: otherwise a violation is recorded. A pair that the driver does not
// name finds itself by its bytes.
type Peer struct {
	FD         int          // the worker's descriptor; -1: not accepted yet. It may be closed by now
	To         sys.Sockaddr // the address the worker connected to
	Sent       int64        // bytes taken by Send and SendUrgent
	SentUrgent []int64      // positions of the urgent ones in this stream
	Received   int64        // bytes read, urgent ones included
	Urgent     []int64      // positions, in the source's stream, of bytes read as urgent
	End        End          // what Read came to
	SendErr    sys.Errno    // the first error of a send
	Closed     bool         // by Close or Reset

	k      *Kernel
	c      *conn
	s      *socket
	client bool // made by Dial
	source *Peer
	early  []byte // read before the source was known
}

func (p *Peer) reset(k *Kernel, c *conn) {
	*p = Peer{FD: -1, k: k, c: c, s: &c.other, early: p.early[:0], SentUrgent: p.SentUrgent[:0], Urgent: p.Urgent[:0]}
}

// Unix tells whether the connection is one of unix sockets.
func (p *Peer) Unix() bool { return p.c.unix() }

// ID is unique within a run.
func (p *Peer) ID() int { return p.c.id }

// Send writes up to n bytes of the peer's pattern and returns how many the send buffer took. 0: it is full, or
// the connection has ended (SendErr).
func (p *Peer) Send(n int) (sent int) {
	for sent < n {
		b := p.k.pattern(p.s.out.tag, p.Sent, n-sent)
		m := p.send(b, 0)
		sent += m
		if m < len(b) {
			break
		}
	}
	return sent
}

// SendUrgent sends the next byte as an urgent one. The driver should wait until the last one was read
// (UrgentPending): Linux keeps one mark, and a second makes the first ordinary data or loses it.
func (p *Peer) SendUrgent() bool {
	at := p.Sent
	if p.send(p.k.pattern(p.s.out.tag, at, 1), sys.MSG_OOB) == 0 {
		return false
	}
	p.SentUrgent = append(p.SentUrgent, at)
	return true
}

func (p *Peer) send(b []byte, flags int) int {
	n, errno := p.s.send(b, flags, math.MaxInt)
	p.k.note("peer_send", p.c.id, len(b), n, errno)
	if errno != 0 && errno != sys.EAGAIN && p.SendErr == 0 {
		p.SendErr = errno
	}
	p.Sent += int64(n)
	p.k.after(p.s)
	return n
}

// UrgentPending tells whether an urgent byte of this peer was not read yet by the worker, or not sent on to and
// read by the source's other end.
func (p *Peer) UrgentPending() bool {
	return p.source != nil && len(p.SentUrgent) > len(p.source.Urgent)+len(p.s.out.holes) ||
		p.source == nil && len(p.SentUrgent) > 0
}

// Room is what Send would take now.
func (p *Peer) Room() int {
	if p.s.state != established || p.s.shutdown&sendShutdown != 0 {
		return 0
	}
	return p.s.out.room()
}

// Unsent is how many sent bytes the worker's kernel has not acknowledged.
func (p *Peer) Unsent() int { return p.s.unsent() }

// Unread is how many bytes wait to be read, before the mark or behind it.
func (p *Peer) Unread() int { return p.s.in.queued() }

// ShutdownWrite sends FIN behind what was sent.
func (p *Peer) ShutdownWrite() {
	if p.s.state != established {
		return
	}
	errno := p.k.shutdownWrite(p.s)
	p.k.note("peer_shutdown", p.c.id, 0, 0, errno)
	p.k.after(p.s)
}

// HalfClosed tells whether the peer has sent, or will send, a FIN.
func (p *Peer) HalfClosed() bool { return p.s.out.fin }

// Close closes the peer's end; unread input makes it a RST.
func (p *Peer) Close() { p.close("peer_close", false) }

// Reset closes with a RST and throws away what is unsent.
func (p *Peer) Reset() { p.close("peer_reset", true) }

// Vanish takes the peer off the network without a word; the worker's kernel gives up with errno (ETIMEDOUT: keepalive
// or TCP_USER_TIMEOUT).
func (p *Peer) Vanish(errno sys.Errno) {
	p.k.note("peer_vanish", p.c.id, 0, 0, errno)
	p.Closed = true
	p.s.orphan, p.s.state = true, done
	p.s.in.rst, p.s.out.rst = false, false
	if w := &p.c.worker; w.state == established {
		w.err = errno
		p.k.kill(w)
	}
}

func (p *Peer) close(name string, reset bool) {
	if p.Closed {
		return
	}
	p.k.note(name, p.c.id, 0, 0, 0)
	p.Closed = true
	p.k.closeSocket(p.s, reset)
	p.k.after(p.s)
}

// Swallowed is how many urgent bytes of this peer the worker's recv passed over without reading them, which is
// always the worker's mistake; and how many its kernel lost: because a second one came, or because it was not
// read before a RST came.
func (p *Peer) Swallowed() (byRecv, byKernel int) {
	d := p.s.out
	return d.lost, len(d.holes) - d.lost
}

// Missed is how many urgent bytes this peer could not read itself, for the same two reasons.
func (p *Peer) Missed() int { return len(p.s.in.holes) }

// Deliver carries at most n bytes of what the peer sent, or its FIN or RST, to the worker.
func (p *Peer) Deliver(n int) { p.carry(p.s.out, n) }

// Fetch carries at most n bytes of what the worker sent, or its FIN or RST, to the peer.
func (p *Peer) Fetch(n int) { p.carry(p.s.in, n) }

func (p *Peer) carry(d *stream, n int) {
	if !p.c.connecting && d.deliverable() {
		p.k.deliver(d, n)
	}
}
