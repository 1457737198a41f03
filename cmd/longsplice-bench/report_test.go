package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/report"
)

// saved is a results folder whose bulk costs longsplice that many CPU seconds for a GB.
func saved(t *testing.T, cost string) string {
	t.Helper()
	text, err := os.ReadFile("../../benchmarks/report/testdata/report/report.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, run := range r.Runs {
		if run.Case == "bulk/down-1" && run.Target == report.Subject {
			if err := json.Unmarshal([]byte(cost), &run.Result.CPU.Target); err != nil {
				t.Fatal(err)
			}
		}
	}
	dir := filepath.Join(t.TempDir(), "results")
	if err := r.Save(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestReportShowsAFolder(t *testing.T) {
	dir, slower := saved(t, "0.4"), saved(t, "0.9")
	foreign := filepath.Join(t.TempDir(), "report.json")
	if err := os.WriteFile(foreign, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		args []string
		code int
		says string // on standard output, or if the code is not 0 also on standard error
	}{
		{"a table", []string{dir}, 0, "longsplice over each of the others"},
		{"its file", []string{filepath.Join(dir, "report.json")}, 0, "longsplice over each of the others"},
		{"Markdown", []string{"--markdown", dir}, 0, "## Figures"},
		{"a page, flag behind", []string{dir, "--html"}, 0, "<!doctype html>"},
		{"JSON", []string{"--json", dir}, 0, `"schema": 1`},
		{"written again", []string{"--write", dir}, 0, ""},
		{"nothing moved", []string{"--compare", dir, dir, "--fail-on-worse"}, 0, "0 better, 0 worse"},
		{"worse", []string{"--compare", dir, slower}, 0, "1 worse"},
		{"worse, and that fails", []string{"--compare", "--fail-on-worse", dir, slower}, exitUnsound, "bulk/down-1 of longsplice"},
		{"better does not fail", []string{"--compare", slower, dir, "--fail-on-worse"}, 0, "1 better"},
		{"a comparison as JSON", []string{"--compare", dir, slower, "--json"}, 0, `"result": "worse"`},
		{"no folder", nil, exitUsage, "want one DIR"},
		{"one folder to compare", []string{"--compare", dir}, exitUsage, "--compare OLD NEW"},
		{"two ways at once", []string{"--json", "--html", dir}, exitUsage, "at most one"},
		{"an unknown flag behind", []string{dir, "--yaml"}, exitUsage, `unknown flag "--yaml"`},
		{"not there", []string{filepath.Join(dir, "nothing")}, exitFailed, "is not there"},
		{"another's file", []string{foreign}, exitFailed, "not a report of longsplice-bench"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			stdout, stderr, code := program(t, append([]string{"report"}, tc.args...)...)
			if code != tc.code {
				t.Errorf("exit %d, want %d; said %q", code, tc.code, stderr)
			}
			if said := stdout + stderr; !strings.Contains(said, tc.says) || code == 0 && stderr != "" {
				t.Errorf("said %.2000q; want %q in it, and nothing on standard error unless it fails", said, tc.says)
			}
		})
	}
}
