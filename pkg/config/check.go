package config

import (
	"fmt"
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
	frontends, pools := map[string]place{}, map[string]place{}
	for i, f := range r.cfg.Frontends {
		r.claimName(frontends, "frontend", f.Name, r.frontends[i], "name")
	}
	for i, p := range r.cfg.Pools {
		s := r.pools[i]
		r.claimName(pools, "pool", p.Name, s.table, s.ownKey("name"))
		backends := map[string]place{}
		for j, b := range p.Backends {
			r.claimName(backends, "backend", b.Name, s.backends[j], s.ownKey("name"))
		}
	}
}

func (r *reader) claimName(taken map[string]place, kind, name string, t *table, key string) {
	before, twice := taken[name]
	switch {
	case name == "":
	case twice:
		r.complain(t, key, fmt.Sprintf("the %s at %s is called %q, too", kind, before, name), "give each its own name")
	default:
		taken[name] = t.place(key)
	}
}

// ownKey returns a key of the pool or its backends for messages: "" in short
// form, where there is only the list.
func (s poolSource) ownKey(key string) string {
	if s.short() {
		return ""
	}
	return key
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
	if near, isNear := Nearest(name, names); isNear {
		return "did you mean " + quote(near) + "?"
	}
	return "there are " + quoteAll(names)
}

// isEmpty says that a key holds an array of nothing.
func (t *table) isEmpty(key string) bool {
	elements, ok := t.values[key].raw.([]value)
	return ok && len(elements) == 0
}
