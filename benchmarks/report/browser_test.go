package report

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit/browser"
)

// emptyPlots names the plots in which nothing is drawn, or not where it can be seen, or that lack their words.
const emptyPlots = `[...document.querySelectorAll("figure")].filter(f => {
  const svg = f.querySelector("svg"), box = svg.getBoundingClientRect();
  const marks = [...svg.querySelectorAll(".dot, .median, .round, .curve")];
  const inside = marks.every(m => { const b = m.getBoundingClientRect(); return b.left >= box.left - 1 && b.right <= box.right + 1 && b.top >= box.top - 1 && b.bottom <= box.bottom + 1; });
  return !svg.querySelector(".dot, .median") || !inside || box.width < 200 || box.height < 50 || svg.querySelectorAll(".tick").length < 2 ||
    !svg.querySelector(".axis").textContent || !f.querySelector("figcaption").textContent || svg.getAttribute("aria-label").length < 20 || !svg.querySelector("title").textContent;
}).map(f => f.closest("section").querySelector("h3").textContent + ": " + f.querySelector("figcaption").textContent).join("\n")`

func TestPageInABrowser(t *testing.T) {
	r, dir := fixture(t), t.TempDir()
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	url := "file://" + filepath.Join(dir, "index.html")
	b := browser.Open(t)
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
			p := b.NewTab(c.width, 900, c.scheme)
			p.Visit(url + c.query)
			p.Eval(`document.querySelectorAll("details").forEach(d => d.open = true)`)
			dark := func() bool {
				return p.Eval(`getComputedStyle(document.body).backgroundColor.match(/\d+/)[0] < 100`).(bool)
			}
			if dark() != c.dark {
				t.Errorf("dark is %v, want %v", dark(), c.dark)
			}
			for what, expression := range map[string]string{"empty or unnamed plots": emptyPlots, "hard to read": browser.HardToRead} {
				if got := p.Eval(expression); got != "" {
					t.Errorf("%s:\n%v", what, got)
				}
			}
			if wide := p.Eval(`document.documentElement.scrollWidth`).(float64); int(wide) > c.width {
				t.Errorf("the page is %.0f wide in a window of %d", wide, c.width)
			}
			everyCaseHasItsPlots(t, p, r)
			p.Shot(strings.ReplaceAll(c.name, " ", "-"))
			p.Eval(`document.getElementById("theme").click()`)
			if dark() == c.dark {
				t.Error("the button changes nothing")
			}
		})
	}
	if len(b.Faults) > 0 {
		t.Errorf("the browser complains:\n%s", strings.Join(b.Faults, "\n"))
	}
	for _, asked := range b.Requests {
		if !strings.HasPrefix(asked, url) && !strings.HasPrefix(asked, "data:") {
			t.Errorf("the page asks for %s", asked)
		}
	}
	if len(b.Requests) == 0 {
		t.Error("no request was seen, not even for the page: the test is blind")
	}
}

// everyCaseHasItsPlots counts them: ratios for each pair, a strip for each figure, curves where there is a distribution.
func everyCaseHasItsPlots(t *testing.T, p *browser.Tab, r *Report) {
	t.Helper()
	for _, s := range r.Summaries() {
		id := strings.ReplaceAll(s.Case.ID(), "/", "-")
		count := func(kind string) int {
			in := "#" + id
			if kind == "ratio" {
				in = fmt.Sprintf(`section:has(a[href="#%s"])`, id)
			}
			return int(p.Eval(fmt.Sprintf("document.querySelectorAll(%q).length", in+" figure."+kind)).(float64))
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
		if rows := p.Eval(fmt.Sprintf("document.querySelectorAll(%q).length", "#"+id+" tbody tr")).(float64); int(rows) != len(s.Metrics) {
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
