package compare

import (
	"fmt"
	"net/netip"

	"github.com/longsplice/longsplice/benchmarks/peers"
)

// Goal is one of the figures longsplice sets itself, judged in this run.
type Goal struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Bound float64 `json:"bound"`
	Met   bool    `json:"met"`
}

// rivals are the balancers that "the best peer" is taken from.
var rivals = []string{"haproxy", "haproxy-1m", "nginx", "iocopy"}

// exampleData stands in for the addresses of a run in a recorded configuration.
var exampleData = peers.Data{
	Listen:   netip.MustParseAddrPort("127.0.0.1:8080"),
	Backends: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:9000"), netip.MustParseAddrPort("127.0.0.3:9000")},
	Dir:      "DIR",
}

// goals judges what was measured; a goal without its figures is left out.
func goals(r *Report) []Goal {
	var out []Goal
	for _, sc := range []string{"bulk-1", "bulk-200"} {
		out = r.atMost(out, sc, 0.40, "haproxy")
		out = r.atMost(out, sc, 0.90, "haproxy-1m")
	}
	out = r.atLeast(out, "echo", 1.20)
	out = r.atLeast(out, "churn", 1.15)
	out = r.atMost(out, "latency", 1.00, r.best("latency", false))
	if v, ok := r.figure("idle", "longsplice"); ok {
		out = append(out, Goal{"idle: user memory per session, bytes", v, 256, v <= 256})
	}
	return out
}

// atMost: longsplice's cost over the rival's, to be no more than bound.
func (r *Report) atMost(out []Goal, scenario string, bound float64, rival string) []Goal {
	ours, ok1 := r.figure(scenario, "longsplice")
	theirs, ok2 := r.figure(scenario, rival)
	if !ok1 || !ok2 || theirs == 0 {
		return out
	}
	return append(out, Goal{fmt.Sprintf("%s: longsplice / %s", scenario, rival), ours / theirs, bound, ours/theirs <= bound})
}

// atLeast: longsplice's yield over the best rival's, to be no less than bound.
func (r *Report) atLeast(out []Goal, scenario string, bound float64) []Goal {
	rival := r.best(scenario, true)
	ours, ok1 := r.figure(scenario, "longsplice")
	theirs, ok2 := r.figure(scenario, rival)
	if !ok1 || !ok2 || theirs == 0 {
		return out
	}
	return append(out, Goal{fmt.Sprintf("%s: longsplice / %s (the best peer)", scenario, rival), ours / theirs, bound, ours/theirs >= bound})
}

// best names the rival with the highest or lowest first metric; "" if none was measured.
func (r *Report) best(scenario string, highest bool) (name string) {
	var top float64
	for _, rival := range rivals {
		v, ok := r.figure(scenario, rival)
		if ok && (name == "" || (v > top) == highest && v != top) {
			name, top = rival, v
		}
	}
	return name
}
