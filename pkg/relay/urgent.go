package relay

import "github.com/longsplice/longsplice/pkg/sys"

// The urgent byte (send with MSG_OOB) breaks naive relays twice. After it, splice from the socket says EAGAIN for
// ever and, once the peer has closed, 0, with all later bytes still queued. And an ordinary recv that STARTS at the
// mark swallows the byte (one that starts earlier stops there). So: a direction that has seen EPOLLPRI copies for
// life and asks SIOCATMARK before every recv; a recv that confirms splice()==0 asks too; and after a splice, or a recv
// that filled its block, when it is unknown whether the source is empty, SIOCATMARK and FIONREAD are asked. At the mark the byte
// is fetched by recv(MSG_OOB) and sent by send(MSG_OOB) when everything before it is written.
// Kernel: tcp_recv_urg, tcp_check_urg and tcp_ioctl in net/ipv4/tcp.c and tcp_input.c.

// beforeRecv tells whether an ordinary recv may follow: again = it may (or the urgent byte is held now), Waiting =
// nothing to read.
func (m *Mover) beforeRecv(h *Half, src int) (Outcome, sys.Errno) {
	if at, errno := m.K.AtMark(src); errno == 0 && at { // unix sockets answer with an errno: no mark there
		if h.flags&early == 0 {
			return m.takeUrgent(h, src)
		}
		h.flags &^= early // this is the place of the byte that is held
		return again, 0
	}
	if h.flags&Unsure != 0 && h.flags&(Hangup|confirm) == 0 {
		if n, errno := m.K.Unread(src); errno == 0 && n == 0 {
			m.drained(h)
			return Waiting, 0
		}
	}
	return again, 0
}

// takeUrgent fetches the byte at the mark. The mark stays until an ordinary recv passes it; that the byte was taken
// already is not remembered but asked (EINVAL), since another urgent byte may have arrived right behind the first. For
// the same reason the mark is passed only when bytes are known to follow it, asked for before the urgent byte is: one
// that arrives then can only come behind them.
func (m *Mover) takeUrgent(h *Half, src int) (Outcome, sys.Errno) {
	h.flags |= Urgent
	_, behind := m.K.Recv(src, m.oob[:], sys.MSG_PEEK)
	n, errno := m.K.Recv(src, m.oob[:], sys.MSG_OOB)
	at, _ := m.K.AtMark(src) // false: the mark was that of a byte taken before, and has moved on since it was asked for
	switch {
	case errno == 0 && n == 1:
		h.urgent = m.oob[0]
		h.flags |= urgentHeld
		if !at {
			h.flags |= early
		}
	case errno == sys.EAGAIN && at: // announced, not arrived: its arrival makes an edge
		h.flags &^= Readable
		return Waiting, 0
	case errno == sys.EAGAIN: // announced, and bytes go before it
	case behind == sys.EAGAIN && h.flags&Hangup == 0:
		m.drained(h)
		return Waiting, 0
	case behind != 0 && behind != sys.EAGAIN: // looking has taken the error away
		return SourceBroken, behind
	}
	return again, 0 // EINVAL: taken before; 0: the stream ended without it
}

// sendUrgent passes the urgent byte on, alone, so that its place in the stream is exact.
func (m *Mover) sendUrgent(h *Half, dst int) sys.Errno {
	m.oob[0] = h.urgent
	n, errno := m.K.Send(dst, m.oob[:], sys.MSG_OOB)
	switch {
	case errno == sys.EAGAIN:
		h.flags &^= Writable
		return 0
	case errno == sys.EOPNOTSUPP: // a unix socket knows no urgent byte
		n = 0
	case errno != 0:
		return errno
	}
	h.flags &^= urgentHeld
	h.Bytes += uint64(n)
	m.Copied += uint64(n)
	return 0
}
