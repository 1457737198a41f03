package config

import "slices"

// unknown reports a key that does not belong into a table, with what was
// probably meant: a near one of this table, the same one of another, or else
// the nearest.
func (r *reader) unknown(t *table, key string, known []string) {
	near, isNear := Nearest(key, known)
	remedy := "did you mean `" + near + "`?"
	if home := homeOf(key); !isNear && home != "" {
		remedy = "it belongs in " + home
	} else if !isNear {
		remedy = "the nearest known key is `" + near + "`"
	}
	if r.opt.IgnoreUnknownKeys {
		r.warn(t, key, "is ignored: unknown key", remedy)
		return
	}
	r.complain(t, key, "unknown key", remedy)
}

// homeOf returns the header of the section that knows a key, "" if none does.
func homeOf(key string) string {
	var (
		p  Process
		re Relay
		ti Timeouts
		f  Frontend
		po Pool
		b  Backend
		tu Tuning
	)
	homes := []struct {
		header string
		fields []field
	}{
		{"[process]", p.fields()},
		{"[relay]", re.fields()},
		{"[timeouts] or [frontend.timeouts]", ti.fields()},
		{"[[frontend]]", f.fields()},
		{"[[pool]]", po.fields()},
		{"[pool.health]", po.Health.fields()},
		{"[pool.passive]", po.Passive.fields()},
		{"[[pool.backend]]", b.fields()},
		{"[tuning]", tu.fields()},
	}
	for _, h := range homes {
		if slices.Contains(keysOf(h.fields), key) {
			return h.header
		}
	}
	return ""
}
