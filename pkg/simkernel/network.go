package simkernel

import (
	"math"

	"github.com/longsplice/longsplice/pkg/sys"
)

// Keys of wake-ups: an epoll set takes a wake-up only where its key meets the registered events; 0 meets all.
const (
	wakeAll   = 0
	wakeRead  = sys.EPOLLIN | sys.EPOLLPRI // sock_def_readable
	wakeWrite = sys.EPOLLOUT               // sk_stream_write_space
	wakeError = sys.EPOLLERR               // sock_def_error_report
)

// deliverable tells whether a step would change anything on this stream.
func (d *stream) deliverable() bool {
	switch {
	case d.rst:
		return true
	case d.from.state != established || d.fin && d.finSeen:
		return false
	case d.to.state == done:
		return !d.to.out.rst && (d.unsent() > 0 || d.fin)
	case d.to.orphan:
		return d.unsent() > 0 || d.fin
	}
	return d.window() > 0 && (d.unsent() > 0 || d.fin) || d.probe()
}

// probe tells whether a zero-window probe would announce an urgent byte (tcp_write_wakeup).
func (d *stream) probe() bool {
	return d.window() <= 0 && d.up > d.una && (d.urg == noUrgent || d.urgSeq < d.up-1)
}

// deliver carries at most n bytes of a stream, and what follows them.
func (k *Kernel) deliver(d *stream, n int) {
	n = min(n, d.unsent(), d.window())
	k.note("net", d.from.conn.id, int(d.tag&1), n, 0)
	switch {
	case d.rst:
		k.deliverReset(d, n)
		return
	case d.to.state == done, d.to.orphan && d.unsent() > 0:
		k.abort(d.to) // tcp_rcv_state_process: data for a socket that nobody reads any more
		return
	case d.probe():
		d.checkUrgent()
	case n > 0:
		k.arrive(d, n)
	}
	if d.fin && !d.finSeen && d.unsent() == 0 && (d.window() > 0 || d.to.orphan) {
		k.arriveFIN(d)
	}
}

// arrive puts n bytes into the receiver's queue; the acknowledgement may give the sender room (tcp_check_space).
func (k *Kernel) arrive(d *stream, n int) {
	d.arrive(n, k.rng.IntN(4) == 0)
	k.wake(d.to, wakeRead)
	k.newSpace(d.from)
}

func (k *Kernel) newSpace(s *socket) {
	if s.noSpace && s.out.writable() {
		s.noSpace = false
		k.wake(s, wakeWrite)
	}
}

// arriveFIN is tcp_fin at the receiver and FIN_WAIT1 or LAST_ACK at the sender, which is woken too.
func (k *Kernel) arriveFIN(d *stream) {
	d.finSeen = true
	d.to.eof = true
	d.to.shutdown |= rcvShutdown
	if d.from.orphan && d.to.conn.unix() {
		d.to.shutdown = bothShutdown
	}
	d.to.finish()
	k.wake(d.to, wakeAll)
	d.from.finish()
	k.wake(d.from, wakeAll)
}

// finish is tcp_done and tcp_time_wait: both FINs were acknowledged.
func (s *socket) finish() {
	if s.in.finSeen && s.out.finSeen && s.state == established {
		s.state = done
		s.shutdown = bothShutdown
	}
}

// deliverReset brings what was in flight before the RST, and then, in this step or a later one, the RST.
func (k *Kernel) deliverReset(d *stream, n int) {
	if n > 0 && d.to.state == established && !d.to.orphan {
		k.arrive(d, n)
		if d.unsent() > 0 {
			return
		}
	}
	d.rst = false
	k.resetSocket(d.to)
}

// resetSocket is tcp_reset: the queue stays readable, the output is thrown away.
func (k *Kernel) resetSocket(s *socket) {
	if s.state == done {
		return
	}
	switch {
	case s.state == synSent:
		s.err = sys.ECONNREFUSED
	case s.in.finSeen && !s.out.fin:
		s.err = sys.EPIPE // TCP_CLOSE_WAIT
	default:
		s.err = sys.ECONNRESET
	}
	k.kill(s)
}

// kill is tcp_done_with_error; s.err is set.
func (k *Kernel) kill(s *socket) {
	s.stale = s.unsent()
	s.out.truncate(0)
	s.in.truncate(0)
	s.state = done
	s.shutdown = bothShutdown
	k.wake(s, wakeAll)
	k.wake(s, wakeError)
}

// abort is tcp_send_active_reset: what is unsent is thrown away, but some of it may be in flight already, as
// far as the receiver's window allows.
func (k *Kernel) abort(s *socket) {
	s.state = done
	s.shutdown = bothShutdown
	keep := 0
	if m := min(s.out.unsent(), s.out.window()); m > 0 {
		keep = k.rng.IntN(m + 1)
	}
	s.out.rst = s.out.to.state != done
	s.out.truncate(keep)
}

// Step carries one random thing over the network: a few bytes, a FIN, a RST, the end of a connect. False: there
// is nothing to carry.
func (k *Kernel) Step() bool {
	if len(k.live) == 0 {
		return false
	}
	start := k.rng.IntN(len(k.live))
	for i := 0; i < len(k.live); {
		at := (start + i) % len(k.live)
		c := k.live[at]
		if k.stepConn(c) {
			return true
		}
		if c.over() {
			k.live[at] = k.live[len(k.live)-1]
			k.live = k.live[:len(k.live)-1]
			continue
		}
		i++
	}
	return false
}

func (k *Kernel) stepConn(c *conn) bool {
	if c.connecting {
		return k.answer(c)
	}
	first, second := &c.toPeer, &c.toWorker
	if k.rng.IntN(2) == 0 {
		first, second = second, first
	}
	for _, d := range [...]*stream{first, second} {
		if d.deliverable() {
			k.deliver(d, k.amount(d))
			return true
		}
	}
	return false
}

// amount draws how much a step carries: a byte, some, or all.
func (k *Kernel) amount(d *stream) int {
	n := max(1, min(d.unsent(), d.window()))
	switch k.rng.IntN(4) {
	case 0:
		return 1 + k.rng.IntN(min(n, 16))
	case 1:
		return 1 + k.rng.IntN(n)
	}
	return n
}

// Settle carries everything that can be carried, also the ends of connects.
func (k *Kernel) Settle() {
	for i := 0; i < len(k.live); i++ {
		k.settleConn(k.live[i])
	}
}

func (k *Kernel) settleConn(c *conn) {
	for moved := true; moved; {
		moved = c.connecting && k.answer(c)
		for _, d := range [...]*stream{&c.toPeer, &c.toWorker} {
			for !c.connecting && d.deliverable() {
				k.deliver(d, math.MaxInt)
				moved = true
			}
		}
	}
}

// after lets an immediate network do its work behind a call on s.
func (k *Kernel) after(s *socket) {
	if k.Immediate && s.conn != nil {
		k.settleConn(s.conn)
	}
}
