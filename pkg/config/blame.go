package config

// Blame makes a problem of what was found wrong with a key of a section ("pool.chat") later than when it was read, such as
// on this host. It says where the key stands.
func (c *Config) Blame(section, key, what, remedy string) Problem {
	p := Problem{Key: section + "." + key, What: what, Remedy: remedy}
	if t := c.sources[section]; t != nil {
		at := t.place(key)
		p.File, p.Line = at.file, at.line
	}
	return p
}
