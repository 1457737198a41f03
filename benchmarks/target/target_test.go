package target

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

var place = Place{Threads: 3}

func byName(t *testing.T, name string) *Target {
	t.Helper()
	for _, x := range All("/self", "/nowhere/longsplice") {
		if x.Name == name {
			return &x
		}
	}
	t.Fatalf("no target %s", name)
	return nil
}

func TestMissingTargetsSayWhy(t *testing.T) {
	ended := Given("mine", netip.MustParseAddrPort("127.0.0.1:80"), 1<<22+1) // above pid_max
	tests := []struct {
		name   string
		target *Target
		want   string
	}{
		{"a program that is not there", byName(t, "longsplice"), "/nowhere/longsplice is not here"},
		{"nothing to be missing", byName(t, "direct"), ""},
		{"a process that is not there", &ended, "no process 4194305"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.target.Missing(place); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestAProgramThatRefusesItsConfigurationIsMissing(t *testing.T) {
	picky := *byName(t, "haproxy")
	picky.program, picky.check = testkit.NeedProgram(t, "sh"), []string{"-c", "echo no such keyword; exit 1", "{config}"}
	if why := picky.Missing(place); !strings.Contains(why, "refuses the configuration") || !strings.Contains(why, "no such keyword") {
		t.Errorf("got %q", why)
	}
}

func TestThreadsAreTheSameForAll(t *testing.T) {
	want := map[string]string{
		"longsplice": "workers = 3", "haproxy": "nbthread 3", "haproxy-1m": "nbthread 3", "nginx": "worker_processes 3;",
	}
	for name, line := range want {
		if d := byName(t, name).Describe(place); !strings.Contains(d.Config, line) || !strings.HasPrefix(d.Config, "# Purpose: ") {
			t.Errorf("%s: want a purpose and %q in\n%s", name, line, d.Config)
		}
	}
}

func TestPeersThatAreHereAcceptTheirConfiguration(t *testing.T) {
	for _, name := range []string{"haproxy", "haproxy-1m", "nginx"} {
		t.Run(name, func(t *testing.T) {
			x := byName(t, name)
			if _, err := lookPath(x.program); err != nil {
				t.Skip(err) // a peer is nobody's duty
			}
			if why := x.Missing(place); why != "" {
				t.Error(why)
			}
			if d := x.Describe(place); d.Version == "" || d.Command == "" {
				t.Errorf("got %+v", d)
			}
		})
	}
}

func TestAGivenBalancerIsLeftAlone(t *testing.T) {
	addr := netip.MustParseAddrPort("127.0.0.1:80")
	mine := Given("mine", addr, os.Getpid())
	stage, err := mine.Prepare(2)
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	live, err := stage.Start(place, nil)
	if err != nil || live.PID != os.Getpid() || len(live.To) != 1 || live.To[0] != addr || len(live.Processes()) != 0 {
		t.Errorf("%+v, %v", live, err)
	}
	live.Stop()
}

// The kernel's own forwarding: what is sent to the namespace arrives at each backend in turn, and nothing stays behind.
func TestTheKernelForwards(t *testing.T) {
	testkit.Privileged(t, "CAP_NET_ADMIN: network namespaces")
	testkit.Privileged(t, "CAP_SYS_ADMIN: network namespaces")
	testkit.NeedProgram(t, "ip")
	testkit.NeedProgram(t, "nft")
	x := byName(t, "dnat")
	if why := x.Missing(place); why != "" {
		t.Fatal(why)
	}
	stage, err := x.Prepare(2)
	if err != nil {
		t.Fatal(err)
	}
	defer stage.Close()
	var backends []netip.AddrPort
	for _, a := range stage.Backends {
		backends = append(backends, greeter(t, a))
	}
	live, err := stage.Start(place, backends)
	if err != nil {
		t.Fatal(err)
	}
	defer live.Stop()
	seen := map[string]int{}
	for i := range 4 {
		seen[greeting(t, stage.Sources[i], live.To[0])]++
	}
	if len(seen) != 2 || seen[stage.Backends[0].String()] != 2 {
		t.Errorf("sessions by backend: %v", seen)
	}
	link := stage.space.link
	stage.Close()
	if _, err := net.InterfaceByName(link); err == nil {
		t.Errorf("the cable %s is still there", link)
	}
}

// greeter says its address to whoever connects.
func greeter(t *testing.T, at netip.Addr) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", netip.AddrPortFrom(at, 0).String())
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
			fmt.Fprint(c, at)
			c.Close()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func greeting(t *testing.T, from netip.Addr, to netip.AddrPort) string {
	t.Helper()
	d := net.Dialer{Timeout: 30 * time.Second, LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	c, err := d.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
