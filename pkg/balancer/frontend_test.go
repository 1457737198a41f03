package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// What a frontend's lines say is what workers do: so many of the connections from these hosts are let in, the others are
// refused for that reason.
func TestAFrontendsLimits(t *testing.T) {
	same := []string{"127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"}
	for _, c := range []struct {
		name, frontend string
		hosts          []string
		in             int
		reason         string
	}{
		{"no limit", "", same, 5, ""},
		{"max_sessions", "max_sessions = 2", same, 2, "full"},
		{"max_sessions_per_client", "max_sessions_per_client = 1", []string{"127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3"}, 3, "client_full"},
		{"client_prefix", "max_sessions_per_client = 1\nclient_prefix = [24, 64]", []string{"127.0.0.1", "127.0.0.2", "127.0.1.1"}, 2, "client_full"},
		{"deny", `deny = ["127.0.0.0/24"]`, []string{"127.0.0.1", "127.0.1.1"}, 1, "denied"},
		{"allow", `allow = ["127.0.0.0/24"]`, []string{"127.0.0.1", "127.0.1.1"}, 1, "denied"},
		{"deny wins", "allow = [\"127.0.0.0/24\"]\ndeny = [\"127.0.0.1/32\"]", []string{"127.0.0.1", "127.0.0.2"}, 1, "denied"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := setup{frontend: c.frontend}
			b := s.start(t)
			in := 0
			for _, host := range c.hosts {
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(host)}}
				conn, err := d.Dial("tcp", s.at)
				if errors.Is(err, sys.ECONNRESET) {
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if served(conn, testkit.Bound) {
					in++
				}
			}
			if in != c.in {
				t.Errorf("%d of %d were let in, want %d", in, len(c.hosts), c.in)
			}
			eventually(t, "the counters", func() bool {
				f := b.Frontends()[0]
				refused := uint64(0)
				for reason, n := range f.Refused {
					if n > 0 && reason != c.reason {
						t.Fatalf("%d were refused for %s", n, reason)
					}
					refused += n
				}
				return f.Accepted == uint64(c.in) && refused == uint64(len(c.hosts)-c.in)
			})
		})
	}
}

// One new session a second: of many at once some are refused, however slow the machine.
func TestAFrontendsAcceptRate(t *testing.T) {
	testkit.LeakCheck(t)
	const n = 20
	s := setup{frontend: "accept_rate = 1"}
	b := s.start(t)
	for range n {
		c, err := net.Dial("tcp", s.at)
		if err != nil && !errors.Is(err, sys.ECONNRESET) {
			t.Fatal(err)
		}
		if c != nil {
			defer c.Close()
		}
	}
	eventually(t, "the counters", func() bool { f := b.Frontends()[0]; return f.Accepted+f.Refused["rate"] == n })
	if f := b.Frontends()[0]; f.Accepted == 0 || f.Refused["rate"] == 0 {
		t.Errorf("%d let in, %d refused", f.Accepted, f.Refused["rate"])
	}
}

// With on_full = "wait" a full frontend leaves connections in the queue until there is room.
func TestAFullFrontendThatWaits(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{frontend: "max_sessions = 2\non_full = \"wait\""}
	b := s.start(t)
	in := sessions(t, s.at, 2)
	waiting := dial(t, s.at)
	if served(waiting, 50*time.Millisecond) {
		t.Fatal("a third session was let in")
	}
	in[0].Close()
	waiting.SetReadDeadline(time.Now().Add(testkit.Bound))
	if _, err := waiting.Read(make([]byte, 1)); err != nil {
		t.Errorf("there is room, and the one who waits got %v", err)
	}
	if f := b.Frontends()[0]; f.Refused["full"] != 0 {
		t.Errorf("refused: %v", f.Refused)
	}
}

func TestAFrontendsTimeouts(t *testing.T) {
	for _, c := range []struct{ timeouts, reason string }{
		{`idle = "50ms"`, "idle_timeout"},
		{"first_byte = \"50ms\"\nidle = \"forever\"", "idle_timeout"},
	} {
		t.Run(c.timeouts, func(t *testing.T) {
			testkit.LeakCheck(t)
			s := setup{frontend: "[frontend.timeouts]\n" + c.timeouts}
			b := s.start(t)
			awaitReset(t, dial(t, s.at))
			eventually(t, "the end is counted", func() bool { return b.Frontends()[0].Ended[c.reason] == 1 })
			ended(t, b, c.reason, 1)
		})
	}
}

func TestDurationsInMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]int64{0: 0, config.Forever: 0, time.Second: 1000, 1500 * time.Microsecond: 1} {
		if got := ms(d); got != want {
			t.Errorf("%s is %d ms, want %d", d, got, want)
		}
	}
}

func TestIPv6AndInterfaces(t *testing.T) {
	testkit.LeakCheck(t)
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		testkit.Missing(t, "IPv6")
	}
	t.Cleanup(func() { l.Close() })
	go echo(l)
	at := fmt.Sprintf("[::1]:%d", freePort(t))
	s := setup{at: at, frontend: `interface = "lo"`, backends: []string{l.Addr().String()}}
	b := s.start(t)
	c := sessions(t, at, 1)[0]
	one := ask(t, b, SessionQuery{Client: "::1/128"}).Sessions
	if len(one) != 1 || one[0].Client != c.LocalAddr().String() || one[0].Listen != at || !strings.HasPrefix(one[0].Source, "[::1]:") {
		t.Errorf("sessions %+v", one)
	}
	if x, err := b.Explain("chat", c.LocalAddr().String()); err != nil || x.Backend != "b0" || x.Listen != at {
		t.Errorf("explain: %+v, %v", x, err)
	}
	if err := tryStart(t, frontendAt(strings.Replace(at, "::1", "2001:db8::1", 1), "", "freebind = true")); err != nil {
		t.Errorf("freebind with IPv6: %v", err)
	}
}

// A Start whose context ends while the first checks are made gives up, and leaves nothing.
func TestAStartIsCutShort(t *testing.T) {
	testkit.LeakCheck(t)
	s := setup{health: "type = \"send-expect\"\nexpect = \"hello\"\ninterval = \"1h\"\ntimeout = \"1h\"", backends: []string{silentBackend(t)}}
	c, _, err := config.Parse("test.toml", []byte(s.text(t)), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	failed := make(chan error)
	go func() {
		_, err := Start(ctx, Options{Config: c})
		failed <- err
	}()
	eventually(t, "the listener", func() bool {
		conn, err := net.Dial("tcp", s.at)
		if conn != nil {
			conn.Close()
		}
		return err == nil
	})
	select {
	case err := <-failed:
		t.Fatalf("Start did not wait for the first check: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("Start returned %v", err)
	}
}

// Boxes with the same key send a client to the same place; without a file each process has its own.
func TestTheHashKeyDecidesWhereClientsGo(t *testing.T) {
	testkit.LeakCheck(t)
	hash := func(key string) string {
		s := setup{pool: `hash = "client"`}
		if key != "" {
			s.process = `hash_key_file = "` + writeFile(t, key) + `"`
		}
		x, err := s.start(t).Explain("chat", "192.0.2.1:4711")
		if err != nil {
			t.Fatal(err)
		}
		return x.Hash
	}
	const one, two = "000102030405060708090a0b0c0d0e0f\n", "  0F0E0D0C0B0A09080706050403020100"
	if a, b := hash(one), hash(one); a != b {
		t.Errorf("with one key a client has the hashes %s and %s", a, b)
	}
	if a, b := hash(one), hash(two); a == b {
		t.Errorf("two keys give the same hash %s", a)
	}
	if a, b := hash(""), hash(""); a == b {
		t.Errorf("two processes without a key file have the same hash %s", a)
	}
}
