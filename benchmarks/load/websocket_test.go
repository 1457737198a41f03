package load_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/longsplice/longsplice/benchmarks/load"
)

// others is an echo server that is not ours; it pings between messages, which the client has to answer.
func others(t *testing.T, ping bool) (at netip.AddrPort, pongs *atomic.Int64) {
	t.Helper()
	pongs = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(-1)
		if ping {
			go pinging(r.Context(), c, pongs)
		}
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	return netip.MustParseAddrPort(strings.TrimPrefix(srv.URL, "http://")), pongs
}

// pinging goes on until the session ends. Ping returns when its own pong is there.
func pinging(ctx context.Context, c *websocket.Conn, pongs *atomic.Int64) {
	for c.Ping(ctx) == nil {
		pongs.Add(1)
	}
}

func TestWebSocketWithServersOfOthers(t *testing.T) {
	bePatient(t)
	for name, ping := range map[string]bool{"echo": false, "echo and pings": true} {
		for _, bytes := range []int{1, 125, 126, 5000, 70_000} {
			to, pongs := others(t, ping)
			cfg := webConfig(to)
			cfg.Patience = 30 * time.Second
			res, err := load.Echo(load.EchoConfig{Config: cfg, Sessions: 5, MessageBytes: bytes})
			if err != nil || !res.Sound() || res.Messages == 0 {
				t.Errorf("%s, %d bytes: %+v, %v", name, bytes, res, err)
			}
			if ping && pongs.Load() == 0 {
				t.Errorf("%s, %d bytes: no ping was answered", name, bytes)
			}
			churned, err := load.Churn(load.ChurnConfig{Config: cfg, AtOnce: 3, MessageBytes: bytes})
			if err != nil || !churned.Sound() || churned.Sessions == 0 {
				t.Errorf("%s, churn, %d bytes: %+v, %v", name, bytes, churned, err)
			}
		}
	}
}

// A server that does not speak WebSocket, or hangs up in the middle, is a failed session.
func TestServersWithoutWebSocketAreFailures(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		says   string
	}{
		{"not found", http.NotFound, "404 Not Found"},
		{"an early close", func(w http.ResponseWriter, r *http.Request) {
			if c, err := websocket.Accept(w, r, nil); err == nil {
				_ = c.Close(websocket.StatusGoingAway, "")
			}
		}, "closed the WebSocket session"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(tc.answer)
			defer srv.Close()
			cfg := webConfig(netip.MustParseAddrPort(strings.TrimPrefix(srv.URL, "http://")))
			res, err := load.Echo(load.EchoConfig{Config: cfg, Sessions: 3, MessageBytes: 64, Rate: 1}) // no message of ours crosses the close
			if err != nil {
				t.Fatal(err)
			}
			if res.Failed != 3 || !strings.Contains(res.FirstError, tc.says) {
				t.Errorf("%+v", *res)
			}
		})
	}
}
