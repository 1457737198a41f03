package worker

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// testTimeouts are long enough never to matter, unless a test changes them.
var testTimeouts = backend.Timeouts{Connect: 3000, Idle: 3600_000, HalfClose: 300_000, Stall: 300_000}

// newSnapshot is one frontend over one pool of the given backend addresses.
func newSnapshot(t testing.TB, o backend.PoolOptions, t0 backend.Timeouts, to ...backend.Identity) *backend.Snapshot {
	t.Helper()
	return sources{}.snapshot(t, o, t0, to...)
}

// sources are where sessions of a test's pool come from; none: the kernel chooses.
type sources struct {
	addrs  []netip.Addr
	own    ports.Range
	kernel ports.Range // what the kernel is thought to choose from
	held   int         // ports of each pair that others hold
}

// towards is the pairs of one backend.
func (c sources) towards(book *ports.Book, to sys.Addr) (s ports.Set) {
	book.SetKernel(c.kernel)
	for _, a := range c.addrs {
		p := book.Pair(a, to, c.own)
		for range c.held {
			p.Take(0)
		}
		s = append(s, p)
	}
	return s
}

func (c sources) snapshot(t testing.TB, o backend.PoolOptions, t0 backend.Timeouts, to ...backend.Identity) *backend.Snapshot {
	t.Helper()
	registry, book, live := backend.NewRegistry(), ports.NewBook(), &backend.PoolLive{}
	if o.TableSize == 0 {
		o.TableSize = 1009
	}
	o.Name = "pool"
	var members []backend.Member
	for _, i := range to {
		i.Pool, i.Live = o.Name, live
		members = append(members, backend.Member{Backend: registry.Get(i), Weight: 1, Ports: c.towards(book, i.Addr)})
	}
	pool, err := backend.NewPool(o, members, live)
	if err != nil {
		t.Fatal(err)
	}
	f := &backend.Frontend{
		Name: "front", Pool: pool, Prefix4: 32, Prefix6: 64, RefuseWhenFull: true,
		Timeouts: t0, Live: &backend.FrontendLive{},
	}
	return &backend.Snapshot{
		Generation: 1, Frontends: []*backend.Frontend{f}, Backends: registry.All(), Pools: []*backend.Pool{pool},
		Pairs: book.All(), Hasher: flow.NewHasher([16]byte{1, 2, 3}),
	}
}

func testConfig(k sys.Kernel) Config {
	return Config{
		Kernel: k, Limits: &Limits{Max: 1 << 20}, Pipes: &relay.PipeBudget{Limit: 64}, PipeBytes: 1 << 20,
		BufferBytes: 64 << 10, MaxBlocks: 1024, CheckPipes: true, WallMs: func() int64 { return time.Now().UnixMilli() },
	}
}

// identity names a backend at a TCP address.
func identity(name string, ap netip.AddrPort) backend.Identity {
	return backend.Identity{Name: name, Address: ap.String(), To: sys.SockaddrInet(ap), Addr: sys.AddrFrom(ap)}
}

// rig is a worker on the real kernel between real sockets.
type rig struct {
	*Worker
	addr  string
	front netip.AddrPort
	stop  func()
}

func newRig(t testing.TB, snap *backend.Snapshot, change func(*Config)) *rig {
	t.Helper()
	c := testConfig(sys.Real{})
	if change != nil {
		change(&c)
	}
	w, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := sys.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"), sys.ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	addr, _ := sys.Real{}.LocalAddr(fd)
	w.Adopt(snap)
	w.Listen(Listener{FD: fd, Addr: addr, Name: addr.String()})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(Pin{})
	}()
	stopped := false
	r := &rig{Worker: w, addr: addr.String(), front: addr.AddrPort()}
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		w.Give(Once((*Worker).Stop))
		<-ended
		sys.Real{}.Close(fd)
	}
	t.Cleanup(r.stop)
	return r
}

// ended is how many sessions of the frontend ended for a reason.
func (r *rig) ended(reason stats.Reason) uint64 { return r.counter(stats.EndedBase + int(reason)) }

func (r *rig) counter(n int) uint64 {
	var c stats.Copy
	r.Sheet().AddTo(&c)
	return c.Value(stats.Frontend, 0, n)
}

// listenOn opens a backend's listener on a port outside the kernel's range for outgoing connections.
func listenOn(t testing.TB) (net.Listener, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, netip.MustParseAddrPort(l.Addr().String())
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within 10 s", what)
}
