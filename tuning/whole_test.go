package tuning

import (
	"os"
	"strings"
	"testing"
)

// From what was found on a host to what was there before, for each host that there is.
func TestHostsAreTunedAndPutBack(t *testing.T) {
	changed := 0
	for _, name := range hosts {
		t.Run(name, func(t *testing.T) {
			h, g := newHost(t, name)
			for _, n := range h.inspect(g).Needs {
				if n.Kind == Address {
					_ = os.MkdirAll(h.path("links/"+strings.Fields(n.Name)[2]), 0o755)
				}
			}
			was := h.dump()
			changed += len(h.apply(h.inspect(g).Needs, true))
			tuned := h.dump()
			if out := h.apply(h.inspect(g).Needs, true); len(out) > 0 {
				t.Errorf("a second apply did %+v", out)
			}
			h.apply(nil, true)
			for _, o := range h.drift() {
				t.Errorf("verify finds %v", o)
			}
			h.expectDump(tuned)
			h.revert()
			h.expectDump(was)
		})
	}
	if changed == 0 {
		t.Error("nothing was changed on any of them")
	}
}
