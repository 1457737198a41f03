package balancer

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// start runs a balancer with a configuration, on free ports where the text says %LISTEN% and %BACKEND%.
func start(t *testing.T, text string, args ...any) *Balancer {
	t.Helper()
	c, _, err := config.Parse("test.toml", fmt.Appendf(nil, text, args...), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(context.Background(), Options{Config: c, OnEvent: func(e Event) {
		if e.Level != "debug" {
			t.Logf("event %s %s: %s", e.Name, e.Subject, e.Message)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Shutdown(context.Background()) })
	return b
}

// portsGiven are those that freePort has given out.
var portsGiven = map[int]bool{}

// freePort is a port that nobody serves, each time another. It lies below the kernel's range, or else a connection that
// some test makes meanwhile could take it.
func freePort(t *testing.T) int {
	t.Helper()
	for range 1000 {
		port := 10_000 + rand.IntN(20_000)
		if portsGiven[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		l.Close()
		portsGiven[port] = true
		return port
	}
	t.Fatal("no port is free")
	return 0
}

func echoBackend(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go echo(l)
	return l
}

// echo serves a listener until it is closed.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			plainCopy(c)
		}()
	}
}

// plainCopy sends back what comes without splice: package net keeps the pipes of io.Copy between two TCP connections until a
// garbage collection or two, and whoever looks for leaks before finds them.
func plainCopy(c net.Conn) {
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
}

const oneFrontend = `
[process]
admin = ""
drain_timeout = "0s"
[[frontend]]
name = "chat"
listen = ["127.0.0.1:%d"]
backends = ["%s", "%s"]
`

func TestServesAndCounts(t *testing.T) {
	testkit.LeakCheck(t)
	port, b1, b2 := freePort(t), echoBackend(t), echoBackend(t)
	b := start(t, oneFrontend, port, b1.Addr(), b2.Addr())
	var conns []net.Conn
	for i := range 40 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := fmt.Fprintf(c, "hello %02d", i); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	page, err := b.Sessions(context.Background(), SessionQuery{})
	if err != nil || page.Matched != 40 || len(page.Sessions) != 40 {
		t.Fatalf("listing: %d of %d sessions, %v; want 40", len(page.Sessions), page.Matched, err)
	}
	e, err := b.Explain("chat", conns[0].LocalAddr().String())
	if err != nil || e.Backend == "" {
		t.Fatalf("explain: %+v, %v", e, err)
	}
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "all ends counted", func() bool {
		f := b.Frontends()[0]
		return f.Active == 0 && f.Ended["client_fin"] == 40 && f.ToBackend == 320
	})
	if s := b.Status(); s.Sessions.Held != 0 || s.Sessions.Peak < 40 {
		t.Errorf("status says %+v", s.Sessions)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not within 10 s", what)
}
