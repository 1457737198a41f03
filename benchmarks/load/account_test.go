package load_test

import (
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// answering accepts connections and calls f for each; f's return closes it.
func answering(t *testing.T, f func(c net.Conn)) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); f(c) }()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

// A target that takes everything and answers nothing is charged for each message that was due, sent or not.
func TestMessagesThatNeverBeganHaveTheirLatency(t *testing.T) {
	const rate = 400
	cfg := load.EchoConfig{Config: config(answering(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })), Sessions: 4, MessageBytes: 64, Rate: rate}
	res, err := load.Echo(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Messages != 0 || res.Failed != 4 {
		t.Errorf("%+v", *res)
	}
	allDueCount(t, res, cfg.For, rate)
}

// The same for a server that pushes more than its client can read.
func TestPushedMessagesThatNeverBeganHaveTheirLatency(t *testing.T) {
	bePatient(t)
	const rate = 500
	slowly := func(p []byte) ([]byte, bool) { time.Sleep(5 * time.Millisecond); return p, true }
	to := faultyProxy(t, backend(t, serve.Push), serve.Push, slowly)
	cfg := load.PushConfig{Config: config(to), Sessions: 1, MessageBytes: pattern.MaxChunk, Rate: rate}
	cfg.For *= 5
	res, err := load.Push(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Sound() || res.Messages >= uint64(cfg.For.Seconds()*rate) {
		t.Errorf("%+v", *res)
	}
	allDueCount(t, res, cfg.For, rate)
}

// allDueCount: the window lasts at least as long as it was to, and at most as long as the result says.
func allDueCount(t *testing.T, res *load.Result, long time.Duration, rate float64) {
	t.Helper()
	least, most := uint64(long.Seconds()*rate)-2, uint64(res.Seconds*rate)+2
	if res.Latency == nil || res.Latency.Count < least || res.Latency.Count > most {
		t.Errorf("%d to %d messages were due, latency %+v", least, most, res.Latency)
	}
}

// Right bytes before anybody asked for them are wrong ones.
func TestAnswersAheadOfTheirMessagesAreWrong(t *testing.T) {
	to := answering(t, func(c net.Conn) {
		_, _ = c.Write(pattern.At(pattern.Seed(0), 0, 64))
		_, _ = io.Copy(io.Discard, c)
	})
	res, err := load.Echo(load.EchoConfig{Config: config(to), Sessions: 1, MessageBytes: 64, Rate: 2}) // the first is due in half a second
	if err != nil {
		t.Fatal(err)
	}
	if res.Wrong != 1 {
		t.Errorf("%+v", *res)
	}
}

// One wrong byte in a stream, early on, with everything behind it right.
func TestOneWrongByteEachWay(t *testing.T) {
	for way, broken := range map[string]serve.Mode{"to the server": serve.Sink, "to the client": serve.Source} {
		t.Run(way, func(t *testing.T) {
			testkit.LeakCheck(t)
			var done atomic.Bool
			once := func(p []byte) ([]byte, bool) {
				if done.CompareAndSwap(false, true) {
					p[0] ^= 1
				}
				return p, true
			}
			res, err := bothWays(faultyProxy(t, backend(t, serve.Both), broken, once))
			if err != nil {
				t.Fatal(err)
			}
			if res.Wrong != 1 || res.Failed != 0 {
				t.Errorf("%+v", *res)
			}
		})
	}
}
