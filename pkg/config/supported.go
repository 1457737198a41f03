package config

// Unsupported lists the keys that are understood but that this program cannot
// honour yet: `run` refuses them and `check` reports them. Problems are in the
// order of the files. To add one, add a line to unsupportedKeys.
func (c *Config) Unsupported() Problems {
	var ps Problems
	for _, u := range c.unsupportedKeys() {
		if !u.used {
			continue
		}
		p := Problem{Key: u.section + "." + u.key, What: "is not supported yet", Remedy: u.remedy}
		if t := c.sources[u.section]; t != nil {
			at := t.place(u.key)
			p.File, p.Line = at.file, at.line
		}
		ps = append(ps, p)
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
	tuning := defaultTuning()
	keys := []unsupportedKey{
		{c.Tuning.Sessions != tuning.Sessions, "tuning", "sessions", remove},
		{c.Tuning.Interface != tuning.Interface, "tuning", "interface", remove},
	}
	for _, f := range c.Frontends {
		section := "frontend." + f.Name
		keys = append(keys,
			unsupportedKey{len(f.AcceptProxyFrom) > 0, section, "accept_proxy_from", remove})
	}
	for _, p := range c.Pools {
		section := "pool." + p.Name
		keys = append(keys,
			unsupportedKey{p.SendProxy != SendProxyOff, section, "send_proxy", `write "off"`},
			unsupportedKey{len(p.SourceAddresses) > 0, section, "source_addresses", "remove it: the kernel chooses"},
			unsupportedKey{p.LocalPorts != PortRange{}, section, "local_ports", "remove it: the kernel chooses"})
	}
	return keys
}
