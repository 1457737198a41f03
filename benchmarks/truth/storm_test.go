package truth

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/flawed"
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
)

const stormSessions = 40

// everyOther is a victim that holds half of the sessions, since the proxy uses its two backends in turn.
type everyOther struct{ kill func() }

func (v everyOther) Held() (int, error) { return stormSessions / 2, nil }
func (v everyOther) Kill() error        { v.kill(); return nil }

func TestAStormSeesWhoDidNotComeBack(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, flaw    string
		wrong, failed uint64
		cut, returned int
	}{
		{"all come back", "", 0, 0, 20, 20},
		{"nobody is served who comes back", "deaf=40", 0, 20, 20, 0},
		{"three are reset before it", "reset=13", 0, 3, 18, 18},          // 13 and 39 were the victim's
		{"all are given a wrong byte before it", "flip=20", 40, 1, 0, 0}, // the one: there was no storm
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			keeps, dies := open(t, serve.Echo, false), open(t, serve.Echo, false)
			p, err := flawed.Open(flawed.Config{Listen: anyPort, To: []netip.AddrPort{keeps.addr, dies.addr}, Flaw: c.flaw})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			cfg := load.StormConfig{Config: config(p.Addr), Sessions: stormSessions, MessageBytes: 64, Rate: 2000, Victim: everyOther{dies.stop}, Limit: patient}
			if c.cut > c.returned {
				cfg.Patience, cfg.Limit = short, short
			}
			res, err := load.Storm(cfg)
			if err != nil {
				t.Fatal(err)
			}
			r := res.Return
			t.Logf("%d wrong, %d failed: %s; %d cut, %d back after %d attempts, %.3f s", res.Wrong, res.Failed, res.FirstError, r.Cut, r.Returned, r.Attempts, r.Seconds)
			if res.Wrong != c.wrong || res.Failed != c.failed || r.Cut != c.cut || r.Returned != c.returned {
				t.Errorf("want %d wrong, %d failed, %d cut, %d back", c.wrong, c.failed, c.cut, c.returned)
			}
			if r.Attempts != uint64(r.Cut)+r.Refused {
				t.Errorf("%d attempts for %d clients, %d refused", r.Attempts, r.Cut, r.Refused)
			}
		})
	}
}
