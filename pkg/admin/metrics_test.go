package admin

import (
	"bytes"
	"fmt"
	"math"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/longsplice/longsplice/pkg/stats"
)

// scrapeText is one scrape as Prometheus gets it.
func scrapeText(f *fake) string {
	w := httptest.NewRecorder()
	newMetricsHandler(f).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

// The names and labels are a contract: testdata/metrics.txt changes only with it.
func TestMetricNames(t *testing.T) {
	f := newFake(5)
	f.host.ConntrackEntries, f.host.ConntrackLimit = 10, 100
	kinds, labels := map[string]string{}, map[string]string{}
	for line := range strings.Lines(scrapeText(f)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# TYPE longsplice_"); ok {
			name, kind, _ := strings.Cut(rest, " ")
			kinds[name] = kind
		}
		series, _, _ := strings.Cut(line, " ")
		name, inside, ok := strings.Cut(series, "{")
		name = strings.TrimPrefix(name, "longsplice_")
		if base, histogram := strings.CutSuffix(name, "_count"); histogram {
			name = base
		}
		if ok && kinds[name] != "" {
			labels[name] = labelNames(inside)
		}
	}
	var got []string
	for name, kind := range kinds {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", name, kind, labels[name])))
	}
	slices.Sort(got)
	text, err := os.ReadFile("testdata/metrics.txt")
	must(t, err)
	if diff := cmp.Diff(strings.Split(strings.TrimSpace(string(text)), "\n"), got); diff != "" {
		t.Errorf("metrics (-contract +got):\n%s", diff)
	}
}

func labelNames(inside string) string {
	var names []string
	for pair := range strings.SplitSeq(strings.TrimSuffix(inside, "}"), ",") {
		name, _, _ := strings.Cut(pair, "=")
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// What `promtool check metrics` looks at.
func TestMetricsAreLinted(t *testing.T) {
	problems, err := promlint.New(bytes.NewBufferString(scrapeText(newFake(5)))).Lint()
	must(t, err)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "longsplice_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestMetricValues(t *testing.T) {
	text := scrapeText(newFake(5))
	for _, want := range []string{
		`longsplice_sessions_accepted_total{frontend="chat"} 91212`,
		`longsplice_sessions_ended_total{frontend="chat",reason="client_fin"} 71204`,
		`longsplice_sessions_ended_total{frontend="chat",reason="handoff_lost"} 0`,
		`longsplice_sessions_refused_total{frontend="chat",reason="rate"} 17`,
		`longsplice_sessions_refused_total{frontend="chat",reason="bad_proxy_header"} 0`,
		`longsplice_session_duration_seconds_bucket{frontend="chat",le="0.01"} 1`,
		`longsplice_session_duration_seconds_bucket{frontend="chat",le="1"} 6`,
		`longsplice_session_duration_seconds_bucket{frontend="chat",le="+Inf"} 66`,
		`longsplice_session_duration_seconds_count{frontend="chat"} 66`,
		`longsplice_session_duration_seconds_sum{frontend="chat"} 1234.5`,
		`longsplice_worker_turn_duration_seconds_bucket{le="0.01"} 30`,
		`longsplice_worker_turn_duration_seconds_sum 4`,
		`longsplice_relay_bytes_total{mode="splice"} 4000`,
		`longsplice_accept_paused_seconds_total{cause="sessions_limit"} 1`,
		`longsplice_accept_paused_seconds_total{cause="no_fds"} 0.5`,
		`longsplice_backend_state{backend="b2",pool="chat",state="unhealthy"} 1`,
		`longsplice_ports_used{backend="b1",pool="chat"} 900`,
		`longsplice_ports_limit{backend="b1",pool="chat"} 2000`,
		`longsplice_ports_resting{backend="b1",pool="chat"} 30`,
		`longsplice_backend_healthy{backend="b2",pool="chat"} 0`,
		`longsplice_health_checks_total{backend="b2",pool="chat",result="fail"} 42`,
		`longsplice_start_time_seconds 1.7723520e+09`,
		`longsplice_build_info{commit="abc1234",goversion="go1.26",version="0.1.0"} 1`,
		"go_goroutines",
	} {
		if !strings.Contains(strings.ReplaceAll(text, "1.772352e+09", "1.7723520e+09"), want) {
			t.Errorf("no %s", want)
		}
	}
	for _, never := range []string{"process_open_fds", "longsplice_host_conntrack", `reason="none"`} {
		if strings.Contains(text, never) {
			t.Errorf("there is %s", never)
		}
	}
}

// gathered are the values of one metric by one label.
func gathered(t *testing.T, f *fake) func(metric, label string) map[string]float64 {
	t.Helper()
	r := prometheus.NewPedanticRegistry() // checks Collect against Describe
	r.MustRegister(&collector{view: f})
	families, err := r.Gather()
	must(t, err)
	return func(metric, label string) map[string]float64 {
		sums := map[string]float64{}
		for _, family := range families {
			if family.GetName() != "longsplice_"+metric {
				continue
			}
			for _, m := range family.GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() == label {
						sums[l.GetValue()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
					}
				}
			}
		}
		return sums
	}
}

func TestMetricIdentities(t *testing.T) {
	f := newFake(40)
	f.step()
	value := gathered(t, f)
	accepted, active, ended := value("sessions_accepted_total", "frontend")["chat"], value("sessions_active", "frontend")["chat"], value("sessions_ended_total", "frontend")["chat"]
	if accepted != active+ended || accepted == 0 {
		t.Errorf("accepted %v, active %v + ended %v", accepted, active, ended)
	}
	if n := len(value("sessions_ended_total", "reason")); n != int(stats.NumReasons)-1 {
		t.Errorf("%d end reasons, want %d", n, stats.NumReasons-1)
	}
	for name, n := range value("backend_state", "backend") {
		if n != 1 {
			t.Errorf("backend %s is in %v states", name, n)
		}
	}
}

func TestHistogramsAddUp(t *testing.T) {
	f := newFake(1)
	f.workers[1].Turns.Counts = nil // a worker that has not published yet
	text := scrapeText(f)
	if !strings.Contains(text, `longsplice_worker_turn_duration_seconds_bucket{le="+Inf"} 16`) {
		t.Error("a worker without turns disturbs the sum")
	}
	if math.IsNaN(addHistograms(f.workers[0].Turns, f.workers[1].Turns).Sum) {
		t.Error("NaN")
	}
}

// BenchmarkScrape is the cost of one scrape with 1,000 backends.
func BenchmarkScrape(b *testing.B) {
	f := newFake(1000)
	h := newMetricsHandler(f)
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "B/scrape")
}
