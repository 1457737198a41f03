package testkit

import (
	"errors"

	"golang.org/x/sys/unix"
)

// send sends n bytes of the pattern; it stops at the first error, which the transcript keeps.
func (p *Peer) send(n int64, chunk int) error {
	if chunk <= 0 {
		chunk = peerBuffer
	}
	end := p.tr.Sent + n
	out := make([]byte, chunk)
	return p.await(unix.POLLOUT, func() bool {
		for p.tr.SendErrno == 0 && p.tr.Sent < end {
			part := out[:min(int64(chunk), end-p.tr.Sent)]
			FillPattern(part, p.mine, p.tr.Sent)
			sent, again := p.sendOnce(part, 0)
			if again {
				return false
			}
			p.tr.Sent += int64(sent)
		}
		return true
	})
}

// sendUrgent sends one byte, a letter that tells the first from the second, as urgent data.
func (p *Peer) sendUrgent() error {
	letter := []byte{'A' + byte(p.tr.UrgentSent%26)}
	return p.await(unix.POLLOUT, func() bool {
		sent, again := p.sendOnce(letter, unix.MSG_OOB)
		p.tr.UrgentSent += sent
		return !again
	})
}

// sendOnce returns how much was sent; again: the send queue is full. Any other errno goes to the transcript.
func (p *Peer) sendOnce(b []byte, flags int) (sent int, again bool) {
	if p.tr.SendErrno != 0 {
		return 0, false
	}
	n, err := unix.SendmsgN(p.fd, b, nil, nil, flags|unix.MSG_NOSIGNAL)
	switch err {
	case nil:
		return n, false
	case unix.EAGAIN, unix.EINTR:
		return 0, true
	}
	p.tr.SendErrno = errnoOf(err)
	return 0, false
}

func (p *Peer) halfClose() {
	if err := unix.Shutdown(p.fd, unix.SHUT_WR); err != nil && p.tr.SendErrno == 0 {
		p.tr.SendErrno = errnoOf(err)
		return
	}
	p.tr.Flushed = p.tr.SendErrno == 0
}

// reset closes with a RST: close() with a linger time of 0 drops the send queue (socket(7)).
func (p *Peer) reset() {
	_ = unix.SetsockoptLinger(p.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	p.Close()
}

func (p *Peer) resetFlushed() error {
	err := p.await(0, func() bool {
		n, err := unix.IoctlGetInt(p.fd, unix.SIOCOUTQ)
		return err != nil || n == 0
	})
	p.tr.Flushed = p.tr.Flushed || (err == nil && p.tr.SendErrno == 0)
	p.reset()
	return err
}

func errnoOf(err error) unix.Errno {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno
	}
	return unix.EIO
}
