package simkernel

import "github.com/longsplice/longsplice/pkg/sys"

// conn is one connection: the worker's end, the peer's end and the streams between them.
type conn struct {
	id         int
	worker     socket
	other      socket
	toPeer     stream
	toWorker   stream
	connecting bool // the answer to a connect is on its way
	answer     Answer
	remote     sys.Addr // the other end's address, for accepted connections
	peer       Peer
}

// newConn takes a connection from the stock.
func (k *Kernel) newConn() *conn {
	if k.nconns == len(k.conns) {
		k.conns = append(k.conns, &conn{})
	}
	c := k.conns[k.nconns]
	c.id = k.nconns
	k.nconns++
	c.toPeer.reset(&c.worker, &c.other, uint64(c.id)*2)
	c.toWorker.reset(&c.other, &c.worker, uint64(c.id)*2+1)
	c.worker = socket{fd: -1, conn: c, in: &c.toWorker, out: &c.toPeer}
	c.other = socket{fd: -1, conn: c, in: &c.toPeer, out: &c.toWorker}
	for _, d := range [...]*stream{&c.toPeer, &c.toWorker} {
		d.sndCap, d.rcvCap = k.bufferSize(), k.bufferSize()
		d.frag = 4096
		if k.rng.IntN(2) == 0 {
			d.frag = 32768 // SKB_FRAG_PAGE_ORDER 3: a pipe slot may hold more than a page
		}
	}
	c.connecting, c.answer, c.remote = false, Answer{}, sys.Addr{}
	c.peer.reset(k, c)
	return c
}

// over tells whether nothing will ever move here again.
func (c *conn) over() bool {
	dead := func(s *socket) bool { return s.orphan || s.state == done }
	return !c.connecting && dead(&c.worker) && dead(&c.other) || c.connecting && c.worker.orphan
}

// unix tells whether the connection is one of unix sockets.
func (c *conn) unix() bool { return c.worker.family == sys.AF_UNIX }

func (k *Kernel) establish(c *conn) {
	c.worker.state, c.other.state = established, established
}

// listener is a listening socket and the connections that wait in it, complete already.
type listener struct {
	addr  sys.Addr
	queue []*conn
}

// Listen makes a listening descriptor for the worker.
func (k *Kernel) Listen(addr sys.Addr) int {
	return k.alloc(file{kind: isListener, lis: &listener{addr: addr}})
}

// Dial makes a client whose connection waits in a listener's queue. Data may flow before it is accepted.
func (k *Kernel) Dial(listenerFD int, from sys.Addr) *Peer {
	l := k.files[listenerFD].lis
	c := k.newConn()
	k.note("dial", listenerFD, 0, c.id, 0)
	c.peer.client = true
	c.worker.family, c.worker.local, c.remote = sys.AF_INET, l.addr, from
	c.other.local = from
	k.establish(c)
	k.live = append(k.live, c)
	k.clients = append(k.clients, &c.peer)
	l.queue = append(l.queue, c)
	k.wakeFD(listenerFD, wakeRead)
	return &c.peer
}

// DialUnix makes a client that comes by a unix socket. Its close is a hang-up (unix_release_sock): who still sends to it
// gets EPIPE. A reset of ours is a close.
func (k *Kernel) DialUnix(listenerFD int) *Peer {
	p := k.Dial(listenerFD, sys.Addr{})
	p.c.worker.family = sys.AF_UNIX
	return p
}

// Waiting is how many connections wait in a listener's queue.
func (k *Kernel) Waiting(listenerFD int) int { return len(k.files[listenerFD].lis.queue) }

// Accept implements sys.Kernel (__sys_accept4: the descriptor comes first, so EMFILE loses nothing).
func (k *Kernel) Accept(fd int) (int, sys.Addr, sys.Errno) {
	conn, peer, errno := k.accept(fd)
	k.note("accept", fd, 0, conn, errno)
	return conn, peer, errno
}

func (k *Kernel) accept(fd int) (int, sys.Addr, sys.Errno) {
	f := k.get(fd, "accept")
	if f == nil {
		return -1, sys.Addr{}, sys.EBADF
	}
	l := f.lis
	if l == nil {
		return -1, sys.Addr{}, sys.EINVAL
	}
	if errno := k.acceptFault(); errno != 0 {
		return -1, sys.Addr{}, errno
	}
	if len(l.queue) == 0 {
		return -1, sys.Addr{}, sys.EAGAIN
	}
	c := l.queue[0]
	if k.fault(k.Faults.AcceptAborted) {
		l.queue = append(l.queue[:0], l.queue[1:]...)
		k.closeSocket(&c.worker, true)
		return -1, sys.Addr{}, sys.ECONNABORTED
	}
	conn := k.alloc(file{kind: isSocket, sock: &c.worker})
	if conn < 0 {
		return -1, sys.Addr{}, sys.EMFILE
	}
	l.queue = append(l.queue[:0], l.queue[1:]...)
	c.worker.fd, c.peer.FD = conn, conn
	return conn, c.remote, 0
}

func (k *Kernel) acceptFault() sys.Errno {
	switch {
	case k.fault(k.Faults.AcceptEMFILE):
		return sys.EMFILE
	case k.fault(k.Faults.AcceptENFILE):
		return sys.ENFILE
	case k.fault(k.Faults.AcceptENOMEM):
		return [...]sys.Errno{sys.ENOMEM, sys.ENOBUFS}[k.rng.IntN(2)]
	}
	return 0
}

// Answer is what becomes of a connect. The zero Answer is EINPROGRESS and then a connection.
type Answer struct {
	Now    sys.Errno // Connect fails with it
	Later  sys.Errno // EINPROGRESS, then EPOLLERR and this error
	Never  bool      // EINPROGRESS, then nothing
	AtOnce bool      // Connect returns 0 (always so on a unix socket)
	Local  sys.Addr  // our address, if not an ordinary one: the backend's own makes it a self-connect
}

// answerFor asks the driver, or else the dice.
func (k *Kernel) answerFor(to sys.Sockaddr) Answer {
	if k.OnConnect != nil {
		return k.OnConnect(to)
	}
	switch {
	case k.fault(k.Faults.ConnectNow):
		return Answer{Now: sys.ECONNREFUSED}
	case k.fault(k.Faults.ConnectRefuse):
		return Answer{Later: sys.ECONNREFUSED}
	case k.fault(k.Faults.ConnectDead):
		return Answer{Later: sys.ETIMEDOUT}
	}
	return Answer{Never: k.fault(k.Faults.ConnectNever)}
}

// Socket implements sys.Kernel.
func (k *Kernel) Socket(family int) (int, sys.Errno) {
	fd := -1
	if !k.fault(k.Faults.SocketEMFILE) && k.open < k.FDLimit-firstFD {
		c := k.newConn()
		c.worker.family = family
		fd = k.alloc(file{kind: isSocket, sock: &c.worker})
		c.worker.fd, c.peer.FD = fd, fd
	}
	if fd < 0 {
		k.note("socket", -1, family, -1, sys.EMFILE)
		return -1, sys.EMFILE
	}
	k.note("socket", fd, family, fd, 0)
	return fd, 0
}

// Connect implements sys.Kernel.
func (k *Kernel) Connect(fd int, to *sys.Sockaddr) sys.Errno {
	s, errno := k.socket(fd, "connect")
	if errno == 0 {
		errno = k.connect(s, to)
	}
	k.note("connect", fd, 0, 0, errno)
	if errno == sys.EINPROGRESS {
		k.after(s)
	}
	return errno
}

func (k *Kernel) connect(s *socket, to *sys.Sockaddr) sys.Errno {
	if s.state != unconnected {
		k.violate("second connect on fd %d", s.fd)
		return sys.EINVAL
	}
	if errno := k.claim(s, to); errno != 0 {
		return errno
	}
	a := k.answerFor(*to)
	if a.Now == sys.ECONNREFUSED || a.Later == sys.ECONNREFUSED && !a.Never {
		k.Refused++
	}
	if a.Now != 0 {
		return a.Now
	}
	c := s.conn
	c.answer, c.peer.To = a, *to
	if a.Local != (sys.Addr{}) {
		s.local = a.Local
	}
	if to.Family() != sys.AF_UNIX {
		k.fillLocal(s)
	}
	k.live = append(k.live, c)
	if a.AtOnce || to.Family() == sys.AF_UNIX {
		k.connected(c)
		return 0
	}
	s.state = synSent
	c.connecting = true
	return sys.EINPROGRESS
}

func (k *Kernel) connected(c *conn) {
	k.establish(c)
	k.servers = append(k.servers, &c.peer)
	k.wake(&c.worker, wakeAll)
}

// answer ends a connect that is under way; false: it never will.
func (k *Kernel) answer(c *conn) bool {
	if c.answer.Never || c.worker.orphan {
		return false
	}
	k.note("answer", c.worker.fd, c.id, 0, c.answer.Later)
	c.connecting = false
	if c.answer.Later != 0 {
		c.worker.err = c.answer.Later
		k.kill(&c.worker)
		return true
	}
	k.connected(c)
	return true
}
