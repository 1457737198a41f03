package balancer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// ask is Sessions of a query that must succeed.
func ask(t *testing.T, b *Balancer, q SessionQuery) SessionPage {
	t.Helper()
	p, err := b.Sessions(context.Background(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return p
}

// dialFrom connects from a loopback address, with a port of the kernel's or a given one.
func dialFrom(t *testing.T, source, at string) net.Conn {
	t.Helper()
	from, err := net.ResolveTCPAddr("tcp", source)
	if err != nil {
		t.Fatal(err)
	}
	c, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// threeClients is a balancer with two backends and sessions from 127.0.0.1 (5), 127.0.0.2 (4) and 127.0.1.1 (3).
func threeClients(t *testing.T) (*Balancer, *setup, []net.Conn) {
	t.Helper()
	s := &setup{pool: `algorithm = "round_robin"`, backends: []string{echoBackend(t).Addr().String(), echoBackend(t).Addr().String()}}
	b := s.start(t)
	var all []net.Conn
	for host, n := range map[string]int{"127.0.0.1": 5, "127.0.0.2": 4, "127.0.1.1": 3} {
		for range n {
			c := dialFrom(t, host+":0", s.at)
			if !served(c, testkit.Bound) {
				t.Fatal("a session is not served")
			}
			all = append(all, c)
		}
	}
	return b, s, all
}

func TestSessionFilters(t *testing.T) {
	testkit.LeakCheck(t)
	b, _, conns := threeClients(t)
	atB0 := len(ask(t, b, SessionQuery{Backend: "b0"}).Sessions)
	if atB0 == 0 || atB0 == 12 {
		t.Fatalf("%d of 12 sessions are at b0", atB0)
	}
	one := conns[0].LocalAddr().String()
	for _, c := range []struct {
		q    SessionQuery
		want int
	}{
		{SessionQuery{}, 12},
		{SessionQuery{Frontend: "chat"}, 12},
		{SessionQuery{Frontend: "other"}, 0},
		{SessionQuery{Backend: "chat/b0"}, atB0},
		{SessionQuery{Backend: "b1"}, 12 - atB0},
		{SessionQuery{Backend: "other/b0"}, 0},
		{SessionQuery{Backend: "chat/"}, 12},
		{SessionQuery{Backend: "other/"}, 0},
		{SessionQuery{Client: "127.0.0.1"}, 5},
		{SessionQuery{Client: "::ffff:127.0.0.1"}, 5},
		{SessionQuery{Client: "127.0.0.2/32"}, 4},
		{SessionQuery{Client: "127.0.0.0/24"}, 9},
		{SessionQuery{Client: "127.0.0.0/8"}, 12},
		{SessionQuery{Client: "10.0.0.0/8"}, 0},
		{SessionQuery{Client: "::/0"}, 0},
		{SessionQuery{Client: one}, 1},
		{SessionQuery{Client: one, Backend: "b0", Frontend: "chat"}, len(ask(t, b, SessionQuery{Client: one, Backend: "b0"}).Sessions)},
	} {
		if p := ask(t, b, c.q); p.Matched != c.want || len(p.Sessions) != c.want || p.Sessions == nil || p.Cursor != "" {
			t.Errorf("%+v: %d matched, %d shown, cursor %q; want %d", c.q, p.Matched, len(p.Sessions), p.Cursor, c.want)
		}
	}
	s := ask(t, b, SessionQuery{Client: one}).Sessions[0]
	if s.Client != one || s.State != "relaying" || s.Frontend != "chat" || s.Pool != "chat" || s.Listen != conns[0].RemoteAddr().String() ||
		s.ToBackend != 1 || s.ToClient != 1 || s.Mode != "copy" || len(s.ID) != 16 || s.ClientTCP.MSS == 0 || s.BackendTCP.MSS == 0 || s.Source == "" {
		t.Errorf("session %+v", s)
	}
}

func TestSessionQueriesThatAreWrong(t *testing.T) {
	testkit.LeakCheck(t)
	b, _, _ := threeClients(t)
	cursor := ask(t, b, SessionQuery{Limit: 2, Sort: "age"}).Cursor
	for _, q := range []SessionQuery{
		{Sort: "name"},
		{Limit: -1},
		{Limit: largestPage + 1},
		{Client: "nobody"},
		{Client: "1.2.3.4/33"},
		{Client: "1.2.3.4:99999"},
		{Cursor: "?"},
		{Cursor: "YWdl"},
		{Cursor: cursor, Sort: "bytes"},
		{Cursor: cursor},
	} {
		if _, err := b.Sessions(context.Background(), q); !errors.Is(err, ErrBadQuery) {
			t.Errorf("%+v: %v, want a bad query", q, err)
		}
	}
	over, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := b.Sessions(over, SessionQuery{}); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if _, err := b.Sessions(context.Background(), SessionQuery{Cursor: ask(t, b, SessionQuery{Limit: 2}).Cursor, Sort: "id"}); err != nil {
		t.Errorf("the order by id under its name, with a cursor of the default order: %v", err)
	}
}

func TestSessionSorts(t *testing.T) {
	testkit.LeakCheck(t)
	b, _, conns := threeClients(t)
	for i, c := range conns { // each another amount
		c.Write(make([]byte, 1000*i))
		c.SetReadDeadline(time.Now().Add(testkit.Bound))
		for left := 1000 * i; left > 0; {
			n, err := c.Read(make([]byte, left))
			if err != nil {
				t.Fatal(err)
			}
			left -= n
		}
	}
	for by, key := range map[string]func(s SessionStatus) float64{
		"age": func(s SessionStatus) float64 { return s.AgeS }, "idle": func(s SessionStatus) float64 { return s.IdleS },
		"bytes": func(s SessionStatus) float64 { return float64(s.ToBackend + s.ToClient) },
	} {
		all := ask(t, b, SessionQuery{Sort: by}).Sessions
		if !slices.IsSortedFunc(all, func(x, y SessionStatus) int { return int(1e6 * (key(y) - key(x))) }) {
			t.Errorf("sort %s: %+v", by, all)
		}
		if by == "bytes" && (key(all[0]) != 22002 || key(all[11]) != 2) {
			t.Errorf("bytes are from %g to %g", key(all[0]), key(all[11]))
		}
		var paged []SessionStatus
		for q := (SessionQuery{Sort: by, Limit: 5}); ; {
			p := ask(t, b, q)
			paged = append(paged, p.Sessions...)
			if q.Cursor = p.Cursor; p.Cursor == "" {
				break
			}
		}
		if len(paged) != 12 {
			t.Errorf("sort %s by pages: %d sessions of 12", by, len(paged))
		}
		if by != "bytes" { // ages change from page to page
			continue
		}
		for i := range paged {
			if paged[i].ID != all[i].ID {
				t.Errorf("place %d by pages is %s, at once %s", i, paged[i].ID, all[i].ID)
			}
		}
	}
}

// Pages in the order of ids neither repeat nor miss a session that lives all the while, however many come and go.
func TestPagesNeitherRepeatNorMiss(t *testing.T) {
	testkit.LeakCheck(t)
	var s setup
	b := s.start(t)
	lasting := map[string]bool{}
	for i, c := range sessions(t, s.at, 600) {
		if i%6 == 5 {
			defer c.Close()
			continue
		}
		lasting[c.LocalAddr().String()] = false
	}
	stop := make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		for !closed(stop) {
			if c, err := net.Dial("tcp", s.at); err == nil {
				c.Close()
			}
		}
	}()
	defer func() { close(stop); <-over }()
	seen := map[string]bool{}
	for q := (SessionQuery{Limit: 37}); ; {
		p := ask(t, b, q)
		for _, x := range p.Sessions {
			if seen[x.ID] {
				t.Errorf("session %s is shown twice", x.ID)
			}
			seen[x.ID] = true
			if _, lasts := lasting[x.Client]; lasts {
				lasting[x.Client] = true
			}
		}
		if q.Cursor = p.Cursor; p.Cursor == "" {
			break
		}
	}
	for client, shown := range lasting {
		if !shown {
			t.Errorf("the session of %s was missed", client)
		}
	}
}

// who answers with its name, and then nothing.
func who(t *testing.T, name string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, name)
			c.Close()
		}
	}()
	return l.Addr().String()
}

// What explain says is where a connection goes, whatever is hashed.
func TestExplainAgreesWithWhereConnectionsGo(t *testing.T) {
	for _, c := range []struct{ name, pool, frontend string }{
		{"5-tuple", `balance_factor = 0`, ""},
		{"client", `hash = "client"`, ""},
		{"client-prefix", `hash = "client-prefix"`, `client_prefix = [30, 64]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := setup{pool: c.pool, frontend: c.frontend}
			for i := range 5 {
				s.backends = append(s.backends, who(t, fmt.Sprintf("b%d", i)))
			}
			b := s.start(t)
			counts := map[string]int{}
			for i := range 100 {
				host := fmt.Sprintf("127.0.0.%d", 1+i)
				probe := dialFrom(t, host+":0", s.at) // what port is free there, is seen by taking one
				x, err := b.Explain("chat", probe.LocalAddr().String())
				if err != nil {
					t.Fatal(err)
				}
				probe.SetReadDeadline(time.Now().Add(testkit.Bound))
				got := make([]byte, 3)
				if _, err := probe.Read(got); err != nil {
					t.Fatal(err)
				}
				at := strings.TrimSpace(string(got))
				if x.Backend != at || x.Address == "" || !x.Admitted {
					t.Errorf("%s went to %s; explain: %+v", probe.LocalAddr(), at, x)
				}
				counts[at]++
			}
			if len(counts) < 4 {
				t.Errorf("connections went to %v: too few to tell", counts)
			}
		})
	}
}

// A client may come to several listeners; the answer says for which it is, and what it would be at the others.
func TestExplainNamesTheListenerOfTheClientsFamily(t *testing.T) {
	testkit.LeakCheck(t)
	port := freePort(t)
	at := func(host string) string { return fmt.Sprintf("%s:%d", host, port) }
	text := fmt.Sprintf("[process]\nadmin = \"\"\ndrain_timeout = \"0s\"\n[[frontend]]\nname = \"chat\"\nlisten = [%q, %q, %q]\npool = \"chat\"\n", at("[::1]"), at("127.0.0.1"), at("127.0.0.2"))
	text += fmt.Sprintf("[[frontend]]\nname = \"six\"\nlisten = [\"[::1]:%d\"]\npool = \"chat\"\n[[pool]]\nname = \"chat\"\nbalance_factor = 0\n", freePort(t))
	for i := range 5 {
		name := fmt.Sprintf("b%d", i)
		text += fmt.Sprintf("[[pool.backend]]\nname = %q\naddress = %q\n", name, who(t, name))
	}
	b := start(t, "%s", text)
	for i := range 20 {
		c := dialFrom(t, fmt.Sprintf("127.0.0.%d:0", 10+i), at("127.0.0.2"))
		x, err := b.Explain("chat", c.LocalAddr().String())
		if err != nil || x.Listen != at("127.0.0.1") {
			t.Fatalf("explain: %+v, %v; want the first IPv4 listener", x, err)
		}
		got, err := io.ReadAll(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{
			"connection to " + at("127.0.0.1") + ", one of 2 listeners",
			"connection to " + at("127.0.0.2") + " would go to " + string(got),
		} {
			if steps := strings.Join(x.Steps, "\n") + "\n"; !strings.Contains(steps, want) {
				t.Errorf("the steps do not say %q:\n%s", want, steps)
			}
		}
	}
	if x, err := b.Explain("chat", "[2001:db8::1]:4711"); err != nil || x.Listen != at("[::1]") || !x.Admitted {
		t.Errorf("an IPv6 client: %+v, %v", x, err)
	}
	if x, err := b.Explain("six", "192.0.2.1:4711"); err != nil || x.Admitted || x.Refusal != "no_listener" || x.Backend != "" {
		t.Errorf("an IPv4 client of an IPv6 frontend: %+v, %v", x, err)
	}
}

func TestExplainOfWhatIsOdd(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{frontend: `deny = ["10.0.0.0/8"]`}
	b := s.start(t)
	if _, err := b.Explain("nothing", "1.2.3.4:5"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown frontend: %v", err)
	}
	for _, client := range []string{"", "1.2.3.4", "nobody:80", "[::1]"} {
		if _, err := b.Explain("chat", client); !errors.Is(err, ErrBadQuery) {
			t.Errorf("client %q: %v", client, err)
		}
	}
	if x, err := b.Explain("chat", "10.1.2.3:4711"); err != nil || x.Admitted || x.Refusal != "denied" {
		t.Errorf("a denied client: %+v, %v", x, err)
	}
	mapped, err := b.Explain("chat", "[::ffff:192.0.2.1]:4711")
	plain, _ := b.Explain("chat", "192.0.2.1:4711")
	if err != nil || mapped.Hash != plain.Hash || mapped.Client != plain.Client {
		t.Errorf("an IPv4 address in IPv6's clothes: %+v, %v; want %+v", mapped, err, plain)
	}
}

func TestUnixListenersAreListedAndExplained(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{at: "unix:" + t.TempDir() + "/s.sock"}
	b := s.start(t)
	c, err := net.Dial("unix", strings.TrimPrefix(s.at, "unix:"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !served(c, testkit.Bound) {
		t.Fatal("not served")
	}
	if p := ask(t, b, SessionQuery{}); p.Matched != 1 || p.Sessions[0].Client != "unix" || p.Sessions[0].Listen != s.at {
		t.Errorf("sessions %+v", p)
	}
	if p := ask(t, b, SessionQuery{Client: "::/0"}); p.Matched != 0 {
		t.Errorf("a unix client has no address, and %+v matches ::/0", p)
	}
	x, err := b.Explain("chat", "192.0.2.1:4711")
	if err != nil || x.Backend != "b0" || !strings.Contains(x.HashOf, "counter") {
		t.Errorf("explain: %+v, %v", x, err)
	}
}
