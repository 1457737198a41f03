package load_test

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

const window = 100 * time.Millisecond

// backend serves in a goroutine until the test ends.
func backend(t *testing.T, mode serve.Mode) netip.AddrPort { return framedBackend(t, mode, false) }

// framedBackend may speak WebSocket.
func framedBackend(t *testing.T, mode serve.Mode, web bool) netip.AddrPort {
	t.Helper()
	s, err := serve.Open(mode, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	s.WebSocket = web
	var stop atomic.Bool
	ended := make(chan error)
	go func() { ended <- s.Run(stop.Load) }()
	t.Cleanup(func() {
		stop.Store(true)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addrs[0]
}

func echo(to netip.AddrPort, sessions, bytes int, rate float64) (*load.Result, error) {
	return load.Echo(load.EchoConfig{Config: config(to), Sessions: sessions, MessageBytes: bytes, Rate: rate})
}

func churn(to netip.AddrPort) (*load.Result, error) {
	return load.Churn(load.ChurnConfig{Config: config(to), AtOnce: 5, MessageBytes: 64})
}

func bulk(to netip.AddrPort, streams int, bytes uint64, up bool) (*load.Result, error) {
	return load.Bulk(load.BulkConfig{Config: config(to), Streams: streams, Bytes: bytes, Up: up})
}

func bothWays(to netip.AddrPort) (*load.Result, error) {
	return load.Bulk(load.BulkConfig{Config: config(to), Streams: 3, Bytes: 6_000_006, Both: true})
}

func webEcho(bytes int, rate float64) func(to netip.AddrPort) (*load.Result, error) {
	return func(to netip.AddrPort) (*load.Result, error) {
		return load.Echo(load.EchoConfig{Config: webConfig(to), Sessions: 20, MessageBytes: bytes, Rate: rate})
	}
}

func webChurn(to netip.AddrPort) (*load.Result, error) {
	return load.Churn(load.ChurnConfig{Config: webConfig(to), AtOnce: 5, MessageBytes: 64})
}

func push(cfg load.Config, bytes int, together bool) (*load.Result, error) {
	return load.Push(load.PushConfig{Config: cfg, Sessions: 20, MessageBytes: bytes, Rate: 1000, Together: together})
}

func webConfig(to netip.AddrPort) load.Config {
	cfg := config(to)
	cfg.WebSocket = true
	return cfg
}

func idle(to netip.AddrPort) (*load.Result, error) {
	return load.Idle(load.IdleConfig{Config: config(to), Steps: []int{10, 100}})
}

func config(to netip.AddrPort) load.Config {
	return load.Config{To: []netip.AddrPort{to}, Warm: 10 * time.Millisecond, For: window, Patience: patience}
}

// patience is short where faults have to show by an answer that does not come.
var patience = 300 * time.Millisecond

// bePatient is for tests in which every answer comes, however busy the machine is.
func bePatient(t *testing.T) {
	was := patience
	patience = 30 * time.Second
	t.Cleanup(func() { patience = was })
}

// workloads are all of them in small; each needs its mode of backend.
var workloads = []struct {
	name string
	mode serve.Mode
	web  bool
	run  func(to netip.AddrPort) (*load.Result, error)
	done func(r *load.Result) bool
}{
	{
		"echo, closed loop", serve.Echo, false, func(to netip.AddrPort) (*load.Result, error) { return echo(to, 20, 64, 0) },
		func(r *load.Result) bool { return r.Messages > 0 && r.Latency.Count == r.Messages },
	},
	{
		"echo, messages larger than any buffer", serve.Echo, false, func(to netip.AddrPort) (*load.Result, error) { return echo(to, 5, 256<<10, 0) },
		func(r *load.Result) bool { return r.Messages > 0 && r.Bytes == r.Messages<<18 },
	},
	{
		"echo, open loop", serve.Echo, false, func(to netip.AddrPort) (*load.Result, error) { return echo(to, 20, 64, 1000) },
		func(r *load.Result) bool { return r.Messages > 0 && r.Latency.Count > 0 && r.Schedule != nil },
	},
	{"churn", serve.Echo, false, churn, func(r *load.Result) bool { return r.Sessions > 0 }},
	{
		"bulk down", serve.Source, false, func(to netip.AddrPort) (*load.Result, error) { return bulk(to, 3, 3_000_003, false) },
		func(r *load.Result) bool { return r.Bytes == 3_000_003 },
	},
	{
		"bulk up", serve.Sink, false, func(to netip.AddrPort) (*load.Result, error) { return bulk(to, 3, 3_000_003, true) },
		func(r *load.Result) bool { return r.Bytes == 3_000_003 },
	},
	{"bulk both ways", serve.Both, false, bothWays, func(r *load.Result) bool { return r.Bytes == 6_000_006 }},
	{"idle", serve.Echo, false, idle, func(r *load.Result) bool { return r.Sessions == 100 }},
	{
		"push", serve.Push, false, func(to netip.AddrPort) (*load.Result, error) { return push(config(to), 100, false) },
		func(r *load.Result) bool { return r.Messages > 0 && r.Latency.Count > 0 },
	},
	{
		"push, all sessions at once, the shortest message", serve.Push, false, func(to netip.AddrPort) (*load.Result, error) { return push(config(to), serve.PushHeadBytes, true) },
		func(r *load.Result) bool { return r.Messages > 0 && r.Latency.Count > 0 },
	},
	{"WebSocket echo, closed loop", serve.Echo, true, webEcho(64, 0), func(r *load.Result) bool { return r.Messages > 0 }},
	{"WebSocket echo, open loop", serve.Echo, true, webEcho(126, 1000), func(r *load.Result) bool { return r.Messages > 0 }},
	{"WebSocket echo, messages larger than any buffer", serve.Echo, true, webEcho(256<<10, 0), func(r *load.Result) bool { return r.Messages > 0 }},
	{"WebSocket churn", serve.Echo, true, webChurn, func(r *load.Result) bool { return r.Sessions > 0 && r.Latency.Count > 0 }},
	{
		"WebSocket push", serve.Push, true, func(to netip.AddrPort) (*load.Result, error) { return push(webConfig(to), 1000, false) },
		func(r *load.Result) bool { return r.Messages > 0 && r.Latency.Count > 0 },
	},
}

func TestWorkloadsAreSoundWithoutABalancer(t *testing.T) {
	bePatient(t)
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			res, err := w.run(framedBackend(t, w.mode, w.web))
			if err != nil {
				t.Fatal(err)
			}
			if !res.Sound() || !w.done(res) {
				t.Errorf("not sound, or the work was not done: %+v", *res)
			}
		})
	}
}

// A balancer that is not right must show in every workload that moves enough bytes to meet the fault.
func TestFaultyBalancersAreCaught(t *testing.T) {
	faults := []struct {
		name   string
		breaks fault
	}{
		{"a flipped bit", func(p []byte) ([]byte, bool) { p[len(p)/2] ^= 1; return p, true }},
		{"a lost byte", func(p []byte) ([]byte, bool) { return p[1:], true }},
		{"a repeated byte", func(p []byte) ([]byte, bool) { return append(p[:1:1], p...), true }},
		{"an early end", func(p []byte) ([]byte, bool) { return p[:len(p)/2], false }},
	}
	for _, w := range workloads {
		for _, f := range faults {
			t.Run(w.name+", "+f.name, func(t *testing.T) {
				res, err := w.run(faultyProxy(t, framedBackend(t, w.mode, w.web), w.mode, afterHandshake(f.breaks)))
				if err != nil {
					t.Fatal(err)
				}
				if res.Sound() {
					t.Errorf("the fault was not seen: %+v", *res)
				}
			})
		}
	}
}

func TestRefusedConnectionsAreFailedSessions(t *testing.T) {
	testkit.LeakCheck(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	for _, w := range workloads {
		res, err := w.run(to)
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		if res.Failed == 0 || res.Messages+res.Bytes != 0 {
			t.Errorf("%s: a refusal was not counted: %+v", w.name, *res)
		}
	}
}

// A target that answers 20 ms late shows 20 ms at a rate it can hold, and the queueing at one that it cannot.
func TestOpenLoopCountsFromTheSchedule(t *testing.T) {
	bePatient(t)
	const delay = 20 * time.Millisecond
	to := faultyProxy(t, backend(t, serve.Echo), serve.Echo, func(p []byte) ([]byte, bool) { time.Sleep(delay); return p, true })
	cfg := load.EchoConfig{Config: config(to), Sessions: 1, MessageBytes: 64, Rate: 200}
	cfg.For = 500 * time.Millisecond
	res, err := load.Echo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("latency %+v", *res.Latency)
	if !res.Sound() || res.Latency.P50 < 4*float64(delay.Microseconds()) {
		t.Errorf("50 answers a second at a schedule of 200: p50 %.0f us does not count the waiting", res.Latency.P50)
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:1")
	for name, run := range map[string]func() (*load.Result, error){
		"no session":    func() (*load.Result, error) { return echo(to, 0, 64, 0) },
		"empty message": func() (*load.Result, error) { return echo(to, 1, 0, 0) },
		"empty stream":  func() (*load.Result, error) { return bulk(to, 2, 1, false) },
		"nowhere":       func() (*load.Result, error) { return load.Churn(load.ChurnConfig{AtOnce: 1, MessageBytes: 1}) },
		"falling steps": func() (*load.Result, error) {
			return load.Idle(load.IdleConfig{Config: config(to), Steps: []int{4, 2}})
		},
		"process absent": func() (*load.Result, error) {
			return load.Bulk(load.BulkConfig{Config: load.Config{To: []netip.AddrPort{to}, PID: 1 << 30}, Streams: 1, Bytes: 1})
		},
	} {
		if res, err := run(); err == nil {
			t.Errorf("%s: accepted: %+v", name, *res)
		}
	}
}

// fault changes a chunk on its way; false ends the stream after it.
type fault func(chunk []byte) ([]byte, bool)

// afterHandshake spares the answer to WebSocket's handshake, so that frames meet the fault.
func afterHandshake(breaks fault) fault {
	return func(chunk []byte) ([]byte, bool) {
		if bytes.HasPrefix(chunk, []byte("HTTP/1.1 101")) {
			return chunk, true
		}
		return breaks(chunk)
	}
}

func whole(chunk []byte) ([]byte, bool) { return chunk, true }

// faultyProxy relays both ways and breaks the direction that carries the data: towards a sink, behind the preface, or
// else towards the client.
func faultyProxy(t *testing.T, to netip.AddrPort, mode serve.Mode, breaks fault) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	up, down := whole, breaks
	if mode == serve.Sink {
		up, down = breaks, whole
	}
	var all sync.WaitGroup
	t.Cleanup(func() { ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to.String())
			if err != nil {
				client.Close()
				continue
			}
			all.Go(func() { faultyHalf(server, client, up, mode) })
			all.Go(func() { faultyHalf(client, server, down, serve.Echo) })
		}
	})
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// faultyHalf copies src to dst through breaks, but for a bulk session's preface, and closes both at the end.
func faultyHalf(dst, src net.Conn, breaks fault, mode serve.Mode) {
	defer dst.Close()
	defer src.Close()
	if mode != serve.Echo {
		if _, err := io.CopyN(dst, src, serve.PrefaceBytes); err != nil {
			return
		}
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			p, more := breaks(buf[:n:n])
			if _, err := dst.Write(p); err != nil || !more {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
