package config

// Unsupported lists the keys that are understood but that this program cannot
// honour yet: `run` refuses them and `check` reports them. Problems are in the
// order of the files. To add one, add a line to unsupportedKeys.
func (c *Config) Unsupported() Problems {
	var ps Problems
	for _, u := range c.unsupportedKeys() {
		if u.used {
			ps = append(ps, c.Blame(u.section, u.key, "is not supported yet", u.remedy))
		}
	}
	inOrder(ps, c.Files)
	return ps
}

// unsupportedKey is a key that would have to work if it is used.
type unsupportedKey struct {
	used         bool
	section, key string
	remedy       string
}

func (c *Config) unsupportedKeys() []unsupportedKey {
	const remove = "remove it"
	var keys []unsupportedKey
	for _, f := range c.Frontends {
		section := "frontend." + f.Name
		keys = append(keys,
			unsupportedKey{len(f.AcceptProxyFrom) > 0, section, "accept_proxy_from", remove})
	}
	for _, p := range c.Pools {
		section := "pool." + p.Name
		keys = append(keys,
			unsupportedKey{p.SendProxy != SendProxyOff, section, "send_proxy", `write "off"`})
	}
	return keys
}
