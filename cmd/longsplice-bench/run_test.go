package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/longsplice/longsplice/benchmarks/scenarios"
)

func TestEveryCaseSpeaksTheLoadCommandsLanguage(t *testing.T) {
	cases, err := scenarios.Choose(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		if err := checkCase(&cases[i]); err != nil {
			t.Error(err)
		}
	}
}

func TestAWrongFlagIsSaidWithItsLine(t *testing.T) {
	const head = "# Purpose: to be wrong.\nname = \"wrong\"\n[[case]]\nname = \"x\"\nabout = \"x\"\nset = \"full\"\nserve = \"echo\"\n"
	tests := []struct{ name, rest, want string }{
		{"a workload that is none", "workload = \"ping\"\n", `wrong.toml:8: case[0].workload: "ping" is unknown; there are echo, `},
		{"a flag that is none", "workload = \"echo\"\n[case.load]\nmesage = 64\n", "wrong.toml:10: case[0].load.mesage: load echo has no such flag; it has sessions, message,"},
		{"a value that is none", "workload = \"echo\"\n[case.load]\nfor = \"2\"\n", `wrong.toml:10: case[0].load.for: is "2": `},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			s, err := scenarios.Parse("wrong.toml", []byte(head+tc.rest))
			if err != nil {
				t.Fatal(err)
			}
			if err := checkCase(&s.Cases[0]); err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s...", err, tc.want)
			}
		})
	}
}

const tiny = `# Purpose: to be over soon.
name = "tiny"
[[case]]
name = "echo"
about = "a few messages"
set = "full"
workload = "echo"
serve = "echo"
[case.load]
sessions = 4
message = 64
warm = "10ms"
for = "50ms"
[[case]]
name = "down"
about = "a few bytes"
set = "full"
workload = "bulk"
serve = "source"
[case.load]
streams = 2
bytes = 4_000_000
[[case]]
name = "short"
about = "a few sessions"
set = "full"
workload = "churn"
serve = "echo"
spread = true
[case.load]
at-once = 2
warm = "10ms"
for = "50ms"
[[case]]
name = "silent"
about = "silence"
set = "full"
workload = "idle"
serve = "echo"
[case.load]
sessions = [10, 20]
for = "10ms"
`

func TestRunMeasuresSoundly(t *testing.T) {
	dir := t.TempDir()
	balancer, scenario, out := filepath.Join(dir, "longsplice"), filepath.Join(dir, "tiny.toml"), filepath.Join(dir, "results")
	if text, err := exec.Command("go", "build", "-o", balancer, "../longsplice").CombinedOutput(); err != nil {
		t.Fatalf("build longsplice: %v: %s", err, text)
	}
	if err := os.WriteFile(scenario, []byte(tiny), 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := program(t, "run", "-s", scenario, "--targets", "direct,longsplice,iocopy,dnat", "--rounds", "1",
		"--longsplice", balancer, "--reference", "iocopy", "--with", "message=100", "--out", out)
	if code != 0 {
		t.Fatalf("exit %d:\n%s", code, stderr)
	}
	rep, err := report.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := rep.Cases[0]; !strings.Contains(got.Command, "--message=100") || !strings.HasSuffix(got.About, "; here --message=100") {
		t.Errorf("the case does not say what was changed: %+v", got)
	}
	targets := 4 - len(rep.Missing) // dnat needs rights
	if len(rep.Cases) != 4 || len(rep.Runs) != 4*targets || len(rep.Unsound()) != 0 || targets < 3 {
		t.Errorf("%d runs of %d cases, %d unsound, missing %v", len(rep.Runs), len(rep.Cases), len(rep.Unsound()), rep.Missing)
	}
	if rep.Setup.Ended.IsZero() || rep.Setup.Stopped != "" || rep.Reference() != "iocopy" {
		t.Errorf("the set-up is %+v", rep.Setup)
	}
	if !strings.Contains(stdout, "tiny/echo") {
		t.Errorf("the table is not printed:\n%s", stdout)
	}
	if text, err := os.ReadFile(filepath.Join(out, "configs", "longsplice.toml")); err != nil || !strings.Contains(string(text), "[[pool.backend]]") {
		t.Errorf("longsplice's configuration is not kept (%v):\n%s", err, text)
	}
}

const joint = `# Purpose: what run and both ends have to agree on.
name = "joint"
[[case]]
name = "storm"
about = "a backend of its own dies"
set = "full"
workload = "storm"
serve = "echo"
apart = true
[case.load]
sessions = 8
rate = 100
warm = "10ms"
for = "50ms"
[[case]]
name = "websocket"
about = "both ends speak it"
set = "full"
workload = "push"
serve = "push"
[case.load]
sessions = 4
rate = 200
websocket = true
warm = "10ms"
for = "100ms"
`

func TestRunTellsBothEndsWhatTheyNeed(t *testing.T) {
	dir := t.TempDir()
	scenario, out := filepath.Join(dir, "joint.toml"), filepath.Join(dir, "results")
	if err := os.WriteFile(scenario, []byte(joint), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := program(t, "run", "-s", scenario, "--targets", "direct", "--rounds", "1", "--out", out); code != 0 {
		t.Fatalf("exit %d:\n%s", code, stderr)
	}
	rep, err := report.Load(out)
	if err != nil || len(rep.Runs) != 2 {
		t.Fatalf("%+v, %v", rep, err)
	}
	if ret := rep.Runs[0].Result.Return; ret == nil || ret.Held == 0 || ret.Returned != ret.Held {
		t.Errorf("the storm was %+v", ret)
	}
}

// A target that is not there at all and one that ends under load are failures of theirs, not of the run.
func TestOneThatFailsIsRecorded(t *testing.T) {
	dir := t.TempDir()
	scenario, out := filepath.Join(dir, "tiny.toml"), filepath.Join(dir, "results")
	if err := os.WriteFile(scenario, []byte(tiny), 0o644); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := program(t, "run", "-s", scenario, "--targets", "direct,longsplice,mine", "--longsplice", filepath.Join(dir, "nothing"),
		"--target", "mine=127.0.0.1:1", "--backend", "127.0.0.77:0", "--rounds", "1", "--out", out)
	if code != exitUnsound {
		t.Fatalf("exit %d, want %d:\n%s", code, exitUnsound, stderr)
	}
	rep, err := report.Load(out)
	if err != nil {
		t.Fatal(err)
	}
	if len(rep.Runs) != 8 || len(rep.Unsound()) != 4 || len(rep.Missing) != 1 || rep.Missing[0].Target != "longsplice" {
		t.Errorf("%d runs, %d unsound, missing %v", len(rep.Runs), len(rep.Unsound()), rep.Missing)
	}
	for _, r := range rep.Unsound() {
		if r.Target != "mine" || !strings.Contains(r.Fault(), "refused") {
			t.Errorf("%s through %s: %s", r.Case, r.Target, r.Fault())
		}
	}
}

func TestListNamesEverything(t *testing.T) {
	stdout, stderr, code := program(t, "list", "--longsplice", "/nowhere/longsplice")
	if code != 0 {
		t.Fatalf("exit %d: %s", code, stderr)
	}
	for _, want := range []string{"echo/64", "churn: ", "direct", "missing: /nowhere/longsplice is not here"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("it does not say %q:\n%s", want, stdout)
		}
	}
}
