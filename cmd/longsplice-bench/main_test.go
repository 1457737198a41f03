package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// asMain makes this test binary behave as the program itself, so that run can start it again.
const asMain = "LONGSPLICE_BENCH_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "1" {
		main()
		return
	}
	os.Setenv(asMain, "1")
	os.Exit(m.Run())
}

func TestUsage(t *testing.T) {
	tests := []struct {
		name string
		args string
		code int
		says string
	}{
		{"unknown command", "sprint", exitUsage, `unknown command "sprint"`},
		{"unknown scenario", "run -s ehco", exitUsage, `unknown scenario "ehco"`},
		{"unknown case", "run -s echo/65", exitUsage, `scenario echo has no case "65"`},
		{"a scenario without -s", "run echo", exitUsage, "scenarios are given by -s"},
		{"unknown target", "run --targets haproxy,apache", exitUsage, `unknown target "apache"`},
		{"unknown reference", "run --reference apache", exitUsage, `--reference: unknown target "apache"`},
		{"no rounds", "run --rounds 0", exitUsage, "--rounds 1 or more"},
		{"processes of another scenario", "run -s echo --processes 2", exitUsage, "--processes goes with -s idle alone"},
		{"no threads", "run --threads 0", exitUsage, "--threads 0"},
		{"processors that are none", "run --balancer-cpus one", exitUsage, "want numbers and ranges"},
		{"a flag that no case gives", "run -s echo --with colour=green", exitUsage, "none of the chosen cases gives --colour"},
		{"a value that no flag takes", "run -s echo/64 --with message=big", exitUsage, `echo.toml:`},
		{"sessions where there are none", "run -s churn --sessions 7", exitUsage, "none of the chosen cases gives --sessions"},
		{"a given target without its backends", "run --target mine=127.0.0.1:80", exitUsage, "needs --backend"},
		{"a given target without an address", "run --target mine --backend 127.0.0.1:9000", exitUsage, "want NAME=ADDR:PORT"},
		{"a given target of a known name", "run --target nginx=127.0.0.1:80 --backend 127.0.0.1:9000", exitUsage, "there is a target of this name"},
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
