package config

import (
	"os"
	"slices"
	"strconv"
)

// reader turns tables into a Config and collects everything that is wrong.
type reader struct {
	opt      Options
	root     *table // all files, merged
	unread   bool   // a file could not be read or parsed
	cfg      *Config
	problems []Problem
	warnings []Warning
	sources  map[string]*table

	// The tables behind cfg.Frontends and cfg.Pools, index by index.
	frontends []*table
	pools     []poolSource
}

// poolSource is where a pool came from.
type poolSource struct {
	*table
	health   *table
	backends []*table
}

func newReader(opt Options) *reader {
	if opt.Env == nil {
		opt.Env = os.LookupEnv
	}
	return &reader{opt: opt, cfg: &Config{}, sources: map[string]*table{}}
}

func (r *reader) readConfig() {
	if r.root == nil {
		r.root = &table{}
	}
	c := r.cfg
	c.Process, c.Relay, c.Timeouts, c.Tuning = defaultProcess(), defaultRelay(), defaultTimeouts(), defaultTuning()
	r.fill(r.root, nil, "process", "relay", "timeouts", "frontend", "pool", "tuning")
	r.fill(r.sub(r.root, "process", "process"), c.Process.fields())
	r.fill(r.sub(r.root, "relay", "relay"), c.Relay.fields())
	r.fill(r.sub(r.root, "tuning", "tuning"), c.Tuning.fields())
	timeouts := r.sub(r.root, "timeouts", "timeouts")
	r.fill(timeouts, c.Timeouts.fields())
	for i, t := range r.subs(r.root, "pool", "pool") {
		r.readPool(i, t)
	}
	for i, t := range r.subs(r.root, "frontend", "frontend") {
		r.readFrontend(i, t)
	}
	r.settle(timeouts, &c.Timeouts)
}

// readFrontend runs while c.Timeouts still says "auto" where it was written, so
// that a frontend's user_timeout follows its own stall.
func (r *reader) readFrontend(i int, t *table) {
	t.label = r.labelOf("frontend", i, t)
	f := defaultFrontend()
	var backends []Address
	r.fill(t, append(f.fields(), shortForm(&backends)), "timeouts")
	r.need(t, "name", `write name = "..."`)
	r.need(t, "listen", `write listen = ["0.0.0.0:443"]`)

	f.Timeouts = r.cfg.Timeouts
	timeouts := r.sub(t, "timeouts", "frontend.timeouts")
	r.fill(timeouts, f.Timeouts.fields())
	if len(timeouts.values) > 0 {
		r.settle(timeouts, &f.Timeouts)
	}
	f.Timeouts.resolve()

	if f.Pool == "" && !t.has("pool") {
		f.Pool = f.Name
	}
	if t.has("backends") {
		r.makePool(t, f, backends)
	}
	r.cfg.Frontends = append(r.cfg.Frontends, f)
	r.frontends = append(r.frontends, t)
	r.sources["frontend."+f.Name] = t
}

// makePool adds the pool of a frontend's short form.
func (r *reader) makePool(t *table, f Frontend, addresses []Address) {
	if t.has("pool") {
		r.complain(t, "backends", "is the short form of a pool, and pool is set too", "keep one of them")
		return
	}
	if f.Name == "" {
		return
	}
	at := writtenAs(t.key("backends"), t.place("backends"), "name")
	p := defaultPool()
	p.Name = f.Name
	p.resolve()
	s := poolSource{table: at, health: at}
	for i, a := range addresses {
		if a.IsZero() {
			continue
		}
		b := defaultBackend()
		b.Name, b.Address = a.String(), a
		element := writtenAs(at.label, t.element("backends", i), "name", "address")
		if _, bad := nameText(b.Name); bad != nil {
			r.complain(element, "", bad.what, "write a [[pool]] and name the backend")
		}
		p.Backends = append(p.Backends, b)
		s.backends = append(s.backends, element)
		r.sources["pool."+p.Name+".backend."+b.Name] = element
	}
	r.addPool(p, s)
}

// writtenAs makes the table that a short form stands for.
func writtenAs(label string, at place, keys ...string) *table {
	t := &table{label: label, at: at, values: map[string]value{}}
	for _, key := range keys {
		t.values[key] = value{at: at}
	}
	return t
}

func (r *reader) readPool(i int, t *table) {
	t.label = r.labelOf("pool", i, t)
	p := defaultPool()
	r.fill(t, p.fields(), "health", "passive", "backend")
	r.need(t, "name", `write name = "..."`)
	p.resolve()

	health, passive := r.sub(t, "health", "pool.health"), r.sub(t, "passive", "pool.passive")
	r.fill(health, p.Health.fields())
	r.fill(passive, p.Passive.fields())

	s := poolSource{table: t, health: health}
	for j, bt := range r.subs(t, "backend", "pool.backend") {
		p.Backends = append(p.Backends, r.readBackend(t, j, bt))
		s.backends = append(s.backends, bt)
		r.sources["pool."+p.Name+".backend."+p.Backends[j].Name] = bt
	}
	r.addPool(p, s)
	r.sources["pool."+p.Name+".health"] = health
	r.sources["pool."+p.Name+".passive"] = passive
}

func (r *reader) addPool(p Pool, s poolSource) {
	r.cfg.Pools = append(r.cfg.Pools, p)
	r.pools = append(r.pools, s)
	r.sources["pool."+p.Name] = s.table
}

func (r *reader) readBackend(pool *table, j int, t *table) Backend {
	t.label = r.labelOf(pool.key("backend"), j, t)
	b := defaultBackend()
	r.fill(t, b.fields())
	r.need(t, "name", `write name = "..."`)
	r.need(t, "address", `write address = "10.0.1.1:8080"`)
	return b
}

// fill reads the keys of a table into fields. Keys that are neither fields nor
// subtables are unknown.
func (r *reader) fill(t *table, fields []field, subtables ...string) {
	for _, key := range sortedKeys(t.values) {
		if slices.Contains(subtables, key) {
			continue
		}
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			r.unknown(t, key, append(keysOf(fields), subtables...))
			continue
		}
		v, bad := r.expand(t.values[key])
		if len(bad) == 0 {
			bad = fields[i].read(v)
		}
		for _, c := range bad {
			r.problems = append(r.problems, Problem{c.at.file, c.at.line, t.key(key), c.what, c.remedy})
		}
	}
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

// expand expands a string, or those of an array.
func (r *reader) expand(v value) (value, []complaint) {
	var bad []complaint
	switch raw := v.raw.(type) {
	case string:
		text, f := expand(raw, r.opt.Env)
		if f != nil {
			bad = append(bad, complaint{*f, v.at})
		}
		v.raw = text
	case []value:
		expanded := make([]value, len(raw))
		for i, e := range raw {
			var more []complaint
			expanded[i], more = r.expand(e)
			bad = append(bad, more...)
		}
		v.raw = expanded
	}
	return v, bad
}

// sub returns the table below a key, an empty one if there is none. header is
// how a file writes it.
func (r *reader) sub(t *table, key, header string) *table {
	label := t.key(key)
	sub := &table{label: label, at: t.at}
	if v, ok := t.values[key]; ok {
		if written, isTable := v.raw.(*table); isTable {
			written.label, sub = label, written
		} else {
			r.complain(t, key, "is "+typeName(v.raw)+", not a table", "write ["+header+"], once")
		}
	}
	if t == r.root {
		r.sources[label] = sub
	}
	return sub
}

// subs returns the array of tables below a key.
func (r *reader) subs(t *table, key, header string) []*table {
	v, ok := t.values[key]
	if !ok {
		return nil
	}
	tables, isTables := v.raw.([]*table)
	if !isTables && !t.isEmpty(key) {
		r.complain(t, key, "is "+typeName(v.raw)+", not an array of tables", "write [["+header+"]]")
	}
	return tables
}

// labelOf names a table of an array by its name key, or else by its index.
func (r *reader) labelOf(prefix string, i int, t *table) string {
	if raw, ok := t.values["name"].raw.(string); ok {
		if name, bad := expand(raw, r.opt.Env); bad == nil {
			if _, bad := nameText(name); bad == nil {
				return prefix + "." + name
			}
		}
	}
	return prefix + "[" + strconv.Itoa(i) + "]"
}

// element returns where element i of the array below key is.
func (t *table) element(key string, i int) place {
	if elements, ok := t.values[key].raw.([]value); ok && i < len(elements) {
		return elements[i].at
	}
	return t.place(key)
}

func (r *reader) complain(t *table, key, what, remedy string) {
	r.complainAt(t.place(key), t.key(key), what, remedy)
}

func (r *reader) complainAt(at place, key, what, remedy string) {
	r.problems = append(r.problems, Problem{at.file, at.line, key, what, remedy})
}

func (r *reader) warn(t *table, key, what, remedy string) {
	at := t.place(key)
	r.warnings = append(r.warnings, Warning{at.file, at.line, t.key(key), what, remedy})
}

func (r *reader) need(t *table, key, remedy string) {
	if !t.has(key) {
		r.complain(t, key, "is missing", remedy)
	}
}
