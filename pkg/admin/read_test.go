package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/pkg/balancer"
)

func TestShapes(t *testing.T) {
	f := newFake(5)
	r := start(t, f, nil)
	decode := func(target string, into any) {
		t.Helper()
		dec := json.NewDecoder(strings.NewReader(r.ask(t, doorSocket, "GET", target).body))
		dec.DisallowUnknownFields()
		must(t, dec.Decode(into))
	}
	var st balancer.Status
	decode("/v1/status", &st)
	if diff := cmp.Diff(f.status, st); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
	var frontends struct{ Frontends []balancer.FrontendStatus }
	decode("/v1/frontends", &frontends)
	if diff := cmp.Diff(f.frontends, frontends.Frontends); diff != "" {
		t.Errorf("frontends (-want +got):\n%s", diff)
	}
	var pools struct{ Pools []balancer.PoolStatus }
	decode("/v1/pools", &pools)
	if diff := cmp.Diff(f.pools, pools.Pools); diff != "" {
		t.Errorf("pools (-want +got):\n%s", diff)
	}
	var workers struct{ Workers []balancer.WorkerStatus }
	decode("/v1/workers", &workers)
	if diff := cmp.Diff(f.workers, workers.Workers); diff != "" {
		t.Errorf("workers (-want +got):\n%s", diff)
	}
	var page balancer.SessionPage
	decode("/v1/sessions", &page)
	if len(page.Sessions) != 1 || page.Matched != 1 {
		t.Errorf("sessions: got %+v", page)
	}
	var e balancer.Explanation
	decode("/v1/explain?frontend=chat&client=192.0.2.7:1", &e)
	if e.Frontend != "chat" || e.Client != "192.0.2.7:1" || e.Backend != "b1" {
		t.Errorf("explain: got %+v", e)
	}
}

func TestNothingIsAnEmptyList(t *testing.T) {
	r := start(t, &fake{}, nil)
	for target, want := range map[string]string{
		"/v1/frontends": `{"frontends":[]}`, "/v1/pools": `{"pools":[]}`, "/v1/workers": `{"workers":[]}`, "/v1/status": `"limits":[]`,
	} {
		if a := r.ask(t, doorSocket, "GET", target); !strings.Contains(a.body, want) {
			t.Errorf("%s: got %s, want %s", target, a.body, want)
		}
	}
}

func TestSessionQueries(t *testing.T) {
	f := newFake(1)
	r := start(t, f, nil)
	a := r.ask(t, doorSocket, "GET", "/v1/sessions?frontend=chat&backend=chat/b1&client=192.0.2.0/24&sort=age&limit=10000&cursor=x")
	want := balancer.SessionQuery{Frontend: "chat", Backend: "chat/b1", Client: "192.0.2.0/24", Sort: "age", Limit: 10000, Cursor: "x"}
	if a.status != http.StatusOK || f.asked != want {
		t.Errorf("got %d and asked for %+v, want %+v", a.status, f.asked, want)
	}
	for _, bad := range []string{"limit=0", "limit=10001", "limit=x", "limit=-1", "fronted=chat"} {
		if a := r.ask(t, doorSocket, "GET", "/v1/sessions?"+bad); a.status != http.StatusBadRequest || a.code(t) != "bad_query" {
			t.Errorf("%s: got %d %s, want 400 bad_query", bad, a.status, a.body)
		}
	}
}

func TestErrorsOfTheBalancer(t *testing.T) {
	f := newFake(1)
	r := start(t, f, nil)
	cases := []struct {
		err    error
		status int
		code   string
	}{
		{fmt.Errorf("sort %q: %w", "colour", balancer.ErrBadQuery), 400, "bad_query"},
		{fmt.Errorf("frontend %q: %w", "x", balancer.ErrNotFound), 404, "not_found"},
		{errors.New("a worker is stuck"), 500, "internal"},
	}
	for _, c := range cases {
		f.mu.Lock()
		f.err = c.err
		f.mu.Unlock()
		for _, target := range []string{"/v1/sessions", "/v1/explain?frontend=x&client=192.0.2.7:1"} {
			a := r.ask(t, doorSocket, "GET", target)
			if a.status != c.status || a.code(t) != c.code || !strings.Contains(a.body, strings.SplitN(c.err.Error(), " ", 2)[0]) {
				t.Errorf("%s with %v: got %d %s, want %d %s", target, c.err, a.status, a.body, c.status, c.code)
			}
		}
	}
	if a := r.ask(t, doorSocket, "GET", "/v1/explain?frontend=chat"); a.code(t) != "bad_query" {
		t.Errorf("explain without a client: got %s", a.body)
	}
}

func TestNotSupportedYet(t *testing.T) {
	r := start(t, newFake(1), nil)
	if a := r.ask(t, doorSocket, "POST", "/v1/reload"); a.code(t) != "not_supported_yet" {
		t.Errorf("got %s", a.body)
	}
	if a := r.ask(t, doorSocket, "GET", "/v1/reload"); a.code(t) != "method_not_allowed" || a.header.Get("Allow") != "POST" {
		t.Errorf("got %s, Allow %q", a.body, a.header.Get("Allow"))
	}
}

func TestReadiness(t *testing.T) {
	cases := []struct {
		name, target string
		change       func(*fake)
		status       int
		says         string
	}{
		{"ready", "/readyz", func(*fake) {}, 200, `"healthy":2,"backends":5`},
		{"the first checks are not over", "/readyz", func(f *fake) { f.status.Ready, f.status.NotReady = false, "first checks" }, 503, "first checks"},
		{"draining", "/readyz", func(f *fake) { f.status.Draining = true }, 503, "draining"},
		{"no healthy backend, not strict", "/readyz", allUnhealthy, 200, `"healthy":0`},
		{"strict", "/readyz?frontend=chat", func(*fake) {}, 200, `"ready":true`},
		{"strict without a healthy backend", "/readyz?frontend=chat", allUnhealthy, 503, "pool chat has no healthy backend"},
		{"strict, the only healthy one removed", "/readyz?frontend=chat", func(f *fake) {
			allUnhealthy(f)
			f.pools[0].Backends[0].State, f.pools[0].Backends[0].Removed = "healthy", true
		}, 503, "no healthy backend"},
		{"strict while draining the frontend", "/readyz?frontend=chat", func(f *fake) { f.frontends[0].Draining = true }, 503, "frontend chat is draining"},
		{"strict for a frontend that is not there", "/readyz?frontend=x", func(*fake) {}, 404, "no frontend x"},
		{"misspelt", "/readyz?fronted=chat", func(*fake) {}, 400, "fronted"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(5)
			c.change(f)
			a := start(t, f, nil).ask(t, doorLoopback, "GET", c.target)
			if a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("got %d %s, want %d and %q", a.status, a.body, c.status, c.says)
			}
		})
	}
}

func allUnhealthy(f *fake) {
	for i := range f.pools[0].Backends {
		f.pools[0].Backends[i].State = "unhealthy"
	}
}

func TestEventStream(t *testing.T) {
	f := newFake(1)
	r := start(t, f, nil)
	resp := r.open(t, doorSocket, "GET", "/v1/events")
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	f.emitted <- f.recent[2] // between Subscribe and Recent: it was sent already
	late := balancer.Event{Time: began.Add(time.Hour), Name: "panic_on", Level: "error", Subject: "chat", Message: "line one\nline two"}
	f.emitted <- late
	events := readEvents(t, resp.Body, 4)
	var names []string
	for _, e := range events {
		names = append(names, e.name)
	}
	if diff := cmp.Diff([]string{"started", "backend_unhealthy", "admin_action", "panic_on"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	var got balancer.Event
	must(t, json.Unmarshal([]byte(events[3].data), &got))
	if diff := cmp.Diff(late, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestEventStreamOutlivesReadTimeout(t *testing.T) {
	f := newFake(1)
	r := start(t, f, func(o *Options) { // as if a long time passed
		o.adjust = func(d *door) { d.server.ReadTimeout, d.server.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond }
	})
	resp := r.open(t, doorSocket, "GET", "/v1/events")
	defer resp.Body.Close()
	time.Sleep(200 * time.Millisecond)
	f.emitted <- balancer.Event{Time: began.Add(time.Hour), Name: "late"}
	if events := readEvents(t, resp.Body, 4); events[3].name != "late" {
		t.Errorf("got %v", events)
	}
}

func TestCloseEndsStreams(t *testing.T) {
	r := start(t, newFake(1), nil) // its clean-up fails if Close takes too long
	for _, target := range []string{"/v1/live", "/v1/events"} {
		resp := r.open(t, doorSocket, "GET", target)
		t.Cleanup(func() { resp.Body.Close() })
	}
}

func TestLiveStream(t *testing.T) {
	f := newFake(120)
	r := start(t, f, withToken(t))
	open := func(headers ...string) (history []point, t1 tick) {
		resp := r.open(t, doorLoopback, "GET", "/v1/live?find=B1&page=99", headers...)
		defer resp.Body.Close()
		events := readEvents(t, resp.Body, 2)
		if events[0].name != "history" || events[1].name != "tick" {
			t.Fatalf("got %v", events)
		}
		must(t, json.Unmarshal([]byte(events[0].data), &history))
		must(t, json.Unmarshal([]byte(events[1].data), &t1))
		return history, t1
	}
	_, got := open()
	if b := got.Backends; b.Total != 120 || b.Matched != 32 || b.Pages != 1 || b.Page != 0 || len(b.Rows) != 32 {
		t.Errorf("backends that match b1: got total %d, matched %d, page %d of %d, %d rows", b.Total, b.Matched, b.Page, b.Pages, len(b.Rows))
	}
	if got.Ended["client_fin"] != 71204 || got.Refused["rate"] != 17 || got.Pools[0].States["healthy"] != 117 {
		t.Errorf("got %+v", got)
	}
	if len(got.Events) != 2 || got.Events[0].Name != "backend_unhealthy" || got.Events[0].Fields != nil {
		t.Errorf("without the token: events are %+v, want the two public ones without fields", got.Events)
	}
	if _, got := open("Authorization: Bearer " + testToken); len(got.Events) != 3 {
		t.Errorf("with the token: events are %+v, want all", got.Events)
	}
}

func TestLiveRates(t *testing.T) {
	f := newFake(1)
	l := newLive(f)
	at := began
	l.turn(at)
	for range historyOf + 5 {
		at = at.Add(2 * time.Second)
		f.step()
		l.turn(at)
	}
	history, _ := l.join()
	if len(history) != historyOf {
		t.Errorf("%d points are kept, want %d", len(history), historyOf)
	}
	last := history[len(history)-1]
	want := point{unixSeconds(at), float64(f.frontends[0].Active), 60, 50, 0, 1.5e6, 2.05e7}
	if diff := cmp.Diff(want, last); diff != "" {
		t.Errorf("last point (-want +got):\n%s", diff)
	}
	f.frontends = nil // a frontend whose series went: no negative rates
	l.turn(at.Add(time.Second))
	history, _ = l.join()
	if diff := cmp.Diff(point{unixSeconds(at) + 1}, history[len(history)-1]); diff != "" {
		t.Errorf("after a frontend went (-want +got):\n%s", diff)
	}
}
