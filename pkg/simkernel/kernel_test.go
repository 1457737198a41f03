package simkernel

import (
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/sys"
)

// pair is a machine with one accepted connection, and the descriptor of the worker's end.
func pair(o Options) (k *Kernel, p *Peer, fd int) {
	k = New(1, o)
	lfd := k.Listen(sys.Addr{Port: 80})
	p = k.Dial(lfd, sys.Addr{Port: 9})
	fd, _, _ = k.Accept(lfd)
	return k, p, fd
}

func TestLowestDescriptorIsUsedAgain(t *testing.T) {
	k := New(1, Options{FDLimit: 6})
	a, _ := k.EventFD()
	b, _ := k.EventFD()
	c, _ := k.EventFD()
	if _, e := k.Socket(sys.AF_INET); e != sys.EMFILE {
		t.Errorf("beyond the limit: %v", e)
	}
	k.Close(b)
	if d, _ := k.EventFD(); d != b || a != firstFD || c != b+1 {
		t.Errorf("got %d %d %d, then %d", a, b, c, d)
	}
	k.Close(a)
	k.Close(a)
	if v := k.Violations(); len(v) != 1 || !strings.Contains(v[0], "EBADF: close") {
		t.Errorf("a double close gives %q", v)
	}
	if got := len(k.LeakedFDs()); got != 2 {
		t.Errorf("%d leaked", got)
	}
}

func TestPipeQuota(t *testing.T) {
	k := New(1, Options{PipePages: 34})
	var sizes []int
	var last sys.Pipe
	for range 3 {
		p, _ := k.Pipe(1 << 16)
		sizes, last = append(sizes, p.Size), p
	}
	if sizes[0] != 65536 || sizes[1] != 65536 || sizes[2] != 8192 {
		t.Errorf("sizes %v", sizes)
	}
	k.Close(last.R)
	k.Close(last.W)
	if p, _ := k.Pipe(1 << 14); p.Size != 8192 {
		t.Errorf("two slots grew to %d beyond the quota", p.Size)
	}
}

func TestNothingArrivesByItself(t *testing.T) {
	k, p, fd := pair(Options{})
	p.Send(50)
	if k.HasInput(fd) || p.Unsent() != 50 || k.Quiet() {
		t.Error("bytes arrived without a step")
	}
	p.Deliver(20)
	if n, _ := k.Unread(fd); n != 20 || p.Unsent() != 30 {
		t.Errorf("%d arrived, %d unsent", n, p.Unsent())
	}
	k.Settle()
	if n, _ := k.Unread(fd); n != 50 || p.Unsent() != 0 || !k.Quiet() {
		t.Errorf("%d arrived, %d unsent", n, p.Unsent())
	}
}

func TestConnectAnswers(t *testing.T) {
	local := sys.Addr{Port: 7}
	for name, c := range map[string]struct {
		answer Answer
		family int
		errno  sys.Errno
		mask   uint32
		err    sys.Errno
	}{
		"accepted":   {Answer{}, sys.AF_INET, sys.EINPROGRESS, sys.EPOLLOUT, 0},
		"refused":    {Answer{Later: sys.ECONNREFUSED}, sys.AF_INET, sys.EINPROGRESS, 0x201d, sys.ECONNREFUSED},
		"dead":       {Answer{Later: sys.ETIMEDOUT}, sys.AF_INET, sys.EINPROGRESS, 0x201d, sys.ETIMEDOUT},
		"no answer":  {Answer{Never: true}, sys.AF_INET, sys.EINPROGRESS, 0, 0},
		"at once":    {Answer{Now: sys.EADDRNOTAVAIL}, sys.AF_INET, sys.EADDRNOTAVAIL, sys.EPOLLOUT | sys.EPOLLHUP, 0},
		"self":       {Answer{Local: local}, sys.AF_INET, sys.EINPROGRESS, sys.EPOLLOUT, 0},
		"connect 0":  {Answer{AtOnce: true}, sys.AF_INET, 0, sys.EPOLLOUT, 0},
		"of a unix ": {Answer{Now: sys.EAGAIN}, sys.AF_UNIX, sys.EAGAIN, sys.EPOLLOUT | sys.EPOLLHUP, 0},
	} {
		t.Run(name, func(t *testing.T) {
			k := New(1, Options{})
			k.OnConnect = func(sys.Sockaddr) Answer { return c.answer }
			fd, _ := k.Socket(c.family)
			if e := k.Connect(fd, &sys.Sockaddr{}); e != c.errno {
				t.Errorf("connect: %v", e)
			}
			k.Settle()
			if m := k.Mask(fd); m != c.mask {
				t.Errorf("mask %x", m)
			}
			if a, _ := k.LocalAddr(fd); (a == local) != (name == "self") {
				t.Errorf("local address %v", a)
			}
			if e := k.SockError(fd); e != c.err {
				t.Errorf("SO_ERROR: %v", e)
			}
		})
	}
}

func TestVanishedPeerIsAnErrorBehindItsData(t *testing.T) {
	k, p, fd := pair(Options{})
	p.Send(3)
	k.Settle()
	p.Vanish(sys.ETIMEDOUT)
	b := make([]byte, 10)
	if n, e := k.Recv(fd, b, 0); n != 3 || e != 0 {
		t.Error(n, e)
	}
	if n, e := k.Recv(fd, b, 0); n != 0 || e != sys.ETIMEDOUT {
		t.Error(n, e)
	}
}

func TestAbortedAcceptLosesTheConnectionAndEMFILEDoesNot(t *testing.T) {
	k := New(1, Options{Faults: Faults{AcceptAborted: 1000}})
	lfd := k.Listen(sys.Addr{})
	p := k.Dial(lfd, sys.Addr{})
	if _, _, e := k.Accept(lfd); e != sys.ECONNABORTED || k.Waiting(lfd) != 0 {
		t.Errorf("%v, %d wait", e, k.Waiting(lfd))
	}
	k.Settle()
	if p.Read(1); p.End != RST {
		t.Errorf("the client sees %v", p.End)
	}
	k.Faults = Faults{AcceptEMFILE: 1000}
	k.Dial(lfd, sys.Addr{})
	if _, _, e := k.Accept(lfd); e != sys.EMFILE || k.Waiting(lfd) != 1 {
		t.Errorf("%v, %d wait", e, k.Waiting(lfd))
	}
}

func TestOptionsAreRemembered(t *testing.T) {
	k, _, fd := pair(Options{})
	k.SetOption(fd, sys.IPPROTO_TCP, sys.TCP_NODELAY, 1)
	if v, ok := k.Option(fd, sys.IPPROTO_TCP, sys.TCP_NODELAY); v != 1 || !ok {
		t.Error(v, ok)
	}
	k.Close(fd)
	if _, ok := k.Option(fd, sys.IPPROTO_TCP, sys.TCP_NODELAY); ok {
		t.Error("options outlive their descriptor")
	}
}

// What follows differs by buffer sizes or delayed acknowledgements on a real machine, so it is tested here alone.

func TestRoomIsAnEdgeOnceAThirdIsFree(t *testing.T) {
	k, p, fd := pair(Options{MinBuffer: 300, MaxBuffer: 300})
	ep, _ := k.EpollCreate()
	k.EpollAdd(ep, fd, allEvents, 1)
	k.Send(fd, make([]byte, 300), 0)
	k.Send(fd, make([]byte, 1), 0)
	if k.PendingEvents() != 0 || k.SendSpace(fd) != 0 {
		t.Error("a full buffer is writable")
	}
	p.Fetch(99)
	if k.PendingEvents() != 0 || k.SendSpace(fd) != 0 {
		t.Error("99 of 300 free bytes are an edge")
	}
	if n, e := k.Send(fd, make([]byte, 300), 0); n != 99 || e != 0 {
		t.Errorf("a send took %d, %v: it may use what epoll does not tell", n, e)
	}
	p.Fetch(99)
	p.Fetch(1)
	if k.PendingEvents() != 1 || k.SendSpace(fd) != 100 {
		t.Errorf("%d free bytes, %d events", k.SendSpace(fd), k.PendingEvents())
	}
}

func TestAcknowledgedFINIsAnEdge(t *testing.T) {
	k, _, fd := pair(Options{})
	ep, _ := k.EpollCreate()
	k.EpollAdd(ep, fd, allEvents, 1)
	var ev [1]sys.Event
	k.EpollWait(ep, ev[:], 0)
	k.ShutdownWrite(fd)
	for what, n := range [...]int{1, 1, 0} { // shutdown itself, the acknowledgement, nothing
		if got, _ := k.EpollWait(ep, ev[:], 0); got != n {
			t.Errorf("wait %d tells %d events", what, got)
		}
		k.Settle()
	}
}

func TestSwallowedUrgentBytesAreCounted(t *testing.T) {
	b := make([]byte, 10)
	for name, c := range map[string]struct {
		run              func(k *Kernel, p *Peer, fd int)
		byRecv, byKernel int
	}{
		"read in time":       {func(k *Kernel, p *Peer, fd int) { k.Recv(fd, b, sys.MSG_OOB); k.Recv(fd, b, 0) }, 0, 0},
		"recv at the mark":   {func(k *Kernel, p *Peer, fd int) { k.Recv(fd, b, 0) }, 1, 0},
		"a second one":       {func(k *Kernel, p *Peer, fd int) { p.SendUrgent(); k.Settle() }, 0, 1},
		"read, and a second": {func(k *Kernel, p *Peer, fd int) { k.Recv(fd, b, sys.MSG_OOB); p.SendUrgent(); k.Settle() }, 0, 0},
		"behind a RST":       {func(k *Kernel, p *Peer, fd int) { p.Reset(); k.Settle(); k.Recv(fd, b, 0) }, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			k, p, fd := pair(Options{})
			p.SendUrgent()
			k.Settle()
			c.run(k, p, fd)
			if r, ke := p.Swallowed(); r != c.byRecv || ke != c.byKernel {
				t.Errorf("by recv %d, by the kernel %d", r, ke)
			}
		})
	}
}
