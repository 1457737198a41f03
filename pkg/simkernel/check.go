package simkernel

import (
	"bytes"
	"math/rand/v2"

	"github.com/longsplice/longsplice/pkg/sys"
)

// period is a prime, so that no buffer size divides it.
const period = 65537

// noise is one period of random bytes, twice: each stream's pattern begins somewhere else in it.
var noise = func() []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, 2*period)
	r.Read(b[:period])
	copy(b[period:], b[:period])
	return b
}()

// pattern is the bytes of a stream from position at on: n of them, or fewer.
func (k *Kernel) pattern(tag uint64, at int64, n int) []byte {
	h := (k.seed ^ tag*0xbf58476d1ce4e5b9 + 0x94d049bb133111eb) * 0x9e3779b97f4a7c15
	i := int((h>>32 + uint64(at)) % period)
	return noise[i : i+min(n, period)]
}

// Read takes up to n bytes as an ordinary receiver does (an urgent byte is read by MSG_OOB when the mark is reached)
// and checks them. It returns how many there were; End tells of a FIN or RST behind them.
func (p *Peer) Read(n int) (got int) {
	for got < n && p.End == Open && !p.Closed {
		if p.s.in.atMark() && p.s.in.urg == waiting && p.readUrgent() == 1 {
			got++
			continue
		}
		at := p.s.in.copied
		if p.s.in.atMark() && p.s.in.queued() > 0 {
			at++ // the call passes the mark
		}
		b := p.k.scratch[:min(n-got, len(p.k.scratch))]
		m, errno := p.s.recv(b)
		p.k.note("peer_recv", p.c.id, len(b), m, errno)
		if m > 0 {
			p.take(at, b[:m])
			got += m
			continue
		}
		if errno == sys.EAGAIN {
			break
		}
		p.End = RST // also where Send took the error already and recv says 0
		if p.s.eof {
			p.End = FIN
		}
	}
	p.k.after(p.s)
	return got
}

func (p *Peer) readUrgent() int {
	at := p.s.in.copied
	b := p.k.scratch[:1]
	n, errno := p.s.recvUrgent(b)
	p.k.note("peer_recv_oob", p.c.id, 1, n, errno)
	if n == 0 { // ENOTCONN behind a RST: the ordinary recv that follows passes the byte by
		return 0
	}
	p.take(at, b)
	p.Urgent = append(p.Urgent, p.sourcePos(at))
	return 1
}

// Pair tells that what a sends is to be read by b, and the reverse.
func Pair(a, b *Peer) {
	a.source, b.source = b, a
	a.checkEarly()
	b.checkEarly()
}

// Source is the peer at the other side of the session; nil: not known yet.
func (p *Peer) Source() *Peer { return p.source }

// sourcePos turns a position in the stream a peer reads into the one in the stream its source wrote: they
// differ by the urgent bytes that the worker's kernel or recv passed over.
func (p *Peer) sourcePos(at int64) int64 {
	if p.source == nil {
		return at
	}
	return skipHoles(p.source.s.out.holes, at)
}

// skipHoles moves a position behind the holes (ascending) that lie before it or on it.
func skipHoles(holes []int64, at int64) int64 {
	for _, h := range holes {
		if h <= at {
			at++
		}
	}
	return at
}

// untilHole is how many of n bytes from a position on come before the next hole.
func untilHole(holes []int64, at int64, n int) int {
	for _, h := range holes {
		if h > at {
			return min(n, int(h-at))
		}
	}
	return n
}

// take checks bytes that were read at a position of the peer's stream.
func (p *Peer) take(at int64, b []byte) {
	p.Received += int64(len(b))
	if p.source == nil {
		p.early = append(p.early, b...)
		p.findSource()
		return
	}
	p.compare(at, b)
}

// compare records a violation where the bytes read at a position are not the source's.
func (p *Peer) compare(at int64, b []byte) {
	if pos, why := p.differ(p.source, at, b); why != "" {
		p.k.violate("peer %d %s at %d of what peer %d has sent (%d bytes)", p.c.id, why, pos, p.source.c.id, p.source.Sent)
	}
}

// differ tells where and how bytes that were read differ from what a source sent; "" if they do not.
func (p *Peer) differ(source *Peer, at int64, b []byte) (pos int64, why string) {
	d := source.s.out
	for len(b) > 0 {
		pos = skipHoles(d.holes, at)
		n := untilHole(d.holes, pos, len(b))
		if pos+int64(n) > source.Sent {
			return pos, "reads more than there is"
		}
		want := p.k.pattern(d.tag, pos, n)
		if !bytes.Equal(b[:len(want)], want) {
			return pos, "reads other bytes"
		}
		at += int64(len(want))
		b = b[len(want):]
	}
	return 0, ""
}

// findSource pairs a peer with the only one on the other side whose bytes these are.
func (p *Peer) findSource() {
	others := p.k.clients
	if p.client {
		others = p.k.servers
	}
	var found *Peer
	for _, o := range others {
		if o.source != nil {
			continue
		}
		if _, why := p.differEarly(o); why != "" {
			continue
		}
		if found != nil {
			return // not clear yet
		}
		found = o
	}
	if found == nil {
		p.k.violate("peer %d reads bytes that nobody sent", p.c.id)
		return
	}
	Pair(p, found)
}

// differEarly is differ for all that was read before the source was known.
func (p *Peer) differEarly(source *Peer) (pos int64, why string) {
	for i := 0; i < len(p.early) && why == ""; {
		at := skipHoles(p.s.in.holes, int64(i))
		n := untilHole(p.s.in.holes, at, len(p.early)-i)
		pos, why = p.differ(source, at, p.early[i:i+n])
		i += n
	}
	return pos, why
}

func (p *Peer) checkEarly() {
	if pos, why := p.differEarly(p.source); why != "" {
		p.k.violate("peer %d %s at %d of what peer %d has sent (%d bytes)", p.c.id, why, pos, p.source.c.id, p.source.Sent)
	}
	p.early = p.early[:0]
	for i, at := range p.Urgent {
		p.Urgent[i] = p.sourcePos(at)
	}
}
