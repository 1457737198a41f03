package serve

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// running starts a server on two addresses and stops it when the test ends.
func running(t *testing.T, mode Mode) *Server {
	t.Helper()
	s, err := Open(mode, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.2:0")})
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	ended := make(chan error)
	go func() { ended <- s.Run(stop.Load) }()
	t.Cleanup(func() {
		stop.Store(true)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s
}

func dial(t *testing.T, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOnePortForAllAddresses(t *testing.T) {
	testkit.LeakCheck(t)
	s := running(t, Echo)
	if len(s.Addrs) != 2 || s.Addrs[0].Port() == 0 || s.Addrs[0].Port() != s.Addrs[1].Port() {
		t.Errorf("listens on %v", s.Addrs)
	}
	for _, a := range s.Addrs {
		dial(t, a)
	}
}

// Clients that send much and read late make the server hold bytes; those of one must not become those of another.
func TestEchoKeepsSlowReadersApart(t *testing.T) {
	testkit.LeakCheck(t)
	const clients, size = 4, 24 << 20
	s := running(t, Echo)
	var all sync.WaitGroup
	for i := range clients {
		c := dial(t, s.Addrs[i%2])
		want := bytes.Repeat([]byte{byte('a' + i)}, size)
		all.Go(func() {
			if _, err := c.Write(want); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
			_ = c.CloseWrite()
		})
		all.Go(func() {
			time.Sleep(300 * time.Millisecond) // until windows and buffers are full
			got, err := io.ReadAll(c)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("client %d: %d bytes of %d or wrong ones (%v)", i, len(got), size, err)
			}
		})
	}
	all.Wait()
}

func TestSourceSendsThePatternThenFIN(t *testing.T) {
	testkit.LeakCheck(t)
	c := dial(t, running(t, Source).Addrs[0])
	head := Preface{Seed: 77, Length: 200_001}.Append(nil)
	for i := range head { // a preface may come in pieces
		if _, err := c.Write(head[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := io.ReadAll(c)
	if err != nil || len(got) != 200_001 || pattern.Check(77, 0, got) != -1 {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

func TestSinkTellsWhatItGot(t *testing.T) {
	const length = 100_000
	tests := []struct {
		name  string
		flip  int // position of a wrong byte, or -1
		first uint64
	}{
		{"all right", -1, NoneWrong},
		{"first byte wrong", 0, 0},
		{"a byte in the middle wrong", 70_001, 70_001},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			c := dial(t, running(t, Sink).Addrs[0])
			data := bytes.Clone(pattern.At(5, 0, length))
			if tc.flip >= 0 {
				data[tc.flip] ^= 0x40
			}
			if _, err := c.Write(append(Preface{Seed: 5, Length: length}.Append(nil), data...)); err != nil {
				t.Fatal(err)
			}
			var answer [VerdictBytes]byte
			if _, err := io.ReadFull(c, answer[:]); err != nil {
				t.Fatal(err)
			}
			if v := ParseVerdict(answer[:]); v != (Verdict{length, tc.first}) {
				t.Errorf("verdict %+v, want %d received and %d the first wrong", v, length, tc.first)
			}
		})
	}
}

func TestUnknownModesAndForeignAddressesAreRefused(t *testing.T) {
	testkit.LeakCheck(t)
	if _, err := Open("mirror", nil); err == nil {
		t.Error("an unknown mode was accepted")
	}
	if _, err := Open(Echo, []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:0")}); err == nil {
		t.Error("an address that is not here was accepted")
	}
}
