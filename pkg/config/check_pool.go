package config

import (
	"fmt"
	"slices"
)

func (r *reader) checkPool(p *Pool, s poolSource) {
	if len(p.Backends) == 0 {
		r.checkNoBackend(p, s)
	}
	if p.Name != "" && !slices.ContainsFunc(r.cfg.Frontends, func(f Frontend) bool { return f.Pool == p.Name }) {
		r.warn(s.table, s.ownKey("name"), "no frontend uses this pool", "remove it, or name it in a frontend")
	}
	r.checkTableSize(p, s)
	r.checkAddresses(p, s)
	r.checkSources(p, s)
	r.checkHealth(&p.Health, s.health)
}

// checkNoBackend refuses an empty pool unless a complaint about its backends
// says already why it is empty.
func (r *reader) checkNoBackend(p *Pool, s poolSource) {
	switch frontend := r.sources["frontend."+p.Name]; {
	case s.short() && frontend.isEmpty("backends"):
		r.complain(s.table, "", "is empty", "a pool needs at least one backend")
	case !s.short() && (!s.has("backend") || s.isEmpty("backend")):
		r.complain(s.table, "backend", "the pool has no backend", "write [[pool.backend]] below it")
	}
}

// checkTableSize wants a slot for each backend, and warns below 100 of them: the
// shares of a Maglev table differ by about a hundredth then (section 5.3 of the
// paper).
func (r *reader) checkTableSize(p *Pool, s poolSource) {
	n := len(p.Backends)
	if p.Algorithm != AlgorithmMaglev || n*100 <= p.TableSize {
		return
	}
	remedy := fmt.Sprintf("write a prime of at least 100 per backend, such as %d", nextPrime(int64(n)*100))
	if n > p.TableSize {
		r.complain(s.table, "table_size", fmt.Sprintf("%d is less than the %d backends", p.TableSize, n), remedy)
		return
	}
	r.warn(s.table, "table_size", fmt.Sprintf("%d makes uneven shares for %d backends", p.TableSize, n), remedy)
}

func (r *reader) checkAddresses(p *Pool, s poolSource) {
	names := map[Address]string{}
	for i, b := range p.Backends {
		if b.Address.IsZero() {
			continue
		}
		if first, twice := names[b.Address]; twice && first != b.Name {
			r.warn(s.backends[i], s.ownKey("address"), b.Address.String()+" is the address of "+first+", too", "give that one more weight instead")
		}
		names[b.Address] = b.Name
		if b.Address.AddrPort.Addr().IsUnspecified() {
			r.complain(s.backends[i], s.ownKey("address"), b.Address.String()+" is the address of no server", "write the one it is reached by")
		}
	}
}

func (r *reader) checkHealth(h *Health, t *table) {
	_, isText := t.values["expect"].raw.(string)
	if h.Type == HealthSendExpect && h.Expect == "" && (isText || !t.has("expect")) {
		r.complain(t, "expect", `is missing: a "send-expect" check waits for it`, `write expect = "..."`)
	}
	if h.Timeout > h.Interval {
		r.warn(t, "timeout", fmt.Sprintf("%s is longer than the interval, %s", showDuration(h.Timeout), showDuration(h.Interval)),
			"a check that hangs delays the next one; keep it shorter")
	}
	for key, types := range h.withoutMeaning() {
		r.warn(t, key, "has no meaning for checks of type "+quote(h.Type), "it is for "+quoteAll(types))
	}
}

// withoutMeaning returns the keys that were changed for other types of check,
// each with those types.
func (h *Health) withoutMeaning() map[string][]string {
	usual := defaultPool().Health
	keys := map[string][]string{}
	note := func(key string, changed bool, types ...string) {
		if changed && !slices.Contains(types, h.Type) {
			keys[key] = types
		}
	}
	note("path", h.Path != usual.Path, HealthHTTP, HealthWebSocket)
	note("host", h.Host != usual.Host, HealthHTTP, HealthWebSocket)
	note("expect_status", h.ExpectStatus != usual.ExpectStatus, HealthHTTP)
	note("send", h.Send != usual.Send, HealthSendExpect)
	note("expect", h.Expect != usual.Expect, HealthSendExpect)
	return keys
}
