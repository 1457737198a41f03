package config

import (
	"fmt"
	"slices"
)

// check judges what needs more than one value. Its messages stand where the
// user can change something: at a key, or at the table that lacks it.
func (r *reader) check() {
	r.checkProcess()
	if len(r.cfg.Frontends) == 0 && !r.root.has("frontend") {
		r.complainAt(place{r.cfg.file(), 1}, "frontend", "is missing", "write [[frontend]] with name, listen and backends")
	}
	r.checkNames()
	for i := range r.cfg.Frontends {
		r.checkFrontend(&r.cfg.Frontends[i], r.frontends[i])
	}
	for i := range r.cfg.Pools {
		r.checkPool(&r.cfg.Pools[i], r.pools[i])
	}
	r.checkListeners()
}

// file returns the file to blame for what stands nowhere.
func (c *Config) file() string {
	if len(c.Files) == 0 {
		return ""
	}
	return c.Files[0]
}

func (r *reader) checkProcess() {
	p, t := &r.cfg.Process, r.sources["process"]
	if p.HTTP.IsZero() || p.HTTP.AddrPort.Addr().IsLoopback() || t.has("http_token_file") && p.HTTPTokenFile != "" {
		return
	}
	r.complain(t, "http", p.HTTP.String()+" is reachable from other hosts, and there is no token",
		"set http_token_file, or listen on 127.0.0.1")
}

// settle replaces "auto" and refuses a user_timeout that acts before keepalive
// and stall do.
func (r *reader) settle(t *table, ts *Timeouts) {
	least := ts.leastUserTimeout()
	switch {
	case ts.UserTimeout == 0:
	case ts.UserTimeout == autoUserTimeout && least > maxTimer:
		r.complain(t, "user_timeout", "keepalive + keepalive_interval * keepalive_probes is "+showDuration(least),
			"keep it within "+showDuration(maxTimer))
	case ts.UserTimeout == autoUserTimeout:
	case least == 0:
		r.complain(t, "user_timeout", quote(showDuration(ts.UserTimeout))+" would end sessions that may stall without limit",
			`write "0s" or "auto", or limit stall`)
	case ts.UserTimeout < least:
		r.complain(t, "user_timeout", fmt.Sprintf("%q would end healthy sessions: keepalive and stall need %s",
			showDuration(ts.UserTimeout), showDuration(least)),
			fmt.Sprintf(`write "auto", "0s" for off, or at least %q`, showDuration(least)))
	}
	ts.resolve()
}

// checkNames refuses names that are used twice in one list.
func (r *reader) checkNames() {
	seen := map[string]place{}
	unique := func(kind, name string, t *table, key string) {
		before, twice := seen[kind+" "+name]
		if twice && name != "" {
			r.complain(t, key, fmt.Sprintf("the %s at %s is also called %q", kind, before, name), "give each its own name")
		}
		if !twice {
			seen[kind+" "+name] = t.place(key)
		}
	}
	for i, f := range r.cfg.Frontends {
		unique("frontend", f.Name, r.frontends[i], "name")
	}
	for i, p := range r.cfg.Pools {
		s := r.pools[i]
		unique("pool", p.Name, s.table, s.nameKey())
		for j, b := range p.Backends {
			unique(fmt.Sprintf("backend of pool %d", i), b.Name, s.backends[j], s.nameKey())
		}
	}
}

// nameKey is the key that names a pool and its backends: none in short form.
func (s poolSource) nameKey() string {
	if s.short() {
		return ""
	}
	return "name"
}

// short says that the pool is a frontend's list of backends.
func (s poolSource) short() bool { return s.health == s.table }

func (r *reader) checkFrontend(f *Frontend, t *table) {
	if t.has("listen") && len(f.Listen) == 0 && t.isEmpty("listen") {
		r.complain(t, "listen", "is empty", `write listen = ["0.0.0.0:443"]`)
	}
	switch {
	case f.Pool == "" || r.cfg.Pool(f.Pool) != nil || t.has("backends"):
	case !t.has("pool"):
		r.complain(t, "pool", "is missing, and no pool is called "+quote(f.Pool), "name a pool, or write backends = [...]")
	default:
		r.complain(t, "pool", "no pool is called "+quote(f.Pool), r.suggestPool(f.Pool))
	}
}

func (r *reader) suggestPool(name string) string {
	var names []string
	for _, p := range r.cfg.Pools {
		if p.Name != "" {
			names = append(names, p.Name)
		}
	}
	if len(names) == 0 {
		return "write a [[pool]] of that name"
	}
	if near, isNear := nearest(name, names); isNear {
		return "did you mean " + quote(near) + "?"
	}
	return "there are " + quoteAll(names)
}

// isEmpty says that a key holds an array of nothing.
func (t *table) isEmpty(key string) bool {
	elements, ok := t.values[key].raw.([]value)
	return ok && len(elements) == 0
}

func (r *reader) checkPool(p *Pool, s poolSource) {
	switch n := len(p.Backends); {
	case n == 0 && s.short():
		if r.isEmptyShortForm(p.Name) {
			r.complain(s.table, "", "is empty", "a pool needs at least one backend")
		}
	case n == 0:
		r.complain(s.table, "backend", "the pool has no backend", "write [[pool.backend]] below it")
	case n > p.TableSize:
		r.complain(s.table, "table_size", fmt.Sprintf("%d is less than the %d backends", p.TableSize, n),
			fmt.Sprintf("write a prime of at least 100 per backend, such as %d", nextPrime(int64(n)*100)))
	case n*100 > p.TableSize && p.Algorithm == AlgorithmMaglev:
		r.warn(s.table, "table_size", fmt.Sprintf("%d is uneven for %d backends", p.TableSize, n),
			fmt.Sprintf("at least 100 per backend keeps shares within 1 %%: %d", nextPrime(int64(n)*100)))
	}
	if !slices.ContainsFunc(r.cfg.Frontends, func(f Frontend) bool { return f.Pool == p.Name }) && p.Name != "" {
		r.warn(s.table, s.nameKey(), "no frontend uses this pool", "remove it, or name it in a frontend")
	}
	for i, b := range p.Backends {
		if b.Address.AddrPort.IsValid() && b.Address.AddrPort.Addr().IsUnspecified() {
			r.complain(s.backends[i], s.addressKey(), b.Address.String()+" is the address of no server", "write the one it is reached by")
		}
	}
	r.checkHealth(&p.Health, s.health)
}

func (r *reader) isEmptyShortForm(name string) bool {
	t := r.sources["frontend."+name]
	return t != nil && t.isEmpty("backends")
}

// addressKey is the key that holds a backend's address: none in short form.
func (s poolSource) addressKey() string {
	if s.short() {
		return ""
	}
	return "address"
}

func (r *reader) checkHealth(h *Health, t *table) {
	if h.Type == HealthSendExpect && h.Expect == "" && (!t.has("expect") || t.values["expect"].raw == "") {
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
