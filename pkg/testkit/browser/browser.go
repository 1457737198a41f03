// Package browser lets tests look at a page in a real browser: headless Chromium. One goroutine, that of the test, uses it.
package browser

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// Browser is a headless Chromium, spoken to by the DevTools protocol.
type Browser struct {
	// Faults are console errors and warnings, uncaught exceptions and refused resources of all tabs; Requests the addresses
	// of everything that was asked for.
	Faults, Requests []string

	t    testing.TB
	conn *websocket.Conn
	ctx  context.Context
	id   int
}

// Open starts Chromium with a profile of its own; it ends with the test, which skips where there is none.
func Open(t testing.TB) *Browser {
	t.Helper()
	program := testkit.NeedProgram(t, "chromium")
	profile := t.TempDir()
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0", "--user-data-dir="+profile, "about:blank")
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	b := &Browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		if b.conn != nil {
			_ = b.conn.Write(ctx, websocket.MessageText, []byte(`{"id":0,"method":"Browser.close"}`)) // lets its children end too
			_ = b.conn.CloseNow()
		}
		cancel()
		ended := make(chan struct{})
		go func() { defer close(ended); _ = cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
	})
	b.attach(profile)
	return b
}

// attach connects to the browser, which writes its address into its profile.
func (b *Browser) attach(profile string) {
	b.t.Helper()
	var lines []string
	for len(lines) < 2 {
		if b.ctx.Err() != nil {
			b.t.Fatal("chromium did not open its debugging port")
		}
		time.Sleep(20 * time.Millisecond)
		text, _ := os.ReadFile(filepath.Join(profile, "DevToolsActivePort"))
		lines = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	conn, _, err := websocket.Dial(b.ctx, "ws://127.0.0.1:"+lines[0]+lines[1], nil)
	if err != nil {
		b.t.Fatalf("connect to chromium: %v", err)
	}
	conn.SetReadLimit(64 << 20)
	b.conn = conn
}

// note keeps what an event tells of faults and requests.
func (b *Browser) note(r reply) {
	var p struct {
		Type    string
		Entry   struct{ Level, Text string }
		Request struct{ URL string }
	}
	_ = json.Unmarshal(r.Params, &p)
	switch r.Method {
	case "Runtime.exceptionThrown":
		b.Faults = append(b.Faults, string(r.Params))
	case "Runtime.consoleAPICalled":
		if p.Type == "error" || p.Type == "warning" || p.Type == "assert" {
			b.Faults = append(b.Faults, string(r.Params))
		}
	case "Log.entryAdded":
		if p.Entry.Level == "error" || p.Entry.Level == "warning" {
			b.Faults = append(b.Faults, p.Entry.Text)
		}
	case "Network.requestWillBeSent":
		b.Requests = append(b.Requests, p.Request.URL)
	}
}
