package worker

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Two peers play random scripts directly and through a worker: what each of them sees must be the same.
func TestScriptsEqualDirect(t *testing.T) {
	scripts := uint64(200)
	if testing.Short() {
		scripts = 30
	}
	for _, mode := range []relay.Mode{relay.Auto, relay.Copy, relay.Splice} {
		t.Run([...]string{"auto", "copy", "splice"}[mode], func(t *testing.T) {
			testkit.LeakCheck(t)
			l, err := testkit.Listen(loopback)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			snap := newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", l.Addr()))
			r := newRig(t, snap, func(c *Config) { c.Mode = mode })
			for seed := uint64(mode) + 1; seed <= scripts; seed += 3 {
				s := testkit.RandomScript(seed)
				s.IPv6 = false
				direct := testkit.RunDirect(t, s)
				through := testkit.RunThrough(t, s, r.front, l)
				if diffs := testkit.Differences(direct, through); len(diffs) > 0 {
					t.Fatalf("seed %d: %s", seed, testkit.Explain(s, diffs))
				}
			}
		})
	}
}
