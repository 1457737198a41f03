package load_test

import (
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// held runs the commands and returns what each was answered.
func held(t *testing.T, to netip.AddrPort, patience time.Duration, commands ...string) (reports []load.HoldReport) {
	t.Helper()
	var out strings.Builder
	cfg := load.Config{To: []netip.AddrPort{to}, Patience: patience}
	if err := load.Hold(cfg, 1000, strings.NewReader(strings.Join(commands, "\n")), &out); err != nil {
		t.Fatal(err)
	}
	for d := json.NewDecoder(strings.NewReader(out.String())); d.More(); {
		var rep load.HoldReport
		if err := d.Decode(&rep); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, rep)
	}
	if len(reports) != len(commands) {
		t.Fatalf("%d answers to %d commands", len(reports), len(commands))
	}
	return reports
}

func TestHeldSessionsEchoAgainAndAgain(t *testing.T) {
	testkit.LeakCheck(t)
	got := held(t, backend(t, serve.Echo), 30*time.Second, "open 70", "check", "open 200", "check")
	for i, want := range []load.HoldReport{{Live: 70}, {Live: 70, Checked: 70}, {Live: 200}, {Live: 200, Checked: 200}} {
		got[i].Seconds = 0
		if got[i] != want {
			t.Errorf("answer %d is %+v, want %+v", i, got[i], want)
		}
	}
}

func TestHeldSessionsThatAreNotHeldAreCaught(t *testing.T) {
	testkit.LeakCheck(t)
	for name, breaks := range map[string]fault{
		"a flipped bit": func(p []byte) ([]byte, bool) { p[len(p)/2] ^= 1; return p, true },
		"no answer":     func([]byte) ([]byte, bool) { return nil, true },
		"an early end":  func(p []byte) ([]byte, bool) { return p[:4], false },
	} {
		got := held(t, faultyProxy(t, backend(t, serve.Echo), serve.Echo, breaks), 300*time.Millisecond, "open 100", "check")[1]
		if got.Wrong+got.Failed != 100 || got.Live != 0 || got.FirstError == "" {
			t.Errorf("%s: %+v, want 100 faults", name, got)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	to := ln.Addr().(*net.TCPAddr).AddrPort()
	ln.Close()
	if got := held(t, to, time.Second, "open 100")[0]; got.Failed != 100 || got.Live != 0 {
		t.Errorf("nobody there: %+v, want 100 faults", got)
	}
}
