package browser

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// Tab is one page.
type Tab struct {
	*Browser
	session string
}

// NewTab opens a tab as wide and high as said, in a system that prefers the colours of scheme (light or dark).
func (b *Browser) NewTab(width, height int, scheme string) *Tab {
	b.t.Helper()
	t := &Tab{Browser: b}
	var target struct{ TargetID string }
	t.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	t.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	t.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
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
func (p *Tab) call(method string, params, result any) {
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

// Eval is the value of a JavaScript expression.
func (p *Tab) Eval(expression string) any {
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

// Until waits for an expression to become true.
func (p *Tab) Until(expression string) {
	p.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); p.Eval("!!("+expression+")") != true; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.t.Fatalf("never came true: %s; the page says:\n%v", expression, p.Eval("document.body.innerText"))
		}
	}
}

// Shot writes a picture of the whole page into LONGSPLICE_SHOTS, if set, and returns its size in bytes.
func (p *Tab) Shot(name string) int {
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

// Visit opens a page and waits until it is complete.
func (p *Tab) Visit(url string) {
	p.t.Helper()
	p.call("Page.navigate", map[string]any{"url": url}, nil)
	p.Until(`document.readyState === "complete" && location.protocol !== "about:"`)
}

// HardToRead names the texts of a page with less contrast to what is behind them than WCAG 2 AA asks for (4.5).
const HardToRead = `(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
  const known = new Map(), light = c => { if (!known.has(c)) { const [r, g, b] = [...rgb(c)].slice(0, 3).map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); known.set(c, .2126 * r + .7152 * g + .0722 * b); } return known.get(c); };
  const behind = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (c !== "rgba(0, 0, 0, 0)") return c; } return "#fff"; };
  return [...document.querySelectorAll("body *")].filter(e => {
    if (e.disabled || !e.checkVisibility() || ["SCRIPT", "title"].includes(e.tagName) || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) return false;
    const style = getComputedStyle(e), a = light(e.tagName === "text" ? style.fill : style.color), b = light(behind(e));
    return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
  }).map(e => e.textContent).slice(0, 5).join("\n");
})()`
