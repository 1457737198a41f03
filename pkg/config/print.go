package config

import (
	"bufio"
	"fmt"
	"io"
)

// Print writes the effective configuration as TOML that Parse turns into an
// equal Config. Keys that no file had set carry the comment "# default", those
// a frontend takes from [timeouts] "# from [timeouts]".
func (c *Config) Print(w io.Writer) error {
	p := printer{bufio.NewWriter(w), c.sources}
	p.section("[process]", "process", c.Process.fields())
	p.section("[relay]", "relay", c.Relay.fields())
	p.section("[timeouts]", "timeouts", c.Timeouts.fields())
	for i := range c.Frontends {
		p.frontend(&c.Frontends[i], c.Timeouts)
	}
	for i := range c.Pools {
		p.pool(&c.Pools[i])
	}
	p.section("[tuning]", "tuning", c.Tuning.fields())
	return p.w.Flush()
}

type printer struct {
	w       *bufio.Writer // keeps its first error until Flush
	sources map[string]*table
}

func (p printer) frontend(f *Frontend, global Timeouts) {
	label := "frontend." + f.Name
	p.section("[[frontend]]", label, f.fields())
	if f.Timeouts == global {
		return
	}
	var own *table
	if t := p.sources[label]; t != nil {
		own, _ = t.values["timeouts"].raw.(*table)
	}
	fmt.Fprintln(p.w, "[frontend.timeouts]")
	p.keys(own, "# from [timeouts]", f.Timeouts.fields())
}

func (p printer) pool(pool *Pool) {
	label := "pool." + pool.Name
	p.section("[[pool]]", label, pool.fields())
	p.section("[pool.health]", label+".health", pool.Health.fields())
	p.section("[pool.passive]", label+".passive", pool.Passive.fields())
	for i := range pool.Backends {
		b := &pool.Backends[i]
		p.section("[[pool.backend]]", label+".backend."+b.Name, b.fields())
	}
}

func (p printer) section(header, label string, fields []field) {
	fmt.Fprintln(p.w, header)
	p.keys(p.sources[label], "# default", fields)
}

// keys writes fields; those that t lacks get the comment. Without a table all do.
func (p printer) keys(t *table, comment string, fields []field) {
	for _, f := range fields {
		line := f.key + " = " + f.show()
		if t == nil || !t.has(f.key) {
			line = fmt.Sprintf("%-40s %s", line, comment)
		}
		fmt.Fprintln(p.w, line)
	}
	fmt.Fprintln(p.w)
}
