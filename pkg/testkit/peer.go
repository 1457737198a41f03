package testkit

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	peerBuffer = 64 << 10
	inputEnds  = unix.POLLRDHUP | unix.POLLHUP | unix.POLLERR
	inputs     = unix.POLLIN | unix.POLLPRI | unix.POLLRDHUP
)

// Peer is one end of a TCP connection that plays steps. It belongs to one goroutine.
type Peer struct {
	fd       int // -1 once closed
	reading  bool
	awaited  int // urgent bytes that AwaitUrgent steps have consumed
	mine     uint64
	theirs   uint64
	sum      hash.Hash
	buf      []byte
	expected []byte
	meeting  *meeting
	host     *Host // where the socket lives; nil: in the test's own namespace
	vanished bool
	side     int
	tr       Transcript
}

func newPeer(fd int) (*Peer, error) {
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	return &Peer{
		fd: fd, sum: sha256.New(), meeting: newMeeting(), tr: Transcript{FirstWrong: -1},
		buf: make([]byte, peerBuffer), expected: make([]byte, peerBuffer),
	}, nil
}

// FD is the peer's socket, for options that a script has no step for; -1 once closed.
func (p *Peer) FD() int { return p.fd }

// LocalAddr is the peer's own address; the zero value once closed.
func (p *Peer) LocalAddr() netip.AddrPort {
	addr, _ := localAddr(p.fd)
	return addr
}

// Close closes the socket if a step has not done so.
func (p *Peer) Close() {
	if p.vanished { // its FIN would be repeated in vain, and the host could not go
		_ = unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if p.fd >= 0 {
		unix.Close(p.fd)
		p.fd = -1
	}
}

// Seed sets the patterns that the peer sends and expects. Without it both are of seed 0.
func (p *Peer) Seed(mine, theirs uint64) { p.mine, p.theirs = mine, theirs }

// Play runs the steps and returns what has happened on the connection so far. A socket that no step closed stays open.
// The error names the step that waited longer than Bound; an end or error of the stream is no error but in the transcript.
func (p *Peer) Play(steps ...Step) (Transcript, error) {
	for i, s := range steps {
		if p.fd < 0 {
			return p.transcript(), fmt.Errorf("step %d %v: the socket is closed", i, s)
		}
		if err := p.play(s); err != nil {
			return p.transcript(), fmt.Errorf("step %d %v: %w", i, s, err)
		}
	}
	return p.transcript(), nil
}

func (p *Peer) transcript() Transcript {
	tr := p.tr
	p.sum.Sum(tr.Sum[:0])
	return tr
}

func (p *Peer) play(s Step) error {
	switch s.verb {
	case send:
		return p.send(s.n, s.chunk)
	case urgent:
		return p.sendUrgent()
	case halfClose:
		p.halfClose()
	case closeSocket:
		p.tr.Flushed = p.tr.Flushed || p.queuedInput() == 0
		p.Close()
	case reset:
		p.reset()
	case resetFlushed:
		return p.resetFlushed()
	case read:
		return p.readMore(s.n)
	case readSlowly:
		return p.readSlowly(s.n, s.chunk, s.pause)
	case readToEnd:
		return p.readUntil(func() int64 { return math.MaxInt64 })
	case awaitUrgent:
		return p.readUrgent()
	case awaitQueued:
		return p.await(0, func() bool { return p.queuedInput() >= s.n })
	case startReading:
		p.reading = true
	case stopReading:
		p.reading = false
	case meet:
		there := p.meeting.arrive(p.side)
		return p.await(0, there)
	case pause:
		return p.rest(s.pause)
	case hold:
		return p.await(0, func() bool {
			select {
			case <-s.until:
				return true
			default:
				return false
			}
		})
	case vanish:
		return p.vanish()
	}
	return nil
}

// rest waits for d, and so may last longer than Bound.
func (p *Peer) rest(d time.Duration) error {
	for until := time.Now().Add(d); time.Now().Before(until); {
		part := time.Now().Add(min(time.Until(until), Bound/2))
		if err := p.await(0, func() bool { return !time.Now().Before(part) }); err != nil {
			return err
		}
	}
	return nil
}

// Between two looks of await.
const (
	firstNap = time.Millisecond
	maxNap   = 16 * time.Millisecond // hundreds of peers that wait must not be a load
)

// await waits, at most Bound, until done says so. It asks again after any of events, after background reading, and else
// after naps.
func (p *Peer) await(events int16, done func() bool) error {
	deadline := time.Now().Add(Bound)
	for nap := firstNap; !done(); nap = min(2*nap, maxNap) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v; so far: %v", Bound, p.transcript())
		}
		want, background := events, p.reading && p.tr.End == EndOpen
		if background {
			want |= inputs
		}
		if want == 0 {
			time.Sleep(nap)
			continue
		}
		if got := poll(p.fd, want, nap); background && got&^unix.POLLOUT != 0 {
			p.readSome(math.MaxInt64, got)
		}
	}
	return nil
}

// queuedInput is the number of ordinary bytes up to the next urgent one that can be read now. -1: the socket says nothing.
func (p *Peer) queuedInput() int64 {
	n, err := unix.IoctlGetInt(p.fd, unix.SIOCINQ)
	if err != nil {
		return -1
	}
	return int64(n)
}
