package matrix

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A fault may make its test hang: the test's own limit ends it, and the runner's ends whatever does not keep to that.
const (
	faultTestLimit = 2 * time.Minute
	faultRunLimit  = faultTestLimit + 2*time.Minute // compiling comes on top
)

// trial is what came of one fault.
type trial struct {
	fault
	result  string // "killed", or why the fault proves nothing
	seconds float64
	output  string
}

func (r trial) killed() bool { return strings.HasPrefix(r.result, "killed") }

// TestFaultsAreKilled tries every fault: with it, the named test has to fail; without it, the same test has to pass.
// It takes an hour. LONGSPLICE_FAULTS=1 runs it (`make faults`), FAULTS=regexp chooses faults by "row: what", and
// LONGSPLICE_FAULTS_REPORT=file keeps the table.
func TestFaultsAreKilled(t *testing.T) {
	if os.Getenv("LONGSPLICE_FAULTS") != "1" {
		t.Skip("LONGSPLICE_FAULTS=1 tries every fault; make faults sets it")
	}
	chosen, err := regexp.Compile(os.Getenv("FAULTS"))
	if err != nil {
		t.Fatalf("FAULTS: %v", err)
	}
	sound := map[string]string{} // by package and test: what came of it without any fault
	var trials []trial
	for _, f := range readFaults(t) {
		if !chosen.MatchString(f.String()) {
			continue
		}
		key := f.Package + " " + f.Test
		if _, known := sound[key]; !known {
			sound[key], _ = runFaultTest(t, f, "")
		}
		r := try(t, f, sound[key])
		trials = append(trials, r)
		t.Logf("%-40s %5.1f s  %v", r.result, r.seconds, f)
		if !r.killed() {
			t.Errorf("%v: %s\n%s", f, r.result, r.output)
		}
	}
	if len(trials) == 0 {
		t.Errorf("FAULTS=%v chooses none of the faults", chosen)
	}
	report(t, trials)
}

// try runs the fault's test with the fault in place.
func try(t *testing.T, f fault, sound string) trial {
	if sound != survived {
		return trial{fault: f, result: "without the fault: " + sound}
	}
	began := time.Now()
	overlay, err := f.overlay(t.TempDir())
	if err != nil {
		return trial{fault: f, result: err.Error()}
	}
	if out, err := compile(t, f, overlay); err != nil {
		return trial{fault: f, result: "does not compile", output: out}
	}
	result, out := runFaultTest(t, f, overlay)
	return trial{f, result, time.Since(began).Seconds(), out}
}

// overlay writes the faulty file and what go build's -overlay takes: a JSON file that names it instead of the real one.
func (f fault) overlay(dir string) (string, error) {
	text, err := f.mutated()
	if err != nil {
		return "", err
	}
	real, err := filepath.Abs(filepath.Join(repository, f.File))
	if err != nil {
		return "", err
	}
	faulty, list := filepath.Join(dir, "faulty.go"), filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {real: faulty}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(faulty, text, 0o644); err != nil {
		return "", err
	}
	return list, os.WriteFile(list, replace, 0o644)
}

// compile builds the product with the fault, so that a test does not fail for want of a program.
func compile(t *testing.T, f fault, overlay string) (string, error) {
	return goCommand(t, "", "build", "-overlay", overlay, "-o", os.DevNull, "./"+filepath.Dir(f.File), "./cmd/longsplice")
}

// survived is the result of a run whose test passed.
const survived = "survived"

// runFaultTest runs the fault's test, with the overlay if there is one, and says in a word what came of it.
func runFaultTest(t *testing.T, f fault, overlay string) (result, output string) {
	args := []string{"test", "-count", "1", "-v", "-timeout", faultTestLimit.String(), "-run", f.Test}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	out, err := goCommand(t, overlay, append(args, f.Package)...)
	return verdict(out, err == nil), out
}

// verdict reads the output of go test -v.
func verdict(out string, passed bool) string {
	switch ran := regexp.MustCompile(`(?m)^--- (PASS|FAIL)`).MatchString(out); {
	case strings.Contains(out, "[build failed]") || strings.Contains(out, "[setup failed]"):
		return "the test does not compile"
	case passed && strings.Contains(out, "[no tests to run]"):
		return "no test matched"
	case passed && !ran:
		return "the test was skipped"
	case passed:
		return survived
	case strings.Contains(out, "panic: test timed out"):
		return "killed (it hung)"
	default:
		return "killed"
	}
}

// goCommand runs the go command at the root of the tree. The rig builds the program under test with LONGSPLICE_OVERLAY.
func goCommand(t *testing.T, overlay string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), faultRunLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = repository
	cmd.WaitDelay = 10 * time.Second // a program that a killed test left behind may hold our pipe
	cmd.Env = append(os.Environ(), "LONGSPLICE_FAULTS=", "LONGSPLICE_OVERLAY="+overlay)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// report logs the table as Markdown and keeps it where LONGSPLICE_FAULTS_REPORT says.
func report(t *testing.T, trials []trial) {
	var b strings.Builder
	b.WriteString("| row | deliberate fault | result | seconds |\n|---|---|---|---|\n")
	dead := 0
	for _, r := range trials {
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f |\n", r.Row, r.What, r.result, r.seconds)
		if r.killed() {
			dead++
		}
	}
	fmt.Fprintf(&b, "\n%d of %d deliberate faults killed.\n", dead, len(trials))
	t.Logf("\n%s", &b)
	if path := os.Getenv("LONGSPLICE_FAULTS_REPORT"); path != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Errorf("write the report: %v", err)
		}
	}
}

func TestVerdictOfATrial(t *testing.T) {
	cases := []struct {
		name, out string
		passed    bool
		want      string
	}{
		{"the test passed", "--- PASS: TestX (0.00s)\nok\n", true, survived},
		{"the test failed", "--- FAIL: TestX (0.00s)\nFAIL\n", false, "killed"},
		{"a crash", "panic: boom\n", false, "killed"},
		{"a hang", "panic: test timed out after 2m0s\n", false, "killed (it hung)"},
		{"no test", "ok x 0.1s [no tests to run]\n", true, "no test matched"},
		{"a skip", "--- SKIP: TestX (0.00s)\nok\n", true, "the test was skipped"},
		{"nonsense", "FAIL x [build failed]\n", false, "the test does not compile"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := verdict(c.out, c.passed); got != c.want {
				t.Errorf("verdict %q, want %q", got, c.want)
			}
		})
	}
}
