package testkit

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLanesPlayManyScriptsAtOnce(t *testing.T) {
	LeakCheck(t)
	var lanes []Lane
	for i := range 8 {
		lanes = append(lanes, DirectLane(t, nil, i%2 == 1))
	}
	var scripts []Script
	for i := range 40 {
		n := int64(1000 * (i + 1))
		scripts = append(scripts, Script{
			Name: fmt.Sprint(i), Seed: uint64(i), Options: Options{MSS: 536, Buffers: SmallBuffers},
			Client: []Step{Send(n), HalfClose(), ReadToEnd()}, Server: []Step{ReadToEnd(), Send(n / 2), Close()},
		})
	}
	for i, out := range RunAll(t, lanes, scripts) {
		n := int64(1000 * (i + 1))
		if out.Server.Received != n || out.Client.Received != n/2 || out.Server.FirstWrong >= 0 || out.Client.FirstWrong >= 0 {
			t.Errorf("script %d: client %v, server %v", i, out.Client, out.Server)
		}
	}
}

func TestOptionsAreSetBeforeTheConnection(t *testing.T) {
	LeakCheck(t)
	o := Options{MSS: 700, Buffers: 10_000, GiveUp: 3 * time.Second}
	l, err := o.Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := o.Dial(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	for name, fd := range map[string]int{"client": client.FD(), "server": server.FD()} {
		info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		if err != nil || info.Snd_mss > 700 {
			t.Errorf("%s: segments of %d bytes, want at most 700 (%v)", name, info.Snd_mss, err)
		}
		for _, option := range []struct{ level, name, want int }{
			{unix.SOL_SOCKET, unix.SO_SNDBUF, 20_000},
			{unix.SOL_SOCKET, unix.SO_RCVBUF, 20_000},
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 3000},
		} {
			if got, err := unix.GetsockoptInt(fd, option.level, option.name); err != nil || got != option.want {
				t.Errorf("%s: option %d is %d, want %d (%v)", name, option.name, got, option.want, err)
			}
		}
	}
}

func TestReadSlowlyTakesItsTime(t *testing.T) {
	LeakCheck(t)
	const every = 2 * time.Millisecond
	began := time.Now()
	out := RunDirect(t, Script{
		Client: []Step{Send(5000), HalfClose(), ReadToEnd()},
		Server: []Step{ReadSlowly(2000, 100, every), ReadToEnd(), Close()},
	})
	if out.Server.Received != 5000 || out.Server.End != EndFIN {
		t.Errorf("server %v", out.Server)
	}
	if took := time.Since(began); took < 20*every {
		t.Errorf("20 pauses of %v took %v", every, took)
	}
}

// A reader that waits behind an urgent byte must sleep: one that did not would wait for ever.
func TestWaitingBehindAnUrgentByteIsBounded(t *testing.T) {
	LeakCheck(t)
	out := RunDirect(t, Script{
		Client: []Step{Send(10), Urgent(), Meet(), Pause(50 * time.Millisecond), HalfClose(), ReadToEnd()},
		Server: []Step{AwaitUrgent(), Meet(), ReadToEnd(), Close()},
	})
	if out.Server.Received != 10 || len(out.Server.Urgent) != 1 || out.Server.End != EndFIN {
		t.Errorf("server %v", out.Server)
	}
}
