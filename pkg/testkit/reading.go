package testkit

import (
	"errors"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// readUntil reads while left says that more is wanted and the stream has not ended.
func (p *Peer) readUntil(left func() int64) error {
	background := p.reading
	p.reading = false
	defer func() { p.reading = background }()
	return p.await(inputs, func() bool {
		for left() > 0 && p.tr.End == EndOpen {
			if !p.readSome(left(), poll(p.fd, inputs, 0)) {
				return false
			}
		}
		return true
	})
}

// readMore reads n bytes, fewer if the stream ends.
func (p *Peer) readMore(n int64) error {
	want := p.tr.Received + n
	return p.readUntil(func() int64 { return want - p.tr.Received })
}

func (p *Peer) readSlowly(n int64, chunk int, every time.Duration) error {
	background := p.reading
	p.reading = false // else the pauses would read
	defer func() { p.reading = background }()
	for n > 0 && p.tr.End == EndOpen {
		part := min(n, int64(chunk))
		n -= part
		if err := errors.Join(p.readMore(part), p.rest(every)); err != nil {
			return err
		}
	}
	return nil
}

func (p *Peer) readUrgent() error {
	p.awaited++
	return p.readUntil(func() int64 {
		if len(p.tr.Urgent) >= p.awaited {
			return 0
		}
		return math.MaxInt64
	})
}

// readSome reads once what is there, at most limit bytes, and says whether anything was. events are those that were seen
// before the call. The order of the calls is what keeps the urgent byte: only a recv() that starts at the mark swallows it,
// bytes that FIONREAD counted lie before any mark, and after RDHUP no mark can come any more.
func (p *Peer) readSome(limit int64, events int16) bool {
	queued := p.queuedInput()
	switch {
	case p.atMark():
		return p.takeUrgent() && p.recv(limit) // passes the mark: nothing but the bytes after it can be here
	case queued > 0:
		return p.recv(min(limit, queued))
	case events&inputEnds != 0:
		return p.recv(limit)
	}
	time.Sleep(50 * time.Microsecond) // an announced urgent byte, or an event that another call has used up
	return false
}

func (p *Peer) atMark() bool {
	n, err := unix.IoctlGetInt(p.fd, unix.SIOCATMARK)
	return err == nil && n != 0
}

// takeUrgent reads the urgent byte. False: announced, but not here yet. True without a mark in the transcript: it was taken
// before (EINVAL) or the connection is gone (ENOTCONN, 0), and an ordinary recv() tells.
func (p *Peer) takeUrgent() bool {
	var b [1]byte
	n, _, err := unix.Recvfrom(p.fd, b[:], unix.MSG_OOB)
	if err == unix.EAGAIN || err == unix.EINTR {
		return false
	}
	if err == nil && n == 1 {
		p.tr.Urgent = append(p.tr.Urgent, Mark{At: p.tr.Received, Value: b[0]})
	}
	return true
}

// recv makes one ordinary recv() and keeps what it shows. False: nothing there.
func (p *Peer) recv(limit int64) bool {
	n, _, err := unix.Recvfrom(p.fd, p.buf[:min(limit, peerBuffer)], 0)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return false
	case err != nil:
		p.tr.End, p.tr.Errno = EndReset, errnoOf(err)
	case n == 0:
		p.endOfStream()
	default:
		p.keep(p.buf[:n])
	}
	return true
}

// endOfStream tells a FIN from a reset whose error an earlier send() has already consumed: recv() then says 0 too. A send
// after a FIN that was followed by a RST fails with EPIPE, after a RST alone with ECONNRESET (tcp_reset in net/ipv4/tcp_input.c).
func (p *Peer) endOfStream() {
	p.tr.End = EndFIN
	if p.tr.SendErrno != 0 && p.tr.SendErrno != unix.EPIPE {
		p.tr.End, p.tr.Errno = EndReset, p.tr.SendErrno
	}
}

func (p *Peer) keep(b []byte) {
	p.sum.Write(b)
	if p.tr.FirstWrong < 0 {
		want := p.expected[:len(b)]
		FillPattern(want, p.theirs, p.tr.Received)
		if i := firstDifference(b, want); i >= 0 {
			p.tr.FirstWrong = p.tr.Received + int64(i)
		}
	}
	p.tr.Received += int64(len(b))
}

func firstDifference(a, b []byte) int {
	if string(a) == string(b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
