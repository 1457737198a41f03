package balancer

import (
	"context"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

func TestPortsAreShownBySource(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{backends: []string{echoBackend(t).Addr().String()}, pool: `source_addresses = ["127.66.9.1-127.66.9.2"]` + "\nlocal_ports = \"22000-22004\""}
	b := s.start(t)
	conns := sessions(t, s.at, 10)
	p := backendNamed(t, b, "b0").Ports
	if p == nil || p.Used != 10 || p.Limit != 10 || len(p.Sources) != 2 {
		t.Fatalf("ports: %+v, want 10 of 10 of 2 sources", p)
	}
	for i, x := range p.Sources {
		if want := []string{"127.66.9.1", "127.66.9.2"}[i]; x.Source != want || x.Ports != "22000-22004" || x.Used != 5 || x.Limit != 5 {
			t.Errorf("source %d: %+v, want 5 of 5 ports of %s", i, x, want)
		}
	}
	if f := b.Status().Ports; f.Backend != "chat/b0" || f.Used != 10 || f.Limit != 10 {
		t.Errorf("the fullest: %+v", f)
	}
	eventually(t, "a warning", func() bool { return recent(b, "ports_low") != nil })
	if e := recent(b, "ports_low"); e.Subject != "chat/b0" || !strings.Contains(e.Message, "10 of 10 local ports") || !strings.Contains(e.Message, "tune plan") {
		t.Errorf("event %+v", e)
	}
	page, err := b.Sessions(context.Background(), SessionQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range page.Sessions {
		if a := netip.MustParseAddrPort(x.Source); a.Port() < 22000 || a.Port() > 22004 || !strings.HasPrefix(x.Source, "127.66.9.") {
			t.Errorf("a session comes from %s", x.Source)
		}
	}
	e, err := b.Explain("chat", "192.0.2.1:4711")
	if err != nil || !strings.Contains(strings.Join(e.Steps, "\n"), "127.66.9.1, 127.66.9.2 in turn, from ports 22000-22004: 10 of 10") {
		t.Errorf("explain: %v, %v", e.Steps, err)
	}
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "the ports to come back", func() bool { return backendNamed(t, b, "b0").Ports.Used == 0 })
}

// Without sources every session takes one of the kernel's ports; that, too, runs out.
func TestPortsOfTheKernelAreCountedBySessions(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{backends: []string{echoBackend(t).Addr().String()}}
	b := s.start(t)
	sessions(t, s.at, 3)
	if p := backendNamed(t, b, "b0").Ports; p == nil || p.Used != 3 || p.Limit < 100 || p.Sources != nil {
		t.Errorf("ports: %+v", p)
	}
}

// A session outlives the answer that its backend came by; its port comes back all the same, and then nobody needs the pair.
func TestAPortComesBackToABackendThatIsGone(t *testing.T) {
	testkit.LeakCheck(t)
	names := &nameServer{}
	names.answer(nil, "127.0.0.1")
	s := setup{pool: `source_addresses = ["127.66.9.3"]` + "\nlocal_ports = \"22010-22019\""}
	b := startNamed(t, &s, names)
	conns := sessions(t, s.at, 4)
	change := func(answer string) {
		generation := b.Status().Generation
		names.answer(nil, answer)
		eventually(t, "another generation", func() bool { return b.Status().Generation > generation })
	}
	pairs := func() (n int, used int64) {
		for _, p := range b.book.All() {
			if p != nil {
				n, used = n+1, used+p.Used()
			}
		}
		return n, used
	}
	change("127.0.0.2")
	change("127.0.0.3")
	if n, used := pairs(); n < 2 || used != 4 {
		t.Errorf("%d pairs with %d ports in use, want 4 in use", n, used)
	}
	for _, c := range conns {
		if !served(c, testkit.Bound) {
			t.Error("a session is not served after its backend has gone")
		}
		c.Close()
	}
	eventually(t, "the ports to come back", func() bool { _, used := pairs(); return used == 0 })
	change("127.0.0.2")
	change("127.0.0.3")
	if n, _ := pairs(); n > 2 {
		t.Errorf("%d pairs are kept, want those of the answers before and now at most", n)
	}
}

func TestThePaceAtWhichPortsGo(t *testing.T) {
	began := time.Unix(1000, 0)
	var p portTrend
	if s := (*portTrend)(nil).runsOut(10); s != 0 {
		t.Errorf("unknown pace: %v s", s)
	}
	for i := range 120 {
		p.note(began.Add(time.Duration(i)*time.Second), int64(5*i))
	}
	if s := p.runsOut(100); math.Abs(s-20) > 1 {
		t.Errorf("100 ports at 5 a second last %.1f s, want 20", s)
	}
	for i := range 120 {
		p.note(began.Add(time.Duration(120+i)*time.Second), 600)
	}
	if s := p.runsOut(100_000); s != 0 {
		t.Errorf("ports that nobody takes any more run out in %.1f s", s)
	}
}
