package simkernel

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/pkg/sys"
)

// script is one run of a sequence of calls on a connected pair a, b, and the transcript of what they answered.
type script struct {
	t    *testing.T
	k    sys.Kernel
	fake *Kernel // nil: the real kernel

	patience time.Duration // how long a step of the real network may take

	a, b  int
	ep    int
	pipe  sys.Pipe
	lines []string
}

func (x *script) log(format string, args ...any) {
	x.lines = append(x.lines, fmt.Sprintf(format, args...))
}

func (x *script) result(what string, n int, e sys.Errno) {
	if e != 0 {
		n = 0
	}
	x.log("%s = %d %s", what, n, sys.Name(e))
}

// settle waits until the network has carried everything.
func (x *script) settle() {
	if x.fake != nil {
		x.fake.Settle()
		return
	}
	time.Sleep(x.patience)
}

func (x *script) name(fd int) string {
	switch fd {
	case x.a:
		return "a"
	case x.b:
		return "b"
	}
	return "pipe"
}

func (x *script) send(fd int, s string) {
	n, e := x.k.Send(fd, []byte(s), 0)
	x.result("send "+x.name(fd), n, e)
	x.settle()
}

func (x *script) urgent(fd int, s string) {
	n, e := x.k.Send(fd, []byte(s), sys.MSG_OOB)
	x.result("send oob "+x.name(fd), n, e)
	x.settle()
}

func (x *script) recv(fd, size int) {
	b := make([]byte, size)
	n, e := x.k.Recv(fd, b, 0)
	if e != 0 {
		n = 0
	}
	x.result(fmt.Sprintf("recv %s %q", x.name(fd), b[:n]), n, e)
	x.settle()
}

func (x *script) oob(fd int) {
	b := make([]byte, 1)
	n, e := x.k.Recv(fd, b, sys.MSG_OOB)
	x.result(fmt.Sprintf("recv oob %s %q", x.name(fd), b), n, e)
}

func (x *script) fill(size int) { // a -> pipe
	n, e := x.k.Splice(x.a, x.pipe.W, size)
	x.result("fill", n, e)
	x.settle()
}

func (x *script) flush(fd, size int) { // pipe -> fd
	n, e := x.k.Splice(x.pipe.R, fd, size)
	x.result("flush "+x.name(fd), n, e)
	x.settle()
}

func (x *script) state(fd int) {
	x.settle()
	n, e := x.k.Unread(fd)
	at, e2 := x.k.AtMark(fd)
	x.log("%s unread %d %s, at mark %v %s", x.name(fd), n, sys.Name(e), at, sys.Name(e2))
}

// unsent gives delayed acknowledgements (40 ms) the time they take.
func (x *script) unsent(fd int) {
	x.settle()
	if x.fake == nil {
		time.Sleep(60 * time.Millisecond)
	}
	n, e := x.k.Unsent(fd)
	x.result("unsent "+x.name(fd), n, e)
}

func (x *script) shut(fd int) {
	x.log("shutdown %s %s", x.name(fd), sys.Name(x.k.ShutdownWrite(fd)))
	if x.fake == nil && fd == x.a {
		time.Sleep(50 * time.Millisecond) // the acknowledgement of a FIN may be delayed by 40 ms, and wakes
	}
	x.settle()
}

func (x *script) close(fd int) {
	x.log("close %s %s", x.name(fd), sys.Name(x.k.Close(fd)))
	x.settle()
}

func (x *script) reset(fd int) {
	x.log("reset %s %s", x.name(fd), sys.Name(x.k.Reset(fd)))
	x.settle()
}

func (x *script) soError(fd int) { x.log("SO_ERROR %s %s", x.name(fd), sys.Name(x.k.SockError(fd))) }

// events asks for the events that wait, and writes down the masks.
func (x *script) events() {
	x.settle()
	var ev [8]sys.Event
	n, e := x.k.EpollWait(x.ep, ev[:], 0)
	var all []string
	for i := range ev[:n] {
		all = append(all, fmt.Sprintf("%s:%s", string(rune(ev[i].Token())), maskName(ev[i].Events)))
	}
	slices.Sort(all)
	x.log("events %s %s", strings.Join(all, " "), sys.Name(e))
}

func maskName(m uint32) string {
	var names []string
	for _, b := range []struct {
		bit  uint32
		name string
	}{
		{sys.EPOLLIN, "IN"},
		{sys.EPOLLPRI, "PRI"},
		{sys.EPOLLOUT, "OUT"},
		{sys.EPOLLERR, "ERR"},
		{sys.EPOLLHUP, "HUP"},
		{sys.EPOLLRDHUP, "RDHUP"},
	} {
		if m&b.bit != 0 {
			names = append(names, b.name)
		}
	}
	return strings.Join(names, "|")
}

// stuff sends until EAGAIN; how much that is, is the kernel's business.
func (x *script) stuff(fd int) (total int) {
	b := make([]byte, 8192)
	for range 100_000 {
		n, e := x.k.Send(fd, b, 0)
		if e != 0 {
			x.result("stuff "+x.name(fd), 0, e)
			return total
		}
		total += n
		x.settleBriefly()
	}
	x.t.Fatal("a send buffer without an end")
	return
}

func (x *script) settleBriefly() {
	if x.fake != nil {
		x.fake.Settle()
	}
}

// drain reads until EAGAIN or an end.
func (x *script) drain(fd, want int) {
	b := make([]byte, 65536)
	total := 0
	for tries := 0; ; {
		n, e := x.k.Recv(fd, b, 0)
		if e == sys.EAGAIN && tries < 3 {
			tries++
			x.settle()
			continue
		}
		if e != 0 || n == 0 {
			x.result(fmt.Sprintf("drain %s all=%v", x.name(fd), total == want), 0, e)
			return
		}
		total += n
		tries = 0
	}
}

const allEvents = sys.EPOLLIN | sys.EPOLLOUT | sys.EPOLLPRI | sys.EPOLLRDHUP | sys.EPOLLET

// begin registers a and makes the pipe.
func (x *script) begin() {
	var e sys.Errno
	if x.ep, e = x.k.EpollCreate(); e != 0 {
		x.t.Fatal(e)
	}
	if e := x.k.EpollAdd(x.ep, x.a, allEvents, 'a'); e != 0 {
		x.t.Fatal(e)
	}
	if x.pipe, e = x.k.Pipe(65536); e != 0 {
		x.t.Fatal(e)
	}
}

func onReal(t *testing.T, f func(x *script), patience time.Duration) []string {
	k := sys.Real{}
	lfd, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), sys.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close(lfd)
	addr, _ := k.LocalAddr(lfd)
	to := sys.SockaddrInet(addr.AddrPort())
	b, _ := k.Socket(sys.AF_INET)
	if e := k.Connect(b, &to); e != 0 && e != sys.EINPROGRESS {
		t.Fatal(e)
	}
	x := &script{t: t, k: k, b: b, patience: patience}
	for range 1000 {
		var e sys.Errno
		if x.a, _, e = k.Accept(lfd); e == 0 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if x.a <= 0 {
		t.Fatal("no connection")
	}
	k.SetOption(x.a, sys.IPPROTO_TCP, sys.TCP_NODELAY, 1)
	k.SetOption(x.b, sys.IPPROTO_TCP, sys.TCP_NODELAY, 1)
	x.begin()
	f(x)
	for _, fd := range []int{x.a, x.b, x.ep, x.pipe.R, x.pipe.W} {
		if !strings.Contains(strings.Join(x.lines, "\n"), "close "+x.name(fd)) && !strings.Contains(strings.Join(x.lines, "\n"), "reset "+x.name(fd)) {
			k.Close(fd)
		}
	}
	return x.lines
}

func onFake(t *testing.T, f func(x *script)) []string {
	k := New(1, Options{MinBuffer: 1 << 18, MaxBuffer: 1 << 18})
	lfd := k.Listen(sys.Addr{Port: 1})
	p := k.Dial(lfd, sys.Addr{Port: 2})
	x := &script{t: t, k: k, fake: k}
	x.a, _, _ = k.Accept(lfd)
	x.b = k.alloc(file{kind: isSocket, sock: p.s})
	p.s.fd = x.b
	x.begin()
	f(x)
	return x.lines
}

// compare runs a script on both kernels. On a busy machine a step of the real network may take longer than it got,
// so a difference counts only if it is still there with more patience.
func compare(t *testing.T, run func(x *script)) {
	got := onFake(t, run)
	var want []string
	for _, patience := range []time.Duration{500 * time.Microsecond, 5 * time.Millisecond, 50 * time.Millisecond} {
		if want = onReal(t, run, patience); cmp.Equal(want, got) {
			return
		}
	}
	t.Errorf("real (-) and fake (+):\n%s\nthe real one:\n%s", cmp.Diff(want, got), strings.Join(want, "\n"))
}

// The fake is as good as its likeness: every script must get the same answers from both kernels.
func TestFakeAnswersAsLinuxDoes(t *testing.T) {
	for _, c := range scripts {
		t.Run(c.name, func(t *testing.T) {
			compare(t, c.run)
		})
	}
}

// refused is a socket whose connect was refused.
func (x *script) refused() int {
	fd, _ := x.k.Socket(sys.AF_INET)
	port := uint16(1)
	if x.fake != nil {
		x.fake.OnConnect = func(sys.Sockaddr) Answer { return Answer{Later: sys.ECONNREFUSED} }
	}
	to := sys.SockaddrInet(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port))
	x.log("connect %s", sys.Name(x.k.Connect(fd, &to)))
	x.settle()
	return fd
}

// urgentBehindWindow fills the receiver's window, but not the send buffer, and then writes an urgent byte that
// only its pointer can tell of, in the zero-window probe it waits for.
func (x *script) urgentBehindWindow() {
	if x.fake != nil {
		x.k.Send(x.b, make([]byte, 1<<18+1000), 0)
		x.settle()
		x.k.Send(x.b, []byte{'x'}, 0)
		x.urgent(x.b, "!")
		return
	}
	x.stuff(x.b)
	x.lines = x.lines[:len(x.lines)-1]
	for tries := 0; ; tries++ { // the kernel grows the send buffer, and takes a small piece where it refused a large one
		if n, _ := x.k.Send(x.b, []byte("!"), sys.MSG_OOB); n == 1 {
			break
		}
		if tries == 10_000 {
			x.t.Skip("the send buffer stays full")
		}
		time.Sleep(time.Millisecond)
	}
	x.log("send oob b = 1 ")
	time.Sleep(500 * time.Millisecond)
}

// pass reads up to the mark, whatever there is before it.
func (x *script) pass(fd int) {
	b := make([]byte, 65536)
	for range 10_000 {
		if at, _ := x.k.AtMark(fd); at {
			break
		}
		x.k.Recv(fd, b, 0)
		x.settleBriefly()
	}
	x.settle()
}
