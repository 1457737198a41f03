package simkernel

// The functions here look at the machine without changing it, so that invariants are judged by what is and not
// by what a program believes. fd must be an open socket of the worker.

// PendingEvents is how many files an EpollWait would tell about.
func (k *Kernel) PendingEvents() (n int) {
	for fd := firstFD; fd < len(k.files); fd++ {
		if k.PendingEvent(fd) {
			n++
		}
	}
	return n
}

// PendingEvent tells whether an EpollWait would tell about fd.
func (k *Kernel) PendingEvent(fd int) bool {
	f := &k.files[fd]
	return f.queued && f.look()&f.events != 0
}

// look is poll without its side effect.
func (f *file) look() uint32 {
	if f.kind != isSocket {
		return f.poll()
	}
	before := f.sock.noSpace
	mask := f.sock.poll()
	f.sock.noSpace = before
	return mask
}

func (k *Kernel) sock(fd int) *socket { return k.files[fd].sock }

// HasInput tells whether there is something to read: ordinary bytes, or the urgent one where it has arrived and
// was not read.
func (k *Kernel) HasInput(fd int) bool {
	d := k.sock(fd).in
	return d.queued() > 1 || d.queued() == 1 && !(d.atMark() && d.urg == urgentRead)
}

// HasUrgent tells whether an urgent byte has arrived and was not read.
func (k *Kernel) HasUrgent(fd int) bool { return k.sock(fd).in.urg == waiting }

// HasEnd tells whether a FIN, a RST or an error of the connection has arrived, read or not.
func (k *Kernel) HasEnd(fd int) bool {
	s := k.sock(fd)
	return s.eof || s.err != 0 || s.state == done
}

// SendSpace is what a send would take, and 0 where it would fail, where epoll would not call the socket writable (less
// than a third of the buffer is free) and where the kernel owes an edge: a send found no room, or no memory, and an
// acknowledgement that is still to come will tell.
func (k *Kernel) SendSpace(fd int) int {
	s := k.sock(fd)
	if s.state != established || s.err != 0 || s.shutdown&sendShutdown != 0 || s.noSpace || !s.out.writable() {
		return 0
	}
	return s.out.room()
}

// Connected tells whether a connect has succeeded and the connection has not ended.
func (k *Kernel) Connected(fd int) bool { return k.sock(fd).state == established }

// EndSent tells whether the worker has ended its own stream.
func (k *Kernel) EndSent(fd int) bool { return k.sock(fd).shutdown&sendShutdown != 0 }

// PipeBytesHeld is the sum of the bytes in all pipes.
func (k *Kernel) PipeBytesHeld() (n int) {
	for _, p := range k.pipes[:k.npipes] {
		n += p.held()
	}
	return n
}

// PeerOf is the other end of a worker's socket.
func (k *Kernel) PeerOf(fd int) *Peer { return &k.sock(fd).conn.peer }

// Clients are the peers made by Dial, oldest first.
func (k *Kernel) Clients() []*Peer { return k.clients }

// Backends are the peers that the worker connected to, in the order of the connections.
func (k *Kernel) Backends() []*Peer { return k.servers }

// Quiet tells whether the network has nothing left to carry.
func (k *Kernel) Quiet() bool {
	for _, c := range k.live {
		if c.connecting && !c.answer.Never && !c.worker.orphan {
			return false
		}
		if !c.connecting && (c.toPeer.deliverable() || c.toWorker.deliverable()) {
			return false
		}
	}
	return true
}

// Mask is what epoll would tell about fd now (poll).
func (k *Kernel) Mask(fd int) uint32 { return k.files[fd].look() }
