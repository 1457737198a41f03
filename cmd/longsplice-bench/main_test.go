package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/compare"
)

// asMain makes this test binary behave as the program itself, so that compare can start it again.
const asMain = "LONGSPLICE_BENCH_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "1" {
		main()
		return
	}
	os.Setenv(asMain, "1")
	os.Exit(m.Run())
}

func TestCompareMeasuresSoundly(t *testing.T) {
	out := filepath.Join(t.TempDir(), "results", "tiny")
	stdout, stderr, code := program(t, "compare", "--targets", "direct,iocopy", "--full", "--rounds", "1", "--window", "100ms",
		"--bulk-bytes", "20000000", "--load-cpu", "0", "--out", out)
	if code != 0 {
		t.Fatalf("exit %d:\n%s", code, stderr)
	}
	text, err := os.ReadFile(out + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var rep compare.Report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Runs) != 16 || len(rep.Scenarios) != 8 || rep.Unsound() != 0 {
		t.Errorf("%d runs in %d tables, %d unsound; want 16, 8, 0", len(rep.Runs), len(rep.Scenarios), rep.Unsound())
	}
	md, err := os.ReadFile(out + ".md")
	if err != nil || string(md) != stdout {
		t.Errorf("the Markdown file is not what was printed (%v)", err)
	}
	for _, want := range []string{"## idle", "| iocopy", rep.Machine.Kernel, rep.Machine.CPU} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args string
		code int
		says string
	}{
		{"later commands are refused", "run -s echo.toml", exitUsage, "not supported yet"},
		{"report too", "report results", exitUsage, "not supported yet"},
		{"unknown command", "sprint", exitUsage, `unknown command "sprint"`},
		{"unknown target", "compare --targets haproxy,apache", exitUsage, `unknown name "apache"`},
		{"unknown mode", "serve --listen 127.0.0.1:0 --mode mirror", exitFailed, `unknown mode "mirror"`},
		{"bad address", "load echo --to here", exitUsage, "want ip:port"},
		{"nobody there", "load churn --to 127.0.0.1:1 --warm 1ms --for 1ms", exitUnsound, "connection refused"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, stderr, code := program(t, strings.Fields(tc.args)...)
			if code != tc.code || !strings.Contains(stderr, tc.says) {
				t.Errorf("exit %d, want %d; said %q, want %q in it", code, tc.code, stderr, tc.says)
			}
		})
	}
}

func program(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	cmd := exec.CommandContext(context.Background(), self, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code says it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
