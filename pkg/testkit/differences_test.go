package testkit

import (
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestDifferencesNamesWhatIsNotEqual(t *testing.T) {
	whole := Outcome{
		Client: Transcript{Sent: 10, Flushed: true, FirstWrong: -1, Received: 20, End: EndFIN},
		Server: Transcript{Sent: 20, Flushed: true, FirstWrong: -1, Received: 10, End: EndFIN, Urgent: []Mark{{4, 'A'}}},
	}
	cut := whole
	cut.Client.Flushed, cut.Server.End = false, EndReset
	cases := []struct {
		name   string
		direct Outcome
		change func(*Outcome)
		want   []string // one part of each expected line
	}{
		{"equal", whole, func(*Outcome) {}, nil},
		{"FIN became a reset", whole, func(o *Outcome) { o.Client.End = EndReset }, []string{"client: the stream ended with reset"}},
		{"no end", whole, func(o *Outcome) { o.Client.End = EndOpen }, []string{"client: the stream ended with open"}},
		{"bytes lost", whole, func(o *Outcome) { o.Server.Received = 9 }, []string{"server: received 9 bytes"}},
		{"byte changed", whole, func(o *Outcome) { o.Server.FirstWrong = 3 }, []string{"server: byte 3 is wrong"}},
		{"sum differs", whole, func(o *Outcome) { o.Server.Sum[0]++ }, []string{"server: received 10 bytes (sha256 01"}},
		{"bytes added", whole, func(o *Outcome) { o.Server.Received = 11 }, []string{"only 10 were sent", "received 11"}},
		{"urgent byte lost", whole, func(o *Outcome) { o.Server.Urgent = nil }, []string{"server: urgent bytes []"}},
		{"urgent byte moved", whole, func(o *Outcome) { o.Server.Urgent = []Mark{{5, 'A'}} }, []string{"urgent bytes [{5 65}]"}},
		{"a cut stream may be shorter", cut, func(o *Outcome) { o.Server.Received, o.Server.Urgent = 3, nil }, nil},
		{"a cut stream may not be wrong", cut, func(o *Outcome) { o.Server.FirstWrong = 2 }, []string{"byte 2 is wrong"}},
		{"a cut stream must not look complete", cut, func(o *Outcome) { o.Server.End = EndFIN }, []string{"ended with fin"}},
		{"another errno is the same kind of end", cut, func(o *Outcome) { o.Server.Errno = 32 }, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			through := c.direct
			c.change(&through)
			got := Differences(c.direct, through)
			if len(got) != len(c.want) {
				t.Fatalf("got %q, want %d lines", got, len(c.want))
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("line %q does not contain %q", got[i], c.want[i])
				}
			}
		})
	}
}

func TestRunThroughJudgesRelays(t *testing.T) {
	halfClose := Script{Name: "half-close", Seed: 3, Client: []Step{Send(200_000), HalfClose(), ReadToEnd()}, Server: []Step{ReadToEnd(), Send(100_000), HalfClose()}}
	resetting := Script{Name: "reset", Seed: 4, Client: []Step{ReadToEnd()}, Server: []Step{Send(1000), ResetFlushed()}}
	urgentByte := Script{Name: "urgent", Seed: 5, Client: []Step{Send(100), Urgent(), Send(100), HalfClose()}, Server: []Step{ReadToEnd()}}
	cases := []struct {
		name   string
		relay  func(dst, src *net.TCPConn)
		script Script
		want   string // "" = equal
	}{
		{"a faithful copy passes FIN on FIN", copyThenFIN, halfClose, ""},
		{"a plain copy turns a reset into a FIN", copyThenFIN, resetting, "client: the stream ended with fin"},
		{"a plain copy loses the urgent byte", copyThenFIN, urgentByte, "server: urgent bytes []"},
		{"a copy that flips a bit", copyFlipping, halfClose, "byte 0 is wrong"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			LeakCheck(t)
			backend, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
			if err != nil {
				t.Fatal(err)
			}
			defer backend.Close()
			addr, wait := relayOnce(t, backend.Addr(), c.relay)
			through := RunThrough(t, c.script, addr, backend)
			wait()
			got := Differences(RunDirect(t, c.script), through)
			found := slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, c.want) })
			if c.want == "" && len(got) > 0 || c.want != "" && !found {
				t.Errorf("differences %q, want %q", got, c.want)
			}
		})
	}
}

// relayOnce accepts one connection, joins it with backend and copies each direction with relay; wait waits for the end.
func relayOnce(t *testing.T, backend netip.AddrPort, relay func(dst, src *net.TCPConn)) (netip.AddrPort, func()) {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		defer l.Close()
		client, err := l.AcceptTCP()
		if err != nil {
			t.Error(err)
			return
		}
		defer client.Close()
		server, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(backend))
		if err != nil {
			t.Error(err)
			return
		}
		defer server.Close()
		var both sync.WaitGroup
		both.Go(func() { relay(server, client) })
		both.Go(func() { relay(client, server) })
		both.Wait()
	})
	return l.Addr().(*net.TCPAddr).AddrPort(), wg.Wait
}

func copyThenFIN(dst, src *net.TCPConn) { copyWith(dst, src, func([]byte) {}) }

func copyFlipping(dst, src *net.TCPConn) { copyWith(dst, src, func(b []byte) { b[0] ^= 1 }) }

// copyWith reads and writes: io.Copy between two TCP connections would splice, and an urgent byte would stop it for good.
func copyWith(dst, src *net.TCPConn, change func([]byte)) {
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			change(buf[:n])
			if _, err := dst.Write(buf[:n]); err != nil {
				_, _ = io.Copy(io.Discard, src)
				return
			}
		}
		if err != nil {
			_ = dst.CloseWrite()
			return
		}
	}
}
