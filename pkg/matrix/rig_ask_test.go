package matrix

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/sys"
)

// ask makes one request to the admin socket. The caller need not close anything.
func (p *program) ask(method, path string) ([]byte, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", p.admin)
	}
	c := http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequest(method, "http://longsplice"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, body)
	}
	return body, err
}

// get reads the JSON answer to a path into v and fails the test if there is none.
func (p *program) get(path string, v any) {
	p.t.Helper()
	body, err := p.ask(http.MethodGet, path)
	if err == nil {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		p.t.Fatalf("ask for %s: %v", path, err)
	}
}

func (p *program) ready() bool {
	_, err := p.ask(http.MethodGet, "/readyz")
	return err == nil
}

func (p *program) status() (s balancer.Status) { p.get("/v1/status", &s); return s }

func (p *program) frontends() []balancer.FrontendStatus {
	var answer struct{ Frontends []balancer.FrontendStatus }
	p.get("/v1/frontends", &answer)
	return answer.Frontends
}

func (p *program) pools() []balancer.PoolStatus {
	var answer struct{ Pools []balancer.PoolStatus }
	p.get("/v1/pools", &answer)
	return answer.Pools
}

func (p *program) workers() []balancer.WorkerStatus {
	var answer struct{ Workers []balancer.WorkerStatus }
	p.get("/v1/workers", &answer)
	return answer.Workers
}

// sessions is a page of at most 10,000 live sessions.
func (p *program) sessions() balancer.SessionPage {
	var page balancer.SessionPage
	p.get("/v1/sessions?limit=10000", &page)
	return page
}

// endReasons is the sessions that have ended, by reason, over all frontends; reasons without any are left out.
func (p *program) endReasons() map[string]uint64 {
	return p.summed(func(f balancer.FrontendStatus) map[string]uint64 { return f.Ended })
}

// refused is the clients that were refused, by reason.
func (p *program) refused() map[string]uint64 {
	return p.summed(func(f balancer.FrontendStatus) map[string]uint64 { return f.Refused })
}

func (p *program) summed(counts func(balancer.FrontendStatus) map[string]uint64) map[string]uint64 {
	sum := map[string]uint64{}
	for _, f := range p.frontends() {
		for k, n := range counts(f) {
			if n > 0 {
				sum[k] += n
			}
		}
	}
	return sum
}

// accepted is the sessions that were ever accepted.
func (p *program) accepted() (n uint64) {
	for _, f := range p.frontends() {
		n += f.Accepted
	}
	return n
}

// metrics is one scrape: `name{label="value"}` to its value.
func (p *program) metrics() map[string]float64 {
	p.t.Helper()
	body, err := p.ask(http.MethodGet, "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	all := map[string]float64{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		if i < 0 || line[0] == '#' {
			continue
		}
		if v, err := strconv.ParseFloat(line[i+1:], 64); err == nil {
			all[line[:i]] = v
		}
	}
	return all
}

// metric is the sum of a metric over all its labels that contain every one of the words.
func (p *program) metric(name string, words ...string) (sum float64) {
	p.t.Helper()
	for series, v := range p.metrics() {
		base, labels, _ := strings.Cut(series, "{")
		match := base == name
		for _, w := range words {
			match = match && strings.Contains(labels, w)
		}
		if match {
			sum += v
		}
	}
	return sum
}

// events is the lines of the log that have an event word, in order.
func (p *program) events(word string) (found []map[string]any) {
	for line := range strings.Lines(p.logged.String()) {
		var e map[string]any
		if json.Unmarshal([]byte(line), &e) == nil && e["event"] == word {
			found = append(found, e)
		}
	}
	return found
}

// fds is how many descriptors the process has open, without those of /proc itself. -1: it is gone.
func (p *program) fds() int {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid()))
	if err != nil {
		return -1
	}
	return len(entries)
}

// rss is the process's resident memory in bytes.
func (p *program) rss() int64 { return p.procStatus("VmRSS:") << 10 }

// switches is how often its threads have gone to sleep by themselves: a loop that is at rest does so a few times a second.
func (p *program) switches() (n int64) {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid()))
	for _, task := range tasks {
		n += p.procStatusOf(fmt.Sprintf("/proc/%d/task/%s/status", p.pid(), task.Name()), "voluntary_ctxt_switches:")
	}
	return n
}

func (p *program) procStatus(field string) int64 {
	return p.procStatusOf(fmt.Sprintf("/proc/%d/status", p.pid()), field)
}

func (p *program) procStatusOf(path, field string) int64 {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 1 && words[0] == field {
			n, _ := strconv.ParseInt(words[1], 10, 64)
			return n
		}
	}
	return 0
}

// cpu is the user and system time that the process has used. The kernel counts it in ticks of 10 ms.
func (p *program) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(text), ") ")
	words := strings.Fields(after)
	if len(words) < 13 {
		return 0
	}
	user, err1 := strconv.ParseInt(words[11], 10, 64)
	system, err2 := strconv.ParseInt(words[12], 10, 64)
	if errors.Join(err1, err2) != nil {
		return 0
	}
	return time.Duration(user+system) * 10 * time.Millisecond
}

// settle waits until the program is as it was at its start, and fails the test with what is left otherwise.
func (p *program) settle() {
	p.t.Helper()
	var left []string
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if left = p.leftovers(); len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			break
		}
	}
	for _, l := range left {
		p.t.Errorf("after the test: %s", l)
	}
	if page := p.sessions(); len(page.Sessions) > 0 {
		p.t.Logf("%d sessions are left, the first: %+v", page.Matched, page.Sessions[0])
	}
}

// leftovers is what a test has left behind, a line for each thing.
func (p *program) leftovers() (left []string) {
	add := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	for _, f := range p.frontends() {
		var ended uint64
		for _, n := range f.Ended {
			ended += n
		}
		if f.Accepted != ended+uint64(f.Active) {
			add("frontend %s: accepted %d, ended %d, active %d", f.Name, f.Accepted, ended, f.Active)
		}
	}
	if p.setup.leaving {
		return left
	}
	s := p.status()
	if s.Sessions.Held != 0 {
		add("%d sessions held", s.Sessions.Held)
	}
	if s.Pipes.Used != 0 {
		add("%d pipes in use", s.Pipes.Used)
	}
	if p.setup.before != nil { // the process is another program's child
		return left
	}
	allowed := p.fdsIdle + fdSlack + 2*int(s.Pipes.Idle)
	if n := p.fds(); p.fdsIdle > 0 && n > allowed {
		add("%d descriptors open, %d at the start and %d idle pipes", n, p.fdsIdle, s.Pipes.Idle)
	}
	return left
}

// fdSlack is for connections of health checks and of the admin API, which come and go.
const fdSlack = 24

// kernelOf names the machine for the figures that a test prints.
func kernelOf() string { return sys.Release() }
