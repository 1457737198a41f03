package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// patient is a timeout that no test means to reach; hasty is one for servers that never answer.
const (
	patient = 20 * time.Second
	hasty   = 50 * time.Millisecond
)

// serve runs a server that gives every connection to talk and closes it afterwards; it returns its address as a
// backend has it. network is "tcp" or "unix".
func serve(t *testing.T, network string, talk func(net.Conn)) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			busy.Go(func() {
				defer conn.Close()
				talk(conn)
			})
		}
	})
	t.Cleanup(func() { l.Close(); busy.Wait() })
	if network == "unix" {
		return "unix:" + address
	}
	return l.Addr().String()
}

// answering reads something and then writes the parts one by one.
func answering(parts ...string) func(net.Conn) {
	return func(conn net.Conn) {
		conn.Read(make([]byte, 4096))
		for _, p := range parts {
			if _, err := io.WriteString(conn, p); err != nil {
				return
			}
			time.Sleep(time.Millisecond) // so that they mostly arrive one by one
		}
		io.Copy(io.Discard, conn) // until the check hangs up
	}
}

// at is a backend of that address.
func at(address string) *backend.Backend {
	b := &backend.Backend{Pool: "chat", Name: "b", Address: address}
	if ap, err := netip.ParseAddrPort(address); err == nil {
		b.Addr = sys.AddrFrom(ap)
	}
	return b
}

func silent(conn net.Conn) { io.Copy(io.Discard, conn) }

func serveHTTP(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// closedPort is a local address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func acceptWebSocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer conn.CloseNow()
	conn.Read(r.Context()) // answers the close frame
}

const upgraded = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"

func TestProbe(t *testing.T) {
	testkit.LeakCheck(t)
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
	}
	asked := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" || r.Host != "chat.example.org" || r.Method != "GET" {
			w.WriteHeader(500)
		}
	}
	cases := []struct {
		name    string
		address func(t *testing.T) string
		h       config.Health
		want    outcome
		why     string
	}{
		{"tcp: somebody listens", func(t *testing.T) string { return serve(t, "tcp", silent) }, config.Health{Type: "tcp"}, ok, ""},
		{"tcp: nobody listens", closedPort, config.Health{Type: "tcp"}, failed, "refused"},
		{"tcp: a unix socket", func(t *testing.T) string { return serve(t, "unix", silent) }, config.Health{Type: "tcp", Port: 1}, ok, ""},
		{"tcp: no unix socket", func(t *testing.T) string { return "unix:" + t.TempDir() + "/none" }, config.Health{Type: "tcp"}, failed, "no such file"},
		{"tcp: not an address", func(t *testing.T) string { return "host.example:80" }, config.Health{Type: "tcp"}, failed, "host.example:80"},
		{"an unknown type", func(t *testing.T) string { return serve(t, "tcp", silent) }, config.Health{Type: "icmp"}, failed, "icmp"},

		{
			"send-expect: in one answer", func(t *testing.T) string { return serve(t, "tcp", answering("+PONG\r\n")) },
			config.Health{Type: "send-expect", Send: "PING\r\n", Expect: "+PONG"},
			ok, "",
		},
		{"send-expect: in pieces, late", func(t *testing.T) string {
			return serve(t, "tcp", answering(strings.Repeat("x", 3000), "+P", "ON", "G"))
		}, config.Health{Type: "send-expect", Send: "PING\r\n", Expect: "+PONG"}, ok, ""},
		{"send-expect: a banner", func(t *testing.T) string {
			return serve(t, "unix", func(c net.Conn) { io.WriteString(c, "220 hello") })
		}, config.Health{Type: "send-expect", Expect: "220"}, ok, ""},
		{"send-expect: another answer, then the end", func(t *testing.T) string {
			return serve(t, "tcp", func(c net.Conn) { c.Read(make([]byte, 6)); io.WriteString(c, "-LOADING\r\n") })
		}, config.Health{Type: "send-expect", Send: "PING\r\n", Expect: "+PONG"}, failed, "+PONG"},
		{"send-expect: endless other answer", func(t *testing.T) string {
			return serve(t, "tcp", func(c net.Conn) {
				for _, err := io.WriteString(c, "xxxx"); err == nil; _, err = io.WriteString(c, "xxxx") {
				}
			})
		}, config.Health{Type: "send-expect", Expect: "+PONG"}, failed, "does not contain"},
		{
			"send-expect: no answer", func(t *testing.T) string { return serve(t, "tcp", silent) },
			config.Health{Type: "send-expect", Send: "PING", Expect: "+PONG", Timeout: hasty},
			timedOut, "+PONG",
		},

		{"http: a status that is expected", func(t *testing.T) string { return serveHTTP(t, status(204)) }, config.Health{Type: "http"}, ok, ""},
		{"http: a status that is not", func(t *testing.T) string { return serveHTTP(t, status(503)) }, config.Health{Type: "http"}, failed, "503, expected 200-399"},
		{
			"http: path and host are sent", func(t *testing.T) string { return serveHTTP(t, asked) },
			config.Health{Type: "http", Path: "/healthz", Host: "chat.example.org"},
			ok, "",
		},
		{"http: on a unix socket, after an interim answer", func(t *testing.T) string {
			return serve(t, "unix", answering("HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"))
		}, config.Health{Type: "http"}, ok, ""},
		{"http: not HTTP", func(t *testing.T) string { return serve(t, "tcp", answering("SSH-2.0-x\r\n")) }, config.Health{Type: "http"}, failed, "HTTP"},
		{"http: cut off in the head", func(t *testing.T) string {
			return serve(t, "tcp", func(c net.Conn) { c.Read(make([]byte, 4096)); io.WriteString(c, "HTTP/1.1 200 OK\r\nA: b\r\n") })
		}, config.Health{Type: "http"}, failed, "unexpected EOF"},
		{"http: no answer", func(t *testing.T) string { return serve(t, "tcp", silent) }, config.Health{Type: "http", Timeout: hasty}, timedOut, ""},
		{"http: an endless body", func(t *testing.T) string {
			return serve(t, "tcp", answering("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", "x"))
		}, config.Health{Type: "http"}, ok, ""},

		{"websocket: a real one", func(t *testing.T) string { return serveHTTP(t, acceptWebSocket) }, config.Health{Type: "websocket"}, ok, ""},
		{
			"websocket: an HTTP server", func(t *testing.T) string { return serveHTTP(t, status(200)) },
			config.Health{Type: "websocket"},
			failed, "status 200, expected 101",
		},
		{"websocket: a wrong answer to the key", func(t *testing.T) string {
			return serve(t, "tcp", answering(upgraded+"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"))
		}, config.Health{Type: "websocket"}, failed, "Sec-WebSocket-Accept"},
		{
			"websocket: no answer to the key", func(t *testing.T) string { return serve(t, "tcp", answering(upgraded+"\r\n")) },
			config.Health{Type: "websocket"},
			failed, "Sec-WebSocket-Accept",
		},
		{"websocket: another protocol", func(t *testing.T) string {
			return serve(t, "tcp", answering("HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"))
		}, config.Health{Type: "websocket"}, failed, "header Upgrade"},
		{"websocket: no connection header", func(t *testing.T) string {
			return serve(t, "tcp", answering("HTTP/1.1 101 x\r\nUpgrade: WebSocket\r\n\r\n"))
		}, config.Health{Type: "websocket"}, failed, "header Connection"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := withDefaults(c.h)
			checker := New(Hooks{})
			defer checker.Close()
			got, err := checker.probe(context.Background(), at(c.address(t)), h)
			if got != c.want {
				t.Errorf("outcome %s (%v), want %s", got, err, c.want)
			}
			if !strings.Contains(fmt.Sprint(err), c.why) {
				t.Errorf("error %q does not say %q", err, c.why)
			}
		})
	}
}

func withDefaults(h config.Health) config.Health {
	h.Interval, h.Rise, h.Fall = max(h.Interval, time.Millisecond), max(h.Rise, 1), max(h.Fall, 1)
	h.ExpectStatus = config.StatusRange{From: 200, To: 399}
	if h.Path == "" {
		h.Path = "/"
	}
	if h.Timeout == 0 {
		h.Timeout = patient
	}
	return h
}

// RFC 6455, 1.3 has this example.
func TestAcceptKeyOfTheRFC(t *testing.T) {
	if got := acceptKey("dGhlIHNhbXBsZSBub25jZQ=="); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("got %s", got)
	}
}

func TestProbeUsesThePortOfTheCheck(t *testing.T) {
	testkit.LeakCheck(t)
	port := netip.MustParseAddrPort(serve(t, "tcp", silent)).Port()
	c := New(Hooks{})
	defer c.Close()
	got, err := c.probe(context.Background(), at(closedPort(t)), withDefaults(config.Health{Type: "tcp", Port: port}))
	if got != ok {
		t.Errorf("outcome %s (%v), want ok by port %d", got, err, port)
	}
}

func TestWebSocketCheckEndsWithACloseFrame(t *testing.T) {
	testkit.LeakCheck(t)
	closed := make(chan websocket.StatusCode, 1)
	address := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		_, _, err = conn.Read(r.Context())
		closed <- websocket.CloseStatus(err)
	})
	c := New(Hooks{})
	defer c.Close()
	if got, err := c.probe(context.Background(), at(address), withDefaults(config.Health{Type: "websocket"})); got != ok {
		t.Fatalf("outcome %s (%v)", got, err)
	}
	if got := <-closed; got != websocket.StatusNormalClosure {
		t.Errorf("the server read close status %d, want 1000", got)
	}
}

func TestTCPCheckResetsItsConnection(t *testing.T) {
	testkit.LeakCheck(t)
	ended := make(chan error, 1)
	address := serve(t, "tcp", func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})
	c := New(Hooks{})
	defer c.Close()
	c.probe(context.Background(), at(address), withDefaults(config.Health{Type: "tcp"}))
	if err := <-ended; !errors.Is(err, sys.ECONNRESET) {
		t.Errorf("the server read %v, want a reset", err)
	}
}

func TestSelfConnectIsAFailure(t *testing.T) {
	testkit.LeakCheck(t)
	address := closedPort(t)
	ours, _ := net.ResolveTCPAddr("tcp", address)
	c := New(Hooks{})
	defer c.Close()
	c.dial = (&net.Dialer{LocalAddr: ours}).DialContext // what the kernel does now and then, always
	got, err := c.probe(context.Background(), at(address), withDefaults(config.Health{Type: "tcp"}))
	if got != failed || !errors.Is(err, errSelfConnect) {
		t.Errorf("outcome %s (%v), want a failure by self-connect", got, err)
	}
}

func TestClassify(t *testing.T) {
	dialing := func(errno sys.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
	}
	cases := []struct {
		name string
		err  error
		want outcome
	}{
		{"success", nil, ok},
		{"no fds in the process", dialing(sys.EMFILE), local},
		{"no fds in the system", dialing(sys.ENFILE), local},
		{"no buffers", dialing(sys.ENOBUFS), local},
		{"no memory", dialing(sys.ENOMEM), local},
		{"no local port", dialing(sys.EADDRNOTAVAIL), local},
		{"refused", dialing(sys.ECONNREFUSED), failed},
		{"unreachable", dialing(sys.EHOSTUNREACH), failed},
		{"a full unix socket", dialing(sys.EAGAIN), failed},
		{"the kernel's timeout", dialing(sys.ETIMEDOUT), timedOut},
		{"our timeout when dialling", context.DeadlineExceeded, timedOut},
		{"our timeout when reading", fmt.Errorf("read: %w", os.ErrDeadlineExceeded), timedOut},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := classify(c.err); got != c.want {
				t.Errorf("classify(%v) = %s, want %s", c.err, got, c.want)
			}
		})
	}
}
