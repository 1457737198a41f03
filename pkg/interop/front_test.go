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

// judge waits for the last end and compares what the balancer counted with what the programs told.
func (f *front) judge(t *testing.T, want expected) {
	t.Helper()
	s := f.rest(t)
	t.Logf("%d sessions, %d bytes to backends, %d to clients, ended %v", s.Accepted, s.ToBackend, s.ToClient, nonZero(s.Ended))
	if s.Accepted == 0 || want.sessions != 0 && s.Accepted != want.sessions {
		t.Errorf("accepted %d sessions, want %d", s.Accepted, want.sessions)
	}
	if refused := nonZero(s.Refused); len(refused) > 0 {
		t.Errorf("refused %v, want none", refused)
	}
	judgeEnds(t, s, want.resets)
	judgeBytes(t, "to backends", s.ToBackend, want.toBackend, want.exactBytes)
	judgeBytes(t, "to clients", s.ToClient, want.toClient, want.exactBytes)
	f.judgeRelay(t, s.ToBackend+s.ToClient, want.spliced)
	f.judgeBackends(t, s)
}

// rest returns the frontend's counts once no session is left.
func (f *front) rest(t *testing.T) balancer.FrontendStatus {
	t.Helper()
	for deadline := time.Now().Add(testkit.Bound); ; time.Sleep(5 * time.Millisecond) {
		s := f.Frontends()[0]
		if s.Active == 0 && f.Status().Sessions.Held == 0 {
			return s
		}
		if time.Now().After(deadline) {
			page, err := f.Sessions(context.Background(), balancer.SessionQuery{})
			t.Fatalf("%d sessions are left %s after the programs: %+v, %v", s.Active, testkit.Bound, page.Sessions, err)
		}
	}
}

// judgeEnds wants every session ended by FIN, but for some resets.
func judgeEnds(t *testing.T, s balancer.FrontendStatus, resets map[string]uint64) {
	t.Helper()
	var sum uint64
	for reason, n := range nonZero(s.Ended) {
		sum += n
		if reason != "client_fin" && reason != "backend_fin" && n > resets[reason] {
			t.Errorf("%d sessions ended with %s, want only FINs and at most %v", n, reason, resets)
		}
	}
	if sum != s.Accepted {
		t.Errorf("accepted %d sessions, ended %d: want the same", s.Accepted, sum)
	}
}

func judgeBytes(t *testing.T, way string, got, want uint64, exact bool) {
	t.Helper()
	if got < want || exact && got != want {
		t.Errorf("%d bytes %s, the programs say %d", got, way, want)
	}
}

// judgeRelay looks at how the workers moved the bytes: no byte is moved both ways or neither way, no pipe is left in use.
func (f *front) judgeRelay(t *testing.T, bytes, spliced uint64) {
	t.Helper()
	var copied, inPipes, stale uint64
	for _, w := range f.Workers() {
		copied += w.CopiedBytes
		inPipes += w.SplicedBytes
		stale += w.StaleEvents
	}
	t.Logf("%d bytes copied, %d spliced, %d stale events", copied, inPipes, stale)
	if copied+inPipes != bytes {
		t.Errorf("%d bytes copied and %d spliced, want %d in all", copied, inPipes, bytes)
	}
	if inPipes < spliced {
		t.Errorf("%d bytes spliced, want at least %d", inPipes, spliced)
	}
	if used := f.Status().Pipes.Used; used != 0 {
		t.Errorf("%d pipes in use without a session", used)
	}
}

// judgeBackends holds the backends' counts against the frontend's. Every backend must have had a part.
func (f *front) judgeBackends(t *testing.T, s balancer.FrontendStatus) {
	t.Helper()
	var toBackend, toClient uint64
	for _, b := range f.Pools()[0].Backends {
		toBackend += b.ToBackend
		toClient += b.ToClient
		if b.ToBackend == 0 || b.Sessions != 0 {
			t.Errorf("backend %s: %d bytes, %d sessions; want some and none", b.Name, b.ToBackend, b.Sessions)
		}
		if f.checked && b.Checks["ok"] == 0 {
			t.Errorf("backend %s: no health check passed: %v", b.Name, b.Checks)
		}
		if failed := nonZero(b.Failures); len(failed) > 0 {
			t.Errorf("backend %s: connects failed: %v", b.Name, failed)
		}
	}
	if toBackend != s.ToBackend || toClient != s.ToClient {
		t.Errorf("backends count %d and %d bytes, the frontend %d and %d", toBackend, toClient, s.ToBackend, s.ToClient)
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
