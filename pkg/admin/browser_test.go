package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// browser is a headless Chromium with one page, spoken to by the DevTools protocol.
type browser struct {
	t      *testing.T
	conn   *websocket.Conn
	ctx    context.Context
	id     int
	faults []string // console errors, uncaught exceptions, refused resources
}

// openBrowser starts Chromium with a profile of its own and attaches to its page.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	program := testkit.NeedProgram(t, "chromium")
	profile := t.TempDir()
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--remote-debugging-port=0", "--user-data-dir="+profile, "about:blank")
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		if b.conn != nil {
			_ = b.conn.Write(ctx, websocket.MessageText, []byte(`{"id":0,"method":"Browser.close"}`)) // lets its children end too
			_ = b.conn.CloseNow()
		}
		cancel()
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
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

// attach connects to the browser, whose address it writes into its profile, and to its first page.
func (b *browser) attach(profile string) {
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

// tab is one page.
type tab struct {
	*browser
	session string
}

// newTab opens a tab as wide and high as said, with the colours of scheme (light or dark).
func (b *browser) newTab(width, height int, scheme string) *tab {
	b.t.Helper()
	t := &tab{browser: b}
	var target struct{ TargetID string }
	t.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	t.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	t.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log"} {
		t.call(domain+".enable", nil, nil)
	}
	t.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	t.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	return t
}

type reply struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// call asks for method and waits for its answer; events that come meanwhile are looked through for faults.
func (p *tab) call(method string, params, result any) {
	p.t.Helper()
	p.id++
	message := map[string]any{"id": p.id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if p.session != "" {
		message["sessionId"] = p.session
	}
	text, _ := json.Marshal(message)
	if err := p.conn.Write(p.ctx, websocket.MessageText, text); err != nil {
		p.t.Fatalf("%s: %v", method, err)
	}
	for {
		_, text, err := p.conn.Read(p.ctx)
		if err != nil {
			p.t.Fatalf("%s: %v", method, err)
		}
		var r reply
		if err := json.Unmarshal(text, &r); err != nil {
			p.t.Fatalf("%s: %v", method, err)
		}
		if r.ID != p.id {
			p.note(r)
			continue
		}
		if r.Error != nil {
			p.t.Fatalf("%s: %s", method, r.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(r.Result, result); err != nil {
				p.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

func (b *browser) note(r reply) {
	switch r.Method {
	case "Runtime.exceptionThrown":
		b.faults = append(b.faults, string(r.Params))
	case "Runtime.consoleAPICalled":
		var p struct{ Type string }
		if json.Unmarshal(r.Params, &p); p.Type == "error" || p.Type == "warning" || p.Type == "assert" {
			b.faults = append(b.faults, string(r.Params))
		}
	case "Log.entryAdded":
		var p struct{ Entry struct{ Level, Text string } }
		if json.Unmarshal(r.Params, &p); p.Entry.Level == "error" || p.Entry.Level == "warning" {
			b.faults = append(b.faults, p.Entry.Text)
		}
	}
}

// eval is the value of a JavaScript expression.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &out)
	if out.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	return out.Result.Value
}

// until waits for an expression to become true.
func (p *tab) until(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.eval("!!("+expression+")") != true; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("never came true: %s; the page says:\n%v", expression, p.eval("document.body.innerText"))
		}
	}
}

// shot writes a picture of the whole page into LONGSPLICE_SHOTS, if set, and returns its size in bytes.
func (p *tab) shot(name string) int {
	p.t.Helper()
	var out struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &out)
	png, err := base64.StdEncoding.DecodeString(out.Data)
	if err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		p.t.Fatalf("%s: no picture: %v", name, err)
	}
	if dir := os.Getenv("LONGSPLICE_SHOTS"); dir != "" {
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	return len(png)
}

func (p *tab) visit(url string) {
	p.t.Helper()
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	p.until(`document.readyState === "complete" && location.protocol === "http:"`)
}

// keepStepping lets traffic happen on f until the test ends.
func keepStepping(t *testing.T, f *fake) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.NewTicker(tickEvery); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
				f.step()
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// someHistory gives the plots a past of n seconds.
func (r *rig) someHistory(n int) {
	r.live.mu.Lock()
	defer r.live.mu.Unlock()
	now := unixSeconds(time.Now())
	var past []point
	for i := range n {
		x := float64(i)
		wave := float64((i*i*7+i*13)%50) / 10
		past = append(past, point{now - float64(n) + x, 9000 + x*5.7 + wave*20, 110 + wave*4, 96 + wave*5, 0, 2.4e6 + wave*2e5, 3.1e7 + wave*4e6 + x*1e4})
	}
	r.live.history = append(past, r.live.history...)
}

func TestStatusPageInABrowser(t *testing.T) {
	f := newFake(6)
	r := serve(t, f, nil)
	r.someHistory(540)
	keepStepping(t, f)
	b := openBrowser(t)
	url := fmt.Sprintf("http://%s/", r.HTTPAddr())
	for _, c := range []struct {
		name, scheme  string
		width, height int
		dark          bool
	}{{"light-1280", "light", 1280, 1000, false}, {"dark-1280", "dark", 1280, 1000, true}, {"light-390", "light", 390, 844, false}, {"dark-390", "dark", 390, 844, true}} {
		t.Run(c.name, func(t *testing.T) {
			p := b.newTab(c.width, c.height, c.scheme)
			p.visit(url)
			p.until(`document.querySelector("#workers tr td:nth-child(3)")?.textContent.includes("%")`)
			p.eval(`document.querySelector("details").open = true`)
			first := p.eval(`document.querySelector("h1").textContent`).(string)
			if !strings.Contains(first, "of 498,000 sessions held") || !strings.Contains(first, "descriptors") {
				t.Errorf("the first line does not say what is held and what binds: %q", first)
			}
			for what, expression := range map[string]string{
				"wider than the window":          fmt.Sprintf(`document.documentElement.scrollWidth > %d`, c.width),
				"light where dark was asked for": fmt.Sprintf(`(getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 100) !== %v`, c.dark),
				"without rates":                  `document.querySelector("#frontends td.num:nth-child(5)").textContent === "–"`,
				"without a plot":                 `document.querySelector("svg path.one").getAttribute("d").length < 100`,
				"without the state as a word":    `!document.querySelector("#backends tr").innerText.includes("unhealthy")`,
				"without failures told apart":    `!document.querySelector("#ends").innerText.includes("failures")`,
				"showing client addresses":       `document.body.textContent.includes("192.0.2.7")`,
				"with text that is hard to read": contrastFaults,
			} {
				if p.eval(expression) == true {
					t.Errorf("the page is %s", what)
				}
			}
			if size := p.shot(c.name); size < 10_000 {
				t.Errorf("the picture has %d bytes", size)
			}
		})
	}
	if len(b.faults) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.faults, "\n"))
	}
}

// contrastFaults is true if a text has less contrast with the card or ground behind it than WCAG 2 AA asks for (4.5).
const contrastFaults = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const light = c => { const [r, g, b] = [...rgb(c)].slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3]) return c; } return "#fff"; };
  return [...document.querySelectorAll("body *")].some(e => {
    if (e.disabled || !e.checkVisibility() || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) return false;
    const a = light(getComputedStyle(e).color), b = light(behind(e));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
  });
})()`

func TestStatusPageWithAThousandBackends(t *testing.T) {
	f := newFake(1000)
	r := serve(t, f, nil)
	keepStepping(t, f)
	b := openBrowser(t)
	p := b.newTab(1280, 1000, "light")
	p.visit(fmt.Sprintf("http://%s/", r.HTTPAddr()))
	p.until(`document.querySelectorAll("#backends tr").length === 50`)
	p.until(`document.querySelector("#where").textContent === "1–50 of 1,000"`)
	p.eval(`document.querySelector("#on").click()`)
	p.until(`document.querySelector("#where").textContent === "51–100 of 1,000"`)
	p.eval(`$("find").value = "b77"; $("find").dispatchEvent(new Event("input"))`)
	p.until(`document.querySelectorAll("#backends tr").length === 11 && !document.querySelector("#pager").checkVisibility()`)
	p.eval(`$("find").value = "no such"; $("find").dispatchEvent(new Event("input"))`)
	p.until(`!document.querySelector("#backends").closest("section").querySelector(".empty").hidden`)
	p.eval(`$("find").value = ""; $("find").dispatchEvent(new Event("input"))`)
	p.until(`document.querySelectorAll("#backends tr").length === 50`)
	p.shot("thousand")
	if len(b.faults) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.faults, "\n"))
	}
}

func TestStatusPageEmptyAndLost(t *testing.T) {
	f := &fake{}
	r := serve(t, f, nil)
	p := openBrowser(t).newTab(390, 844, "light")
	p.visit(fmt.Sprintf("http://%s/", r.HTTPAddr()))
	p.until(`document.querySelector("#link").textContent === "live"`)
	p.until(`document.body.innerText.includes("No frontend is configured.") && document.body.innerText.includes("No session has ended yet.")`)
	p.shot("empty-390")
	address := r.HTTPAddr()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	p.until(`document.querySelector("#link").textContent.startsWith("not connected since")`)
	p.shot("lost-390")
	serve(t, newFake(6), func(o *Options) { o.Process.HTTP = httpAddress(address.String()) })
	p.until(`document.querySelector("#link").textContent === "live" && document.querySelectorAll("#backends tr").length === 6`)
}
