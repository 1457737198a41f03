package stats

import (
	"slices"
	"strings"
	"testing"
)

// contractReasons are the end reasons of the contract, section 4, with whose doing each is for a backend's counters.
const contractReasons = `
client_fin normal, backend_fin normal, client_reset client, backend_reset backend, client_left client, client_gone client,
backend_gone backend, idle_timeout timeout, half_close_timeout timeout, stall_timeout timeout, connect_refused backend,
connect_timeout backend, no_backend local, backend_unhealthy local, killed local, shed local, evicted local,
drained local, shutdown local, handoff_lost local, no_fds local, no_ports local, no_memory local`

func TestReasonsAreThoseOfTheContract(t *testing.T) {
	want := map[string]string{}
	for part := range strings.SplitSeq(contractReasons, ",") {
		fields := strings.Fields(part)
		want[fields[0]] = fields[1]
	}
	for r := None + 1; r < NumReasons; r++ {
		cause, known := want[r.String()]
		switch {
		case !known:
			t.Errorf("reason %d, %q, is not in the contract, or there twice", r, r)
		case r.Cause().String() != cause:
			t.Errorf("cause of %s is %s, want %s", r, r.Cause(), cause)
		}
		if clean := r.Cause() == CauseNormal; r.Clean() != clean {
			t.Errorf("Clean of %s is %v", r, r.Clean())
		}
		delete(want, r.String())
	}
	for name := range want {
		t.Errorf("no reason is called %s", name)
	}
	if None.String() != "none" || None.Clean() {
		t.Errorf("None is %q, clean %v", None, None.Clean())
	}
}

func TestLabels(t *testing.T) {
	cases := []struct {
		name, want string
		got        []string
	}{
		{"causes", "normal client backend timeout local", words(NumCauses, Cause.String)},
		{"refusals", "denied full client_full rate draining no_fds no_memory bad_proxy_header", words(NumRefusals, Refusal.String)},
		{"connect failures", "refused timeout unreachable self_connect local other", words(NumConnectFailures, ConnectFailure.String)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(c.got, " "); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func words[T ~uint8](n T, word func(T) string) (all []string) {
	for i := range n {
		all = append(all, word(i))
	}
	return all
}

func TestBoundsRise(t *testing.T) {
	for name, bounds := range map[string][]float64{"duration": DurationBounds[:], "connect": ConnectBounds[:], "turn": TurnBounds[:]} {
		if !slices.IsSorted(bounds) || len(slices.Compact(slices.Clone(bounds))) != len(bounds) {
			t.Errorf("%s bounds %v do not rise", name, bounds)
		}
	}
}
