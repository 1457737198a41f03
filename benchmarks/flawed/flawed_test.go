package flawed

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// What the client gets of ten letters, and how often the proxy says that it did something to them.
func TestFlawsDoWhatTheyAreCalled(t *testing.T) {
	const sent = "abcdefghij"
	for flaw, want := range map[string]struct {
		got    string
		struck uint64
	}{
		"":          {sent, 0},
		"drop=3":    {"abcefghij", 1},
		"flip=3":    {"abceefghij", 1}, // 'd' ^ 1
		"twice=3":   {"abcdefghijdefghij", 1},
		"lose=3":    {"abc", 1},
		"end=3":     {"abc", 1},
		"drop=10":   {sent, 0}, // the stream ends before
		"reset=2":   {sent, 0},
		"deaf=1":    {sent, 0},
		"delay=1ms": {sent, 1},
		"burn=1ms":  {sent, 1},
		"calls=5":   {sent, 5},
		"fds=2":     {sent, 2},
		"leak=4096": {sent, 1},
	} {
		t.Run(flaw, func(t *testing.T) {
			testkit.LeakCheck(t)
			p, err := Open(Config{Listen: anyPort, To: []netip.AddrPort{sender(t, sent)}, Flaw: flaw})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			got, err := receive(p.Addr)
			if err != nil || got != want.got || p.Struck() != want.struck {
				t.Errorf("got %q, struck %d times; want %q, %d (%v)", got, p.Struck(), want.got, want.struck, err)
			}
		})
	}
}

func TestUnknownFlawsAndValuesAreRefused(t *testing.T) {
	for _, flaw := range []string{"rust", "rust=1", "drop", "drop=0", "drop=-1", "drop=x", "delay=10", "delay=-1s", "reset=", "fds=1.5"} {
		if p, err := Open(Config{Listen: anyPort, To: []netip.AddrPort{anyPort}, Flaw: flaw}); err == nil {
			p.Close()
			t.Errorf("%q was accepted", flaw)
		} else if name, _, _ := strings.Cut(flaw, "="); !strings.Contains(err.Error(), name) {
			t.Errorf("%q: the error does not name it: %v", flaw, err)
		}
	}
	if p, err := Open(Config{Listen: anyPort}); err == nil {
		p.Close()
		t.Error("a proxy to nowhere was accepted")
	}
}

// sender gives each client the text, in one piece, and ends.
func sender(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	ln, err := net.Listen("tcp", anyPort.String())
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
			_, _ = io.WriteString(c, text)
			c.Close()
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort()
}

func receive(from netip.AddrPort) (string, error) {
	c, err := net.Dial("tcp", from.String())
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	got, err := io.ReadAll(c)
	return string(got), err
}
