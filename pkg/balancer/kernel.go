package balancer

import (
	"fmt"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/sys"
)

// FeaturesOf is what the self-test found, as others see it.
func FeaturesOf(found []sys.Feature) []Feature {
	all := make([]Feature, 0, len(found))
	for _, f := range found {
		all = append(all, Feature{Name: f.Name, Present: f.Present, Tried: f.Tried, Value: f.Value, Since: f.Since, Fallback: f.Fallback})
	}
	return all
}

// selfTest tries what this kernel does, writes it to the log at debug level, and says what has to do without.
func (b *Balancer) selfTest() {
	try := b.probe
	if try == nil {
		try = sys.Probe
	}
	b.features = append(try(int(pipeBytes(b.cfg))), b.loadSteering())
	for i := range b.features {
		f := &b.features[i]
		b.events.note(Event{Name: "kernel", Level: "debug", Subject: f.Name, Message: finding(f)})
		if !f.Present || !f.Tried {
			b.Emit(b.lack(f))
		}
	}
}

// finding is one line of the table.
func finding(f *sys.Feature) string {
	switch {
	case !f.Tried:
		return f.Value
	case !f.Present:
		return "missing: " + f.Value
	case f.Value == "":
		return "here"
	}
	return "here: " + f.Value
}

// lack is the event of a feature that is not here. It is a warning where something that runs today suffers.
func (b *Balancer) lack(f *sys.Feature) Event {
	e := Event{Name: "degraded", Level: "info", Subject: f.Name, Fields: map[string]string{"since": f.Since}}
	if !f.Tried {
		e.Message = "self-test: " + f.Value + "; it counts as there"
		return e
	}
	if f.Used {
		e.Level = "warn"
	}
	what := "not on this kernel"
	if f.Denied {
		what = "not allowed to this process"
	}
	e.Message = fmt.Sprintf("%s (%s), Linux has it since %s; instead: %s", what, f.Value, f.Since, f.Fallback)
	if f.Name == sys.FeatureSplice && b.cfg.Relay.Mode == config.RelaySplice {
		e.Message += `; relay.mode = "splice" cannot be had`
	}
	return e
}

// has tells whether the kernel has a feature, or may have it.
func (b *Balancer) has(name string) bool {
	for i := range b.features {
		if b.features[i].Name == name {
			return b.features[i].Present
		}
	}
	return true
}

// relayMode is how workers move bytes: as configured, but without splice by copying.
func (b *Balancer) relayMode() relay.Mode {
	if !b.has(sys.FeatureSplice) {
		return relay.Copy
	}
	return map[string]relay.Mode{config.RelayAuto: relay.Auto, config.RelayCopy: relay.Copy, config.RelaySplice: relay.Splice}[b.cfg.Relay.Mode]
}
