package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/longsplice/longsplice/pkg/balancer"
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
