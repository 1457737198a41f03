package admin

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// Every endpoint through every door. The columns are the status codes at: the socket, loopback TCP without a token
// configured, loopback with one configured and none sent, the same with it sent, another address without and with it.
var roleCases = []struct {
	method, target                                       string
	socket, open, unsent, sent, remoteUnsent, remoteSent int
}{
	{"GET", "/healthz", 200, 200, 200, 200, 200, 200},
	{"GET", "/readyz", 200, 200, 200, 200, 200, 200},
	{"GET", "/metrics", 200, 200, 200, 200, 200, 200},
	{"GET", "/", 200, 200, 200, 200, 401, 200},
	{"GET", "/v1/status", 200, 200, 200, 200, 401, 200},
	{"HEAD", "/v1/status", 200, 200, 200, 200, 401, 200},
	{"GET", "/v1/frontends", 200, 200, 200, 200, 401, 200},
	{"GET", "/v1/pools", 200, 200, 200, 200, 401, 200},
	{"GET", "/v1/workers", 200, 200, 200, 200, 401, 200},
	{"HEAD", "/v1/live", 200, 200, 200, 200, 401, 200},
	{"GET", "/v1/sessions", 200, 403, 401, 200, 401, 200},
	{"GET", "/v1/explain?frontend=chat&client=192.0.2.7:1", 200, 403, 401, 200, 401, 200},
	{"GET", "/v1/events?follow=false", 200, 403, 401, 200, 401, 200},
	{"DELETE", "/v1/sessions/00000000000000a1", 501, 405, 405, 405, 405, 405},
	{"POST", "/v1/pools/chat/backends/b1", 501, 405, 405, 405, 405, 405},
	{"POST", "/v1/frontends/chat", 501, 405, 405, 405, 405, 405},
	{"POST", "/v1/drain", 501, 405, 405, 405, 405, 405},
	{"POST", "/v1/undrain", 501, 405, 405, 405, 405, 405},
	{"POST", "/v1/reload", 501, 405, 405, 405, 405, 405},
	{"POST", "/v1/upgrade", 501, 405, 405, 405, 405, 405},
	{"GET", "/v1/upgrade", 405, 403, 403, 403, 403, 403},
	{"POST", "/v1/status", 405, 405, 405, 405, 405, 405},
	{"GET", "/debug/pprof/", 200, 403, 403, 403, 403, 403},
	{"GET", "/debug/pprof/cmdline", 200, 403, 403, 403, 403, 403},
	{"GET", "/debug/pprof/symbol", 200, 403, 403, 403, 403, 403},
	{"GET", "/debug/pprof/profile?seconds=1", 200, 403, 403, 403, 403, 403},
	{"GET", "/debug/pprof/trace?seconds=0.01", 200, 403, 403, 403, 403, 403},
	{"GET", "/debug/pprof/heap", 200, 403, 403, 403, 403, 403},
	{"GET", "/v1/nothing", 404, 404, 404, 404, 404, 404},
}

func TestWhoMayDoWhat(t *testing.T) {
	testkit.LeakCheck(t)
	plain, guarded, remote := serve(t, newFake(5), nil), serve(t, newFake(5), withToken(t)), serveRemote(t)
	bearer := "Authorization: Bearer " + testToken
	covered := map[string]bool{}
	for _, c := range roleCases {
		covered[patternOf(plain, c.method, c.target)] = true
		t.Run(c.method+" "+c.target, func(t *testing.T) {
			got := [...]int{
				plain.ask(t, doorSocket, c.method, c.target).status,
				plain.ask(t, doorLoopback, c.method, c.target).status,
				guarded.ask(t, doorLoopback, c.method, c.target).status,
				guarded.ask(t, doorLoopback, c.method, c.target, bearer).status,
				remote.ask(t, doorRemote, c.method, c.target).status,
				remote.ask(t, doorRemote, c.method, c.target, bearer).status,
			}
			want := [...]int{c.socket, c.open, c.unsent, c.sent, c.remoteUnsent, c.remoteSent}
			if got != want {
				t.Errorf("socket, loopback (no token, not sent, sent), remote (not sent, sent): got %v, want %v", got, want)
			}
		})
	}
	for _, rt := range table {
		if !covered[rt.path] {
			t.Errorf("no case for %s", rt.path)
		}
	}
}

// serveRemote serves an address that other hosts could reach, by treating a loopback listener as if it were one: tests
// open nothing to the network.
func serveRemote(t *testing.T) *rig {
	return serve(t, newFake(5), func(o *Options) {
		withToken(t)(o)
		o.adjust = func(d *door) {
			if d.kind == doorLoopback {
				d.kind = doorRemote
			}
		}
	})
}

func patternOf(r *rig, method, target string) string {
	req, _ := http.NewRequest(method, "http://localhost"+target, nil)
	_, pattern := r.routes(r.doors[0]).Handler(req)
	return pattern
}

func TestTokens(t *testing.T) {
	r := start(t, newFake(5), withToken(t))
	cases := []struct {
		name, header string
		want         int
	}{
		{"bearer", "Authorization: Bearer " + testToken, 200},
		{"the scheme in lower case", "Authorization: bearer " + testToken, 200},
		{"the password of a browser's dialogue", "Authorization: Basic eDowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==", 200},
		{"wrong", "Authorization: Bearer " + testToken[1:] + "x", 401},
		{"shorter", "Authorization: Bearer " + testToken[:31], 401},
		{"empty", "Authorization: Bearer ", 401},
		{"another scheme", "Authorization: Digest " + testToken, 401},
		{"no scheme", "Authorization: " + testToken, 401},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := r.ask(t, doorLoopback, "GET", "/v1/sessions", c.header)
			if a.status != c.want {
				t.Errorf("got %d, want %d", a.status, c.want)
			}
			if c.want == 401 && len(a.header["Www-Authenticate"]) == 0 {
				t.Error("401 without WWW-Authenticate")
			}
		})
	}
}

func TestLoopbackWithoutTokenSaysHow(t *testing.T) {
	r := start(t, newFake(5), nil)
	a := r.ask(t, doorLoopback, "GET", "/v1/sessions")
	if a.code(t) != "token_required" || !strings.Contains(a.body, "http_token_file") || !strings.Contains(a.body, "socket") {
		t.Errorf("got %s", a.body)
	}
}

func TestHostsAndOrigins(t *testing.T) {
	r := start(t, newFake(5), func(o *Options) { o.Process.Name, o.Hosts = "edge-1", []string{"Status.Example"} })
	at := r.HTTPAddr().String()
	cases := []struct {
		name    string
		target  string
		headers []string
		want    int
	}{
		{"its address", "/v1/status", []string{"Host: " + at}, 200},
		{"localhost", "/v1/status", []string{"Host: localhost:8404"}, 200},
		{"localhost by a forwarded port", "/v1/status", []string{"Host: localhost:1"}, 200},
		{"loopback of the other family", "/v1/status", []string{"Host: [::1]:8404"}, 200},
		{"its name", "/v1/status", []string{"Host: EDGE-1."}, 200},
		{"a configured name", "/v1/status", []string{"Host: status.example"}, 200},
		{"a name that was made to lead here", "/v1/status", []string{"Host: evil.example"}, 403},
		{"the same, for metrics", "/metrics", []string{"Host: evil.example:8404"}, 403},
		{"a name that begins as ours", "/v1/status", []string{"Host: localhost.evil.example"}, 403},
		{"an address that is not ours", "/v1/status", []string{"Host: 192.0.2.1"}, 403},
		{"our own page", "/v1/status", []string{"Origin: http://" + at, "Sec-Fetch-Site: same-origin"}, 200},
		{"typed by hand", "/", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"}, 200},
		{"another origin", "/v1/status", []string{"Origin: http://evil.example"}, 403},
		{"another port of this host", "/v1/status", []string{"Origin: http://127.0.0.1:1"}, 403},
		{"an opaque origin", "/v1/status", []string{"Origin: null"}, 403},
		{"another site", "/v1/status", []string{"Sec-Fetch-Site: cross-site"}, 403},
		{"another port, by fetch metadata", "/metrics", []string{"Sec-Fetch-Site: same-site"}, 403},
		{"a link to the page", "/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 200},
		{"a frame of the page", "/", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"}, 403},
		{"a link to the API", "/v1/status", []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"}, 403},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := r.ask(t, doorLoopback, "GET", c.target, c.headers...)
			if a.status != c.want {
				t.Errorf("got %d %s, want %d", a.status, a.code(t), c.want)
			}
			for name := range a.header {
				if strings.HasPrefix(name, "Access-Control-") {
					t.Errorf("CORS header %s", name)
				}
			}
			if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("X-Frame-Options") != "DENY" || a.header.Get("Content-Security-Policy") == "" {
				t.Errorf("security headers are missing: %v", a.header)
			}
		})
	}
}

// A forwarded socket (ssh -L) must not serve pages of other sites either.
func TestHostsAndOriginsAtTheSocket(t *testing.T) {
	r := start(t, newFake(5), nil)
	for _, c := range []struct {
		name, header, code string
	}{
		{"a made-up name", "Host: admin", ""},
		{"a forwarded port", "Host: localhost:9000", ""},
		{"a name that was made to lead here", "Host: evil.example", "unknown_host"},
		{"another origin", "Origin: http://evil.example", "cross_site"},
		{"another site", "Sec-Fetch-Site: cross-site", "cross_site"},
	} {
		if a := r.ask(t, doorSocket, "GET", "/v1/status", c.header); a.code(t) != c.code {
			t.Errorf("%s: got %d %q, want %q", c.name, a.status, a.code(t), c.code)
		}
	}
}

func TestHostOfAListenerForAllAddresses(t *testing.T) {
	s := &Server{names: hostNames(Options{})}
	d := &door{kind: doorRemote, address: netip.MustParseAddrPort("0.0.0.0:8404")}
	for host, want := range map[string]bool{"192.0.2.1:8404": true, "[2001:db8::1]": true, "": true, "evil.example": false} {
		if got := s.knownHost(d, host); got != want {
			t.Errorf("knownHost(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestBodyOverTCP(t *testing.T) {
	r := start(t, newFake(5), nil)
	resp, err := http.DefaultClient.Do(mustRequest(t, "GET", "http://"+r.HTTPAddr().String()+"/v1/status", strings.NewReader("x")))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("got %d, want 400", resp.StatusCode)
	}
}
