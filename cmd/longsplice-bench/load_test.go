package main

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// serving runs the program's serve command until the test ends, and says where.
func serving(t *testing.T, args ...string) (addr string, pid string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve ended with %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	_, addr, found := strings.Cut(strings.TrimSpace(line), "listening ")
	if err != nil || !found {
		t.Fatalf("serve said %q, %v", line, err)
	}
	return addr, strconv.Itoa(cmd.Process.Pid)
}

// Load and serve work with nothing else, and the result is the same as JSON and in words.
func TestLoadAgainstServe(t *testing.T) {
	tests := []struct {
		name  string
		serve string
		load  string
		done  func(r *load.Result) bool
		says  string
	}{
		{"echo", "--mode echo", "echo --sessions 10", func(r *load.Result) bool { return r.Messages > 0 && r.Schedule == nil }, "messages "},
		{"echo on a schedule", "--mode echo", "echo --sessions 10 --rate 500", func(r *load.Result) bool { return r.Schedule != nil && r.Schedule.Rate == 500 }, "schedule     500 a second"},
		{"WebSocket echo", "--mode echo --websocket", "echo --sessions 10 --websocket --path /feed", func(r *load.Result) bool { return r.Messages > 0 }, "latency "},
		{"push", "--mode push", "push --sessions 10 --rate 500", func(r *load.Result) bool { return r.Messages > 0 && r.Latency != nil }, "late by"},
		{"WebSocket push", "--mode push --websocket", "push --sessions 10 --rate 500 --websocket --together", func(r *load.Result) bool { return r.Messages > 0 }, "late by"},
		{"bulk up", "--mode sink", "bulk --direction up --bytes 1000000", func(r *load.Result) bool { return r.Bytes == 1_000_000 }, "bytes        1000000"},
		{"bulk both", "--mode both", "bulk --direction both --bytes 1000000", func(r *load.Result) bool { return r.Bytes == 1_000_000 }, "bytes        1000000"},
		{"churn", "--mode echo", "churn --at-once 3", func(r *load.Result) bool { return r.Sessions > 0 }, "sessions "},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			addr, pid := serving(t, strings.Fields(tc.serve)...)
			args := append([]string{"load"}, strings.Fields(tc.load)...)
			args = append(args, "--to", addr, "--pid", pid, "--warm", "20ms", "--for", "100ms")
			words, stderr, code := program(t, args...)
			if code != 0 || !strings.Contains(words, tc.says) || !strings.Contains(words, "target ") {
				t.Errorf("exit %d, said %q, which lacks %q; %s", code, words, tc.says, stderr)
			}
			text, stderr, code := program(t, append(args, "--json")...)
			var res load.Result
			if err := json.Unmarshal([]byte(text), &res); err != nil || code != 0 || !res.Sound() || !tc.done(&res) {
				t.Errorf("exit %d, %v, %s%s", code, err, text, stderr)
			}
			if res.Held == nil || res.Held.FDs == 0 || res.Held.RSS == 0 {
				t.Errorf("the server holds nothing: %+v", res.Held)
			}
		})
	}
}

func TestLoadUsage(t *testing.T) {
	tests := []struct {
		name string
		args string
		says string
	}{
		{"no address", "load echo", "needs --to ADDR:PORT"},
		{"a flag that is none", "load echo --too 127.0.0.1:1", "flag provided but not defined: -too"},
		{"unknown workload", "load eko --to 127.0.0.1:1", `unknown workload "eko"`},
		{"an argument too many", "load echo --to 127.0.0.1:1 fast", `unknown argument "fast"`},
		{"no sessions", "load echo --to 127.0.0.1:1 --sessions 0", "needs sessions >= 1"},
		{"a message too short for its head", "load push --to 127.0.0.1:1 --message 8", "24 <= message bytes"},
		{"a direction that is none", "load bulk --to 127.0.0.1:1 --direction left", "want down, up or both"},
		{"a bad source", "load churn --to 127.0.0.1:1 --source here", "want an ip address"},
		{"a sink for WebSockets", "serve --mode sink --websocket", "echo and push have"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			_, stderr, code := program(t, strings.Fields(tc.args)...)
			if code != exitUsage || !strings.Contains(stderr, tc.says) {
				t.Errorf("exit %d, want %d; said %q, want %q in it", code, exitUsage, stderr, tc.says)
			}
		})
	}
}
