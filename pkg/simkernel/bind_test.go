package simkernel

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/longsplice/longsplice/pkg/sys"
)

// binder runs calls of bind and connect on one of the kernels, and writes down what they answered.
type binder struct {
	k        sys.Kernel
	settle   func()
	from     [2]sys.Sockaddr
	backends [2]sys.Sockaddr
	busy     uint16 // a port of both addresses that a listener has
	base     uint16 // of ports that nobody has
	fds      [4]int
	lines    []string
}

func (x *binder) log(format string, args ...any) {
	x.lines = append(x.lines, fmt.Sprintf(format, args...))
}

func (x *binder) socket(i int) {
	x.close(i)
	x.fds[i], _ = x.k.Socket(sys.AF_INET)
}

func (x *binder) close(i int) {
	if x.fds[i] > 0 {
		x.k.Reset(x.fds[i])
		x.settle()
	}
	x.fds[i] = 0
}

func (x *binder) option(i, level, name int) {
	x.log("%d option %d %s", i, name, sys.Name(x.k.SetOption(x.fds[i], level, name, 1)))
}

// bind takes one of the ports, or lets the kernel choose for port < 0.
func (x *binder) bind(i, from, port int) {
	n := x.base + uint16(port)
	switch {
	case port < 0:
		n = 0
	case port > 2:
		n = x.busy
	}
	x.log("%d bind %d port %d: %s", i, from, port, sys.Name(x.k.Bind(x.fds[i], &x.from[from], n)))
	x.where(i)
}

func (x *binder) connect(i, to int) {
	x.log("%d connect %d %s", i, to, sys.Name(x.k.Connect(x.fds[i], &x.backends[to])))
	x.settle()
	x.where(i)
}

// where is a socket's own end; a port that the kernel chose is only known to be one.
func (x *binder) where(i int) {
	a, _ := x.k.LocalAddr(x.fds[i])
	port := "chosen"
	switch p := a.Port; {
	case p == 0:
		port = "none"
	case p >= x.base && p < x.base+3:
		port = fmt.Sprint(p - x.base)
	}
	x.log("%d is source %v, port %s", i, a.IP[15], port)
}

// randomBinds opens, binds, connects and closes four sockets in some order. A socket is connected once: what a second
// connect says is nothing that a worker asks.
func randomBinds(seed uint64) func(x *binder) {
	return func(x *binder) {
		r := rand.New(rand.NewPCG(seed, 2))
		for range 25 {
			i := r.IntN(4)
			x.socket(i)
			switch r.IntN(4) {
			case 0:
				x.option(i, sys.IPPROTO_IP, sys.IP_BIND_ADDRESS_NO_PORT)
			case 1, 2:
				x.option(i, sys.SOL_SOCKET, sys.SO_REUSEADDR)
			}
			x.bind(i, r.IntN(2), r.IntN(5)-1)
			if r.IntN(6) == 0 {
				x.bind(i, r.IntN(2), r.IntN(5)-1)
			}
			if r.IntN(4) > 0 {
				x.connect(i, r.IntN(2))
			}
		}
		for i := range x.fds {
			x.close(i)
		}
	}
}

func (x *binder) at(first [3]byte) {
	for i := range x.from {
		a := netip.AddrFrom4([4]byte{first[0], first[1], first[2], byte(i + 1)})
		x.from[i] = sys.SockaddrInet(netip.AddrPortFrom(a, 0))
	}
}

func bindsOnReal(t *testing.T, seed uint64, run func(x *binder)) []string {
	r := rand.New(rand.NewPCG(seed, uint64(time.Now().UnixNano())))
	x := &binder{k: sys.Real{}, base: uint16(20000 + r.IntN(10000)), settle: func() { time.Sleep(500 * time.Microsecond) }}
	net := [3]byte{127, byte(64 + r.IntN(64)), byte(r.IntN(256))} // of this run alone
	x.at(net)
	listen := func(last byte, port uint16) sys.Addr {
		fd, err := sys.ListenTCP(netip.AddrPortFrom(netip.AddrFrom4([4]byte{net[0], net[1], net[2], last}), port), sys.ListenOptions{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sys.Real{}.Close(fd) })
		a, _ := sys.Real{}.LocalAddr(fd)
		return a
	}
	x.busy = listen(1, 0).Port
	listen(2, x.busy)
	for i := range x.backends {
		x.backends[i] = sys.SockaddrInet(listen(9, 0).AddrPort())
	}
	run(x)
	return x.lines
}

func bindsOnFake(t *testing.T, run func(x *binder)) []string {
	k := New(1, Options{})
	k.SharePorts = true
	x := &binder{k: k, settle: k.Settle, base: 20000, busy: 30000}
	x.at([3]byte{127, 0, 0})
	for i := range x.from {
		a := x.from[i].Addr()
		a.Port = x.busy
		k.Listen(a)
		x.backends[i] = sys.SockaddrInet(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), uint16(80+i)))
	}
	run(x)
	if v := k.Violations(); len(v) > 0 {
		t.Error(v)
	}
	return x.lines
}

// Binding decides which connections there can be: the fake must say yes and no where Linux does.
func TestFakeBindsAsLinuxDoes(t *testing.T) {
	answers := map[string]int{}
	for seed := range seeds(40) {
		run := randomBinds(seed)
		got, want := bindsOnFake(t, run), bindsOnReal(t, seed, run)
		if !cmp.Equal(want, got) { // a port that somebody else has, for once
			want = bindsOnReal(t, seed, run)
		}
		if !cmp.Equal(want, got) {
			t.Fatalf("seed %d, real (-) and fake (+):\n%s\nthe real one:\n%s", seed, cmp.Diff(want, got), strings.Join(want, "\n"))
		}
		for _, line := range want {
			for _, word := range []string{"EADDRINUSE", "EADDRNOTAVAIL", "EINVAL", "EINPROGRESS"} {
				answers[word] += strings.Count(line, word)
			}
		}
	}
	t.Log(answers)
	if len(answers) != 4 || answers["EADDRNOTAVAIL"] == 0 {
		t.Errorf("answers seen: %v", answers)
	}
}
