package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// front is a balancer with one frontend.
type front struct {
	*balancer.Balancer
	address string // as in the configuration
	checked bool   // health checks are on
}

// setup is what a balancer is configured with.
type setup struct {
	listen   string // "": a free port of 127.0.0.1
	health   string // TOML of [pool.health]; "": by connecting
	relay    string // "": the default
	backends []string
}

// noChecks is for programs that take a check for a client.
const noChecks = `type = "none"`

func (s setup) configuration(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "[process]\nadmin = \"\"\ndrain_timeout = \"0s\"\nstate_dir = %q\n", t.TempDir())
	if s.relay != "" {
		fmt.Fprintf(&b, "[relay]\nmode = %q\n", s.relay)
	}
	fmt.Fprintf(&b, "[[frontend]]\nname = \"front\"\nlisten = [%q]\npool = \"pool\"\n", s.listen)
	// A short interval lets checks run beside the traffic.
	fmt.Fprintf(&b, "[[pool]]\nname = \"pool\"\n[pool.health]\n%s\ninterval = \"100ms\"\n", s.health)
	for i, address := range s.backends {
		fmt.Fprintf(&b, "[[pool.backend]]\nname = \"b%d\"\naddress = %q\n", i+1, address)
	}
	return b.String()
}

// balance starts a balancer. It is stopped at the end of t.
func balance(t *testing.T, s setup) *front {
	t.Helper()
	if s.listen == "" {
		s.listen = address(t, "127.0.0.1")
	}
	if s.health == "" {
		s.health = `type = "tcp"`
	}
	c, _, err := config.Parse("interop.toml", []byte(s.configuration(t)), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := balancer.Start(context.Background(), balancer.Options{Config: c, OnEvent: func(e balancer.Event) {
		if e.Level != "info" {
			t.Logf("event %s %s: %s", e.Name, e.Subject, e.Message)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Shutdown(context.Background()) })
	return &front{Balancer: b, address: s.listen, checked: s.health != noChecks}
}

// expected is what the balancer must have counted after the programs have ended.
type expected struct {
	sessions            uint64            // 0: at least one
	toBackend, toClient uint64            // bytes, at least
	exactBytes          bool              // bytes, exactly
	resets              map[string]uint64 // end reasons beside FINs, and how many at most: those of a direct connection
	spliced             uint64            // bytes, at least
}

// judge compares what the balancer counted with what the programs told. Workers publish their counts some ms late, and the
// last session may end after its programs: it looks again until all is as expected.
func (f *front) judge(t *testing.T, want expected) {
	t.Helper()
	for deadline := time.Now().Add(testkit.Bound); ; time.Sleep(5 * time.Millisecond) {
		s := f.Frontends()[0]
		wrong := f.faults(s, want)
		if len(wrong) > 0 && time.Now().Before(deadline) {
			continue
		}
		t.Logf("%d sessions, %d bytes to backends, %d to clients, ended %v", s.Accepted, s.ToBackend, s.ToClient, nonZero(s.Ended))
		for _, fault := range wrong {
			t.Error(fault)
		}
		if s.Active > 0 {
			page, err := f.Sessions(context.Background(), balancer.SessionQuery{})
			t.Logf("sessions left: %+v, %v", page.Sessions, err)
		}
		return
	}
}

// faults is one line for each thing that is not as expected.
type faults []string

func (all *faults) addf(format string, args ...any) {
	*all = append(*all, fmt.Sprintf(format, args...))
}

func (f *front) faults(s balancer.FrontendStatus, want expected) (all faults) {
	if s.Active != 0 || f.Status().Sessions.Held != 0 {
		all.addf("%d sessions are left after the programs", s.Active)
	}
	if s.Accepted == 0 || want.sessions != 0 && s.Accepted != want.sessions {
		all.addf("accepted %d sessions, want %d", s.Accepted, want.sessions)
	}
	if refused := nonZero(s.Refused); len(refused) > 0 {
		all.addf("refused %v, want none", refused)
	}
	all.ofEnds(s, want.resets)
	all.ofBytes("to backends", s.ToBackend, want.toBackend, want.exactBytes)
	all.ofBytes("to clients", s.ToClient, want.toClient, want.exactBytes)
	all.ofRelay(f, s.ToBackend+s.ToClient, want.spliced)
	all.ofBackends(f, s)
	return all
}

// ofEnds wants every session ended by FIN, but for some resets.
func (all *faults) ofEnds(s balancer.FrontendStatus, resets map[string]uint64) {
	var sum uint64
	for reason, n := range nonZero(s.Ended) {
		sum += n
		if reason != "client_fin" && reason != "backend_fin" && n > resets[reason] {
			all.addf("%d sessions ended with %s, want only FINs and at most %v", n, reason, resets)
		}
	}
	if sum != s.Accepted {
		all.addf("accepted %d sessions, ended %d: want the same", s.Accepted, sum)
	}
}

func (all *faults) ofBytes(way string, got, want uint64, exact bool) {
	if got < want || exact && got != want {
		all.addf("%d bytes %s, the programs say %d", got, way, want)
	}
}

// ofRelay looks at how the workers moved the bytes: each one either way and once, and no pipe is left in use.
func (all *faults) ofRelay(f *front, bytes, spliced uint64) {
	var copied, inPipes uint64
	for _, w := range f.Workers() {
		copied += w.CopiedBytes
		inPipes += w.SplicedBytes
	}
	if copied+inPipes != bytes {
		all.addf("%d bytes copied and %d spliced, want %d in all", copied, inPipes, bytes)
	}
	if inPipes < spliced {
		all.addf("%d bytes spliced, want at least %d", inPipes, spliced)
	}
	if used := f.Status().Pipes.Used; used != 0 {
		all.addf("%d pipes in use without a session", used)
	}
}

// ofBackends holds the backends' counts against the frontend's. Every backend must have had a part.
func (all *faults) ofBackends(f *front, s balancer.FrontendStatus) {
	var toBackend, toClient uint64
	for _, b := range f.Pools()[0].Backends {
		toBackend += b.ToBackend
		toClient += b.ToClient
		if b.ToBackend == 0 || b.Sessions != 0 {
			all.addf("backend %s: %d bytes, %d sessions; want some and none", b.Name, b.ToBackend, b.Sessions)
		}
		if f.checked && b.Checks["ok"] == 0 {
			all.addf("backend %s: no health check passed: %v", b.Name, b.Checks)
		}
		if failed := nonZero(b.Failures); len(failed) > 0 {
			all.addf("backend %s: connects failed: %v", b.Name, failed)
		}
	}
	if toBackend != s.ToBackend || toClient != s.ToClient {
		all.addf("backends count %d and %d bytes, the frontend %d and %d", toBackend, toClient, s.ToBackend, s.ToClient)
	}
}

func nonZero(counts map[string]uint64) map[string]uint64 {
	some := map[string]uint64{}
	for k, n := range counts {
		if n > 0 {
			some[k] = n
		}
	}
	return some
}
