package balancer

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// logLine is a line of the access log, as the contract has it.
type logLine struct {
	Time, ID, Frontend, Pool, Backend, Client, Listen, Source string
	BackendAddr                                               string `json:"backend_addr"`
	Began                                                     string
	DurationS                                                 float64 `json:"duration_s"`
	ConnectS                                                  float64 `json:"connect_s"`
	ToBackendBytes                                            uint64  `json:"to_backend_bytes"`
	ToClientBytes                                             uint64  `json:"to_client_bytes"`
	Mode, Reason, Errno                                       string
	Retries, Worker                                           int
	Node                                                      string
}

// readLog reads the lines of an access log; each must have all fields and no others.
func readLog(t *testing.T, path string) (all []logLine) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		var l logLine
		d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			t.Fatalf("line %q: %v", lines.Text(), err)
		}
		all = append(all, l)
	}
	return all
}

// logOf waits until a log has n lines.
func logOf(t *testing.T, path string, n int) []logLine {
	t.Helper()
	eventually(t, "lines in "+path, func() bool { return len(readLog(t, path)) >= n })
	return readLog(t, path)
}

func TestAccessLogOfAllKindsOfSessions(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "access.log")
	resetting, err := net.Listen("tcp", "127.0.0.1:0") // reads a byte and resets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resetting.Close() })
	go func() {
		for {
			c, err := resetting.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 1))
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	s := setup{
		process: "name = \"edge-7\"\naccess_log = \"" + path + "\"", frontend: `pool = "chat"`, health: `type = "none"`,
		pool: `connect_retries = 0`, backends: []string{echoBackend(t).Addr().String()},
	}
	s.frontend = ""
	text := s.text(t)
	other := func(name, backend string) string {
		at := setup{backends: []string{backend}, health: `type = "none"`, pool: "connect_retries = 1"}
		part := strings.ReplaceAll(at.text(t), `"chat"`, `"`+name+`"`)
		return part[strings.Index(part, "[[frontend]]"):]
	}
	resets, dead := other("resets", resetting.Addr().String()), other("dead", deadAddress(t))
	b := start(t, "%s", text+resets+dead)
	at := func(frontend string) string {
		for _, f := range b.Frontends() {
			if f.Name == frontend {
				return f.Listen[0]
			}
		}
		return ""
	}

	c := sessions(t, at("chat"), 1)[0]
	live := ask(t, b, SessionQuery{}).Sessions[0]
	c.Close()
	r := dial(t, at("resets"))
	r.Write([]byte("x"))
	awaitReset(t, r)
	d, err := net.Dial("tcp", at("dead"))
	if d != nil {
		_, err = d.Read(make([]byte, 1))
		d.Close()
	}
	if !errors.Is(err, sys.ECONNRESET) {
		t.Errorf("with a dead backend: %v", err)
	}
	k := sessions(t, at("chat"), 1)[0]
	logOf(t, path, 3)
	b.Shutdown(context.Background()) // and the last line is written all the same

	by := map[string]logLine{}
	all := readLog(t, path)
	ids := map[string]bool{}
	for _, l := range all {
		by[l.Reason] = l
		ids[l.ID] = true
		if l.Node != "edge-7" || l.Time < l.Began || len(l.ID) != 16 || l.DurationS < 0 || l.Mode != "copy" || l.Worker < 0 || l.Worker > 1 || l.Pool != l.Frontend {
			t.Errorf("line %+v", l)
		}
	}
	if len(all) != 4 || len(ids) != 4 || len(by) != 4 {
		t.Fatalf("%d lines with %d ids, want four sessions of four kinds: %+v", len(all), len(ids), all)
	}
	fin := by["client_fin"]
	if fin.ID != live.ID || fin.Client != c.LocalAddr().String() || fin.Listen != at("chat") || fin.Source != live.Source || fin.Backend != "b0" ||
		fin.BackendAddr != s.backends[0] || fin.ToBackendBytes != 1 || fin.ToClientBytes != 1 || fin.ConnectS <= 0 || fin.Errno != "" {
		t.Errorf("an end by FIN: %+v; it was listed as %+v", fin, live)
	}
	reset := by["backend_reset"]
	if reset.Client != r.LocalAddr().String() || reset.Errno != "ECONNRESET" || reset.ToBackendBytes != 1 || reset.ToClientBytes != 0 || reset.Backend != "b0" {
		t.Errorf("a reset by the backend: %+v", reset)
	}
	if host, _, err := net.SplitHostPort(reset.Source); err != nil || host != "127.0.0.1" {
		t.Errorf("a reset by the backend has the source %q", reset.Source)
	}
	refused := by["connect_refused"]
	if refused.Frontend != "dead" || refused.Errno != "ECONNREFUSED" || refused.Retries != 1 || refused.ConnectS != 0 || refused.Source != "" {
		t.Errorf("a backend that is dead: %+v", refused)
	}
	if down := by["shutdown"]; down.Client != k.LocalAddr().String() || down.ToClientBytes != 1 {
		t.Errorf("the end of the process: %+v", down)
	}
}

// With access_log_start there are two lines a session, the first without a reason.
func TestAccessLogOfBeginnings(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "access.log")
	s := setup{process: "access_log = \"" + path + "\"\naccess_log_start = true"}
	b := s.start(t)
	conns := sessions(t, s.at, 5)
	begun := logOf(t, path, 5)
	for _, l := range begun {
		if l.Reason != "" || l.ToBackendBytes != 0 || l.Client == "" || l.Listen != s.at {
			t.Errorf("a beginning: %+v", l)
		}
	}
	for _, c := range conns {
		c.Close()
	}
	pairs := map[string]int{}
	for _, l := range logOf(t, path, 10) {
		pairs[l.ID]++
	}
	for id, n := range pairs {
		if n != 2 {
			t.Errorf("session %s has %d lines", id, n)
		}
	}
	if len(pairs) != 5 {
		t.Errorf("%d sessions are logged", len(pairs))
	}
	_ = b
}

// After a log was moved away and opened again, no line is lost and none is in both.
func TestAccessLogIsOpenedAgain(t *testing.T) {
	testkit.LeakCheck(t)
	path := filepath.Join(t.TempDir(), "access.log")
	s := setup{process: "access_log = \"" + path + "\""}
	b := s.start(t)
	for _, c := range sessions(t, s.at, 20) {
		c.Close()
	}
	logOf(t, path, 20)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	for _, c := range sessions(t, s.at, 10) { // still to the file that was moved, or to the new one
		c.Close()
	}
	if err := b.ReopenAccessLog(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new file", func() bool { _, err := os.Stat(path); return err == nil })
	for _, c := range sessions(t, s.at, 20) {
		c.Close()
	}
	eventually(t, "all ends", func() bool { return b.Frontends()[0].Ended["client_fin"] == 50 })
	b.Shutdown(context.Background())
	before, after := readLog(t, path+".1"), readLog(t, path)
	ids := map[string]bool{}
	for _, l := range append(before, after...) {
		ids[l.ID] = true
	}
	if len(before) < 20 || len(after) < 20 || len(before)+len(after) != 50 || len(ids) != 50 {
		t.Errorf("%d lines before and %d after, %d sessions; want 50 in all", len(before), len(after), len(ids))
	}
	if err := b.ReopenAccessLog(); err != nil {
		t.Errorf("open the log of a balancer that has stopped: %v", err)
	}
}

func TestAccessLogToStdout(t *testing.T) {
	testkit.LeakCheck(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := setup{process: `access_log = "stdout"`, backends: []string{echoBackend(t).Addr().String()}}
	c, _, err := config.Parse("test.toml", []byte(s.text(t)), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(context.Background(), Options{Config: c, Stdout: w})
	if err != nil {
		t.Fatal(err)
	}
	sessions(t, s.at, 1)[0].Close()
	eventually(t, "the end", func() bool { return b.Frontends()[0].Ended["client_fin"] == 1 })
	if err := b.ReopenAccessLog(); err != nil {
		t.Errorf("open standard output again: %v", err)
	}
	b.Shutdown(context.Background())
	if _, err := w.Write(nil); err != nil {
		t.Errorf("standard output was closed: %v", err)
	}
	w.Close()
	text, _ := io.ReadAll(r)
	if n := strings.Count(string(text), `"reason":"client_fin"`); n != 1 || strings.Count(string(text), "\n") != 1 {
		t.Errorf("written: %q", text)
	}
}
