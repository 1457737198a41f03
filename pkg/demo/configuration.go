package demo

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const (
	poolName    = "chat"
	adminSocket = "admin.sock"
)

// configuration is the TOML that longsplice runs with. Checks and ejection keep step with the story, so that a short one
// shows them too.
func (d *demo) configuration(dir string) string {
	interval := min(max(d.cycle/30, 100*time.Millisecond), 500*time.Millisecond).Round(10 * time.Millisecond)
	eject := min(max((d.cycle/8).Round(time.Second), time.Second), 2*time.Second)
	var b strings.Builder
	fmt.Fprintf(&b, "[process]\nadmin = %q\nstate_dir = %q\ndrain_timeout = \"1s\"\n", filepath.Join(dir, adminSocket), dir)
	if d.page != "" {
		fmt.Fprintf(&b, "http = %q\n", d.page)
	}
	fmt.Fprintf(&b, "\n[[frontend]]\nname = %q\nlisten = [%q]\npool = %q\n", poolName, d.address, poolName)
	fmt.Fprintf(&b, "\n[[pool]]\nname = %q\nhealth = { interval = %q, fall = 2 }\n", poolName, interval)
	fmt.Fprintf(&b, "passive = { consecutive_failures = 3, eject_for = %q }\nbackend = [\n", eject)
	for _, x := range d.backends {
		fmt.Fprintf(&b, "  { name = %q, address = %q },\n", x.name, x.addr)
	}
	b.WriteString("]\n")
	return b.String()
}
