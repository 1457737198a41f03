package admin

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// unserved is a server without sockets, and a door at which nobody listens.
func unserved(kind doorKind, listen, token string) (*Server, *door) {
	s := &Server{view: newFake(3), token: []byte(token), names: map[string]bool{"localhost": true, "edge-1": true}, onError: func(error) {}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.live, s.metrics = newLive(s.view), newMetricsHandler(s.view)
	s.started.Store(true)
	return s, &door{kind: kind, group: noGroup, address: netip.MustParseAddrPort(listen), streams: make(chan struct{}, maxStreams)}
}

// FuzzHost: what a Host header may say over TCP is an address of ours or a name of ours; anything else could be a name
// that somebody made resolve to us.
func FuzzHost(f *testing.F) {
	for _, h := range []string{
		"", "localhost", "LOCALHOST.:8404", "edge-1", "127.0.0.1", "127.9.9.9:1", "[::1]:8404", "192.0.2.1:8404", "192.0.2.2", "evil.example", "127.0.0.1.evil.example",
		"[192.0.2.1]", "localhost:80:80", "[localhost]", "0x7f.1", "::1", "[::1%lo]", "[::ffff:127.0.0.1]", "@localhost", "localhost/", "localhost..", ".localhost", "[[::1]]",
	} {
		f.Add(h)
	}
	s, d := unserved(doorRemote, "192.0.2.1:8404", testToken)
	f.Fuzz(func(t *testing.T, host string) {
		u, err := url.Parse("http://" + host + "/")
		if err != nil || u.Host != host || host == "" || !s.knownHost(d, host) {
			return // a browser cannot send it, or it is refused
		}
		name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
		ip, err := netip.ParseAddr(name)
		if isOurs := err == nil && (ip.IsLoopback() || ip == d.address.Addr()); !isOurs && !s.names[name] {
			t.Fatalf("%q is taken for ours; it names %q", host, name)
		}
	})
}

// FuzzQuery: a query of sessions is refused or says exactly what was asked for.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{
		"", "frontend=chat&backend=chat/b1&client=192.0.2.0/24&sort=age&limit=10", "limit=0", "limit=10001", "limit=+5", "limit=1&limit=2", "limitt=1", "cursor=aWQ6MTA",
		"limit=", "limit=9999999999999999999999", "frontend=%00&x", "a=%zz", "sort=id;limit=3", "limit=0x10", "limit=1_0", "frontend=a&frontend=b",
	} {
		f.Add(q)
	}
	known := []string{"frontend", "backend", "client", "sort", "limit", "cursor"}
	f.Fuzz(func(t *testing.T, raw string) {
		v, err := url.ParseQuery(raw)
		if err != nil {
			v = (&url.URL{RawQuery: raw}).Query() // as net/http has it
		}
		q, p := sessionQuery(v)
		if p != nil {
			if p.status != http.StatusBadRequest || p.message == "" {
				t.Fatalf("%q: %+v", raw, p)
			}
			return
		}
		want := balancer.SessionQuery{
			Frontend: v.Get("frontend"), Backend: v.Get("backend"), Client: v.Get("client"), Sort: v.Get("sort"), Cursor: v.Get("cursor"), Limit: q.Limit,
		}
		if q != want || q.Limit < 0 || q.Limit > maxSessions || v.Has("limit") != (q.Limit > 0) {
			t.Fatalf("%q: %+v", raw, q)
		}
		for key := range v {
			if !slices.Contains(known, key) {
				t.Fatalf("%q: %q is passed over", raw, key)
			}
		}
		if want, p := rowsWanted(url.Values{"find": v["frontend"], "page": v["limit"]}); p == nil && (want.page < 0 || want.page > 1<<20) {
			t.Fatalf("%+v", want)
		}
	})
}

// FuzzRequest sends any request to both TCP doors: nothing is changed there, what shows client addresses is for the token
// alone, pages of other sites read nothing, and every refusal has the shape of the contract.
func FuzzRequest(f *testing.F) {
	head := "Host: localhost\r\n"
	for _, r := range []string{
		"GET / HTTP/1.1\r\n" + head, "GET /v1/sessions?limit=3 HTTP/1.1\r\n" + head, "GET /v1/sessions HTTP/1.1\r\n" + head + "Authorization: Bearer " + testToken + "\r\n",
		"POST /v1/drain HTTP/1.1\r\n" + head, "DELETE /v1/sessions/00ff HTTP/1.1\r\n" + head, "GET //v1/../v1/sessions HTTP/1.1\r\n" + head, "GET /debug/pprof/ HTTP/1.1\r\n" + head,
		"GET /v1/explain?frontend=chat&client=192.0.2.7:1 HTTP/1.1\r\n" + head + "Authorization: Basic eDp5\r\n", "GET /metrics HTTP/1.0\r\n", "HEAD /readyz?frontend=chat HTTP/1.1\r\n" + head,
		"GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n", "GET /v1/status HTTP/1.1\r\n" + head + "Origin: http://evil.example\r\n", "GET http://evil.example/v1/pools HTTP/1.1\r\n" + head,
		"GET /v1/pools HTTP/1.1\r\n" + head + "Sec-Fetch-Site: cross-site\r\n", "OPTIONS * HTTP/1.1\r\n" + head, "CONNECT localhost:1 HTTP/1.1\r\n" + head, "GET /v1%2fsessions HTTP/1.1\r\n" + head,
		"GET /healthz HTTP/1.1\r\n" + head + "Content-Length: 1\r\n\r\nx", "PUT /v1/pools/chat/backends/b1 HTTP/1.1\r\n" + head + "Transfer-Encoding: chunked\r\n",
	} {
		f.Add([]byte(r + "\r\n"))
	}
	s, loopback := unserved(doorLoopback, "127.0.0.1:8404", testToken)
	_, remote := unserved(doorRemote, "192.0.2.1:8404", testToken)
	handlers := map[doorKind]http.Handler{doorLoopback: s.enter(loopback), doorRemote: s.enter(remote)}
	gone, cancel := context.WithCancel(context.Background())
	cancel() // streams end at once
	f.Fuzz(func(t *testing.T, raw []byte) {
		for kind, h := range handlers {
			r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
			if err != nil {
				return
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r.WithContext(gone))
			checkReply(t, kind, r, w)
		}
	})
}

func checkReply(t *testing.T, kind doorKind, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	path := r.URL.Path
	carries := strings.HasSuffix(r.Header.Get("Authorization"), testToken) || strings.HasPrefix(strings.ToLower(r.Header.Get("Authorization")), "basic ")
	refused := w.Code >= 300
	switch {
	case w.Code >= 500 && w.Code != http.StatusServiceUnavailable:
		t.Fatalf("%s %s: %d %s", r.Method, r.URL, w.Code, w.Body)
	case refused:
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		t.Fatalf("%s %s is answered over TCP", r.Method, path)
	case strings.HasPrefix(path, "/debug"), !carries && (strings.HasPrefix(path, "/v1/sessions") || strings.HasPrefix(path, "/v1/events") || strings.HasPrefix(path, "/v1/explain")):
		t.Fatalf("%s is shown to anybody at door %d", path, kind)
	case !carries && kind == doorRemote && path != "/healthz" && path != "/readyz" && path != "/metrics":
		t.Fatalf("%s is shown beyond loopback", path)
	case r.Header.Get("Origin") == "http://evil.example", r.Header.Get("Sec-Fetch-Site") == "cross-site" && path != "/":
		t.Fatalf("%s is shown to another site's page", path)
	}
	if bytes.Contains(w.Body.Bytes(), []byte(`"code":"starting"`)) {
		t.Fatal("the server does not say that it has started: nothing is tested")
	}
	if w.Code >= 400 && w.Code != http.StatusServiceUnavailable {
		var body struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Code == "" || body.Error.Message == "" {
			t.Fatalf("%s %s: %d without the shape of an error: %s", r.Method, r.URL, w.Code, w.Body)
		}
	}
	if w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Fatalf("%s: headers %v", path, w.Header())
	}
}
