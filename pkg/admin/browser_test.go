package admin

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit/browser"
)

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
	b := browser.Open(t)
	url := fmt.Sprintf("http://%s/", r.HTTPAddr())
	for _, c := range []struct {
		name, scheme  string
		width, height int
		dark          bool
	}{{"light-1280", "light", 1280, 1000, false}, {"dark-1280", "dark", 1280, 1000, true}, {"light-390", "light", 390, 844, false}, {"dark-390", "dark", 390, 844, true}} {
		t.Run(c.name, func(t *testing.T) {
			p := b.NewTab(c.width, c.height, c.scheme)
			p.Visit(url)
			p.Until(`document.querySelector("#workers tr td:nth-child(3)")?.textContent.includes("%")`)
			p.Eval(`document.querySelector("details").open = true`)
			first := p.Eval(`document.querySelector("h1").textContent`).(string)
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
				"with text that is hard to read": browser.HardToRead + ` !== ""`,
			} {
				if p.Eval(expression) == true {
					t.Errorf("the page is %s", what)
				}
			}
			if size := p.Shot(c.name); size < 10_000 {
				t.Errorf("the picture has %d bytes", size)
			}
		})
	}
	if len(b.Faults) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.Faults, "\n"))
	}
}

func TestStatusPageWithAThousandBackends(t *testing.T) {
	f := newFake(1000)
	r := serve(t, f, nil)
	keepStepping(t, f)
	b := browser.Open(t)
	p := b.NewTab(1280, 1000, "light")
	p.Visit(fmt.Sprintf("http://%s/", r.HTTPAddr()))
	p.Until(`document.querySelectorAll("#backends tr").length === 50`)
	p.Until(`document.querySelector("#where").textContent === "1–50 of 1,000"`)
	p.Eval(`document.querySelector("#on").click()`)
	p.Until(`document.querySelector("#where").textContent === "51–100 of 1,000"`)
	p.Eval(`$("find").value = "b77"; $("find").dispatchEvent(new Event("input"))`)
	p.Until(`document.querySelectorAll("#backends tr").length === 11 && !document.querySelector("#pager").checkVisibility()`)
	p.Eval(`$("find").value = "no such"; $("find").dispatchEvent(new Event("input"))`)
	p.Until(`!document.querySelector("#backends").closest("section").querySelector(".empty").hidden`)
	p.Eval(`$("find").value = ""; $("find").dispatchEvent(new Event("input"))`)
	p.Until(`document.querySelectorAll("#backends tr").length === 50`)
	p.Shot("thousand")
	if len(b.Faults) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.Faults, "\n"))
	}
}

func TestStatusPageEmptyAndLost(t *testing.T) {
	f := &fake{}
	r := serve(t, f, nil)
	p := browser.Open(t).NewTab(390, 844, "light")
	p.Visit(fmt.Sprintf("http://%s/", r.HTTPAddr()))
	p.Until(`document.querySelector("#link").textContent === "live"`)
	p.Until(`document.body.innerText.includes("No frontend is configured.") && document.body.innerText.includes("No session has ended yet.")`)
	p.Shot("empty-390")
	address := r.HTTPAddr()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := r.Close(ctx); err != nil {
		t.Fatal(err)
	}
	p.Until(`document.querySelector("#link").textContent.startsWith("not connected since")`)
	p.Shot("lost-390")
	serve(t, newFake(6), func(o *Options) { o.Process.HTTP = httpAddress(address.String()) })
	p.Until(`document.querySelector("#link").textContent === "live" && document.querySelectorAll("#backends tr").length === 6`)
}
