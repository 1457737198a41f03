package report

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

// browser is a headless Chromium, spoken to by the DevTools protocol.
type browser struct {
	t        *testing.T
	conn     *websocket.Conn
	ctx      context.Context
	id       int
	faults   []string // console errors and warnings, uncaught exceptions, refused resources
	requests []string // addresses of everything that was asked for
}

// openBrowser starts Chromium with a profile of its own.
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

// attach connects to the browser, which writes its address into its profile.
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

// newTab opens a tab as wide as said, in a system that prefers the colours of scheme (light or dark).
func (b *browser) newTab(width int, scheme string) *tab {
	b.t.Helper()
	p := &tab{browser: b}
	var target struct{ TargetID string }
	p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.call(domain+".enable", nil, nil)
	}
	p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	p.call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]string{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	return p
}

type reply struct {
	ID     int
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  *struct{ Message string }
}

// call asks for method and waits for its answer; events that come meanwhile are looked through.
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
	case "Runtime.exceptionThrown", "Runtime.consoleAPICalled":
		b.faults = append(b.faults, string(r.Params))
	case "Log.entryAdded":
		b.faults = append(b.faults, string(r.Params))
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		_ = json.Unmarshal(r.Params, &p)
		b.requests = append(b.requests, p.Request.URL)
	}
}

// eval is the value of a JavaScript expression.
func (p *tab) eval(expression string) any {
	p.t.Helper()
	var out struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &out)
	if out.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, out.ExceptionDetails)
	}
	return out.Result.Value
}

// visit waits until the page is complete, everything unfolded.
func (p *tab) visit(url string) {
	p.t.Helper()
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	for deadline := time.Now().Add(30 * time.Second); p.eval(`document.readyState === "complete" && location.protocol === "file:"`) != true; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is not shown", url)
		}
	}
	p.eval(`document.querySelectorAll("details").forEach(d => d.open = true)`)
}

// shot writes a picture of the whole page into the folder LONGSPLICE_SHOTS, if that is set.
func (p *tab) shot(name string) {
	p.t.Helper()
	dir := os.Getenv("LONGSPLICE_SHOTS")
	if dir == "" {
		return
	}
	var out struct{ Data string }
	p.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &out)
	png, err := base64.StdEncoding.DecodeString(out.Data)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// emptyPlots names the plots in which nothing is drawn, or not where it can be seen, or that lack their words.
const emptyPlots = `[...document.querySelectorAll("figure")].filter(f => {
  const svg = f.querySelector("svg"), box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll(".dot, .median, .round, .curve")];
  const inside = marks.every(m => { const b = m.getBoundingClientRect(); return b.left >= box.left - 1 && b.right <= box.right + 1 && b.top >= box.top - 1 && b.bottom <= box.bottom + 1; });
  return !svg.querySelector(".dot, .median") || !inside || box.width < 200 || box.height < 50 || svg.querySelectorAll(".tick").length < 2 ||
    !svg.querySelector(".axis").textContent || !f.querySelector("figcaption").textContent || svg.getAttribute("aria-label").length < 20 || !svg.querySelector("title").textContent;
}).map(f => f.closest("section").querySelector("h3").textContent + ": " + f.querySelector("figcaption").textContent).join("\n")`

// hardToRead names texts with less contrast to what is behind them than WCAG 2 AA asks for (4.5).
const hardToRead = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const known = new Map(), light = c => { if (!known.has(c)) { const [r, g, b] = [...rgb(c)].slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); known.set(c, .2126 * r + .7152 * g + .0722 * b); } return known.get(c); };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c; } return "#fff"; };
  return [...document.querySelectorAll("body *")].filter(e => {
    if (!e.checkVisibility() || ["SCRIPT", "title"].includes(e.tagName) || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) return false;
    const style = getComputedStyle(e), a = light(e.tagName === "text" ? style.fill : style.color), b = light(behind(e));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
  }).map(e => e.textContent).slice(0, 5).join("\n");
})()`

func TestPageInABrowser(t *testing.T) {
	r, dir := fixture(t), t.TempDir()
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.Join(dir, "index.html")
	b := openBrowser(t)
	for _, c := range []struct {
		name, scheme, query string
		width               int
		dark                bool
	}{
		{"light", "light", "", 1280, false},
		{"dark", "dark", "", 1280, true},
		{"light on a telephone", "dark", "?theme=light", 390, false},
		{"dark on a telephone", "light", "?theme=dark", 390, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := b.newTab(c.width, c.scheme)
			p.visit(url + c.query)
			dark := func() bool {
				return p.eval(`getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 100`).(bool)
			}
			if dark() != c.dark {
				t.Errorf("dark is %v, want %v", dark(), c.dark)
			}
			for what, expression := range map[string]string{"empty or unnamed plots": emptyPlots, "hard to read": hardToRead} {
				if got := p.eval(expression); got != "" {
					t.Errorf("%s:\n%v", what, got)
				}
			}
			if wide := p.eval(`document.documentElement.scrollWidth`).(float64); int(wide) > c.width {
				t.Errorf("the page is %.0f wide in a window of %d", wide, c.width)
			}
			p.everyCaseHasItsPlots(t, r)
			p.shot(strings.ReplaceAll(c.name, " ", "-"))
			p.eval(`document.getElementById("theme").click()`)
			if dark() == c.dark {
				t.Error("the button changes nothing")
			}
		})
	}
	if len(b.faults) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.faults, "\n"))
	}
	for _, asked := range b.requests {
		if !strings.HasPrefix(asked, url) && !strings.HasPrefix(asked, "data:") {
			t.Errorf("the page asks for %s", asked)
		}
	}
	if len(b.requests) == 0 {
		t.Error("no request was seen, not even for the page: the test is blind")
	}
}

// everyCaseHasItsPlots counts them: ratios for each pair, a strip for each figure, curves where there is a distribution.
func (p *tab) everyCaseHasItsPlots(t *testing.T, r *Report) {
	t.Helper()
	for _, s := range r.Summaries() {
		id := strings.ReplaceAll(s.Case.ID(), "/", "-")
		count := func(kind string) int {
			in := "#" + id
			if kind == "ratio" {
				in = fmt.Sprintf(`section:has(a[href="#%s"])`, id)
			}
			return int(p.eval(fmt.Sprintf("document.querySelectorAll(%q).length", in+" figure."+kind)).(float64))
		}
		if got := count("ratio"); got != 2 {
			t.Errorf("%s: %d plots of ratios, want 2", s.Case.ID(), got)
		}
		if got := count("strip"); got != len(s.Metrics) {
			t.Errorf("%s: %d plots of figures, want %d", s.Case.ID(), got, len(s.Metrics))
		}
		want := map[string]int{"idle": 2, "echo": 1, "churn": 1, "storm": 1, "mixed": 1}[s.Case.Workload]
		if got := count("curves"); got != want {
			t.Errorf("%s: %d plots of curves, want %d", s.Case.ID(), got, want)
		}
		if rows := p.eval(fmt.Sprintf("document.querySelectorAll(%q).length", "#"+id+" tbody tr")).(float64); int(rows) != len(s.Metrics) {
			t.Errorf("%s: a table of %.0f rows, want %d", s.Case.ID(), rows, len(s.Metrics))
		}
	}
}

// What a report holds may come from anywhere: it is text to the page, never markup.
func TestPageEscapesWhatItShows(t *testing.T) {
	r := fixture(t)
	evil := `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	for i := range r.Targets {
		if r.Targets[i].Name == "nginx" {
			r.Targets[i] = Target{Name: evil, About: evil, Version: evil, Command: evil, Config: evil}
		}
	}
	for i := range r.Runs {
		if run := &r.Runs[i]; run.Target == "nginx" {
			run.Target, run.Error = evil, strings.Repeat(evil, i%2)
		}
	}
	r.Cases[0].About, r.Machine.CPU, r.Setup.Command = evil, evil, evil
	var b strings.Builder
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.String(), "<script") != 1 || strings.Contains(b.String(), "<img") {
		t.Error("markup of the report is markup of the page")
	}
}
