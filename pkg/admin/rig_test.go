package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

const testToken = "0123456789abcdef0123456789abcdef"

// rig is a server over a fake, with a client for each of its doors.
type rig struct {
	*Server
	fake   *fake
	socket string
	client *http.Client // of the socket
}

func httpAddress(text string) config.Address {
	return config.Address{Network: config.TCP4, AddrPort: netip.MustParseAddrPort(text)}
}

// start serves f and looks for leaks at the end of the test; for tests with one rig.
func start(t *testing.T, f *fake, change func(*Options)) *rig {
	t.Helper()
	testkit.LeakCheck(t)
	return serve(t, f, change)
}

// serve serves f until the end of the test; change, if not nil, edits the options first.
func serve(t *testing.T, f *fake, change func(*Options)) *rig {
	t.Helper()
	o := Options{Process: config.Process{Admin: filepath.Join(t.TempDir(), "run", "admin.sock"), HTTP: httpAddress("127.0.0.1:0")}}
	o.OnError = func(err error) { t.Logf("server says: %v", err) }
	if change != nil {
		change(&o)
	}
	s, err := Start(f, o)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	r := &rig{Server: s, fake: f, socket: o.Process.Admin, client: socketClient(o.Process.Admin)}
	t.Cleanup(func() {
		r.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func socketClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
}

func withToken(t *testing.T) func(*Options) {
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(testToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(o *Options) { o.Process.HTTPTokenFile = path }
}

// answer is what came back: the body is read, the connection closed.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to a door, with headers as "Name: value".
func (r *rig) ask(t *testing.T, kind doorKind, method, target string, headers ...string) answer {
	t.Helper()
	resp := r.open(t, kind, method, target, headers...)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: read: %v", method, target, err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

// open is ask for streams: the caller reads and closes.
func (r *rig) open(t *testing.T, kind doorKind, method, target string, headers ...string) *http.Response {
	t.Helper()
	client, base := r.client, "http://longsplice"
	if kind != doorSocket {
		client, base = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+r.HTTPAddr().String()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, base+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		} else {
			req.Header.Set(name, value)
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	return resp
}

// code is the code of an error answer, "" if it is none; the whole shape is checked.
func (a answer) code(t *testing.T) string {
	t.Helper()
	if a.status < 400 {
		return ""
	}
	var body struct {
		Error *struct {
			Code    string   `json:"code"`
			Message string   `json:"message"`
			Details []string `json:"details"`
		} `json:"error"`
	}
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil || body.Error == nil || body.Error.Message == "" || body.Error.Details == nil {
		t.Fatalf("error answer %q has not the shape of the contract: %v", a.body, err)
	}
	return body.Error.Code
}

// sse is one server-sent event.
type sse struct{ name, data string }

// readEvents reads n events from a stream.
func readEvents(t *testing.T, body io.Reader, n int) []sse {
	t.Helper()
	var all []sse
	var now sse
	lines := bufio.NewReader(body)
	for len(all) < n {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("stream ended after %d of %d events: %v", len(all), n, err)
		}
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "" && now.name != "":
			all, now = append(all, now), sse{}
		case strings.HasPrefix(line, "event: "):
			now.name = line[7:]
		case strings.HasPrefix(line, "data: "):
			now.data = line[6:]
		}
	}
	return all
}

func mustRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
