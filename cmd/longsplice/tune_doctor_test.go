package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/tuning"
)

func TestDoctorSaysTheVerdictFirst(t *testing.T) {
	h := newTunedHost(t)
	h.put("proc/1/limits", "Max open files            1024                 20000                files\n")
	r := h.tune(h.goal("doctor")...)
	r.expect(t, exitShort, "this host holds about 9,800 sessions: RLIMIT_NOFILE of services 20,000 binds first; next ip_local_port_range (28,232 per source and backend)\ngoal: 50,000 sessions for ", "")
	r.expect(t, exitShort, "LIMIT ", "")
	r.expect(t, exitShort, "$ sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\"", "")
	verdict, table, notes := 0, strings.Index(r.stdout, "LIMIT "), strings.Index(r.stdout, "NOTES")
	if verdict > table || table > notes {
		t.Errorf("the verdict comes first and notes last:\n%s", r.stdout)
	}
	if strings.Contains(r.stdout, "\x1b[") {
		t.Error("colours, and there is no terminal")
	}
	for line := range strings.Lines(r.stdout) {
		if strings.HasPrefix(line, "     ") && !strings.Contains(line, "$ ") && len(line) > 102 {
			t.Errorf("too long for a terminal: %q", line)
		}
	}
}

func TestDoctorIsContentWithWhatIsEnough(t *testing.T) {
	h := newTunedHost(t)
	r := h.tune(append(h.goal("doctor"), "--sessions", "9000", "--all")...)
	r.expect(t, exitOK, "this host holds the 9,000 sessions of the goal, and about 28,000 sessions at most: ", "")
	r.expect(t, exitOK, "there is nothing to change\n", "")
	r.expect(t, exitOK, "= ports of the range", "") // --all: the formulas of what is fine too
}

func TestDoctorAsJSON(t *testing.T) {
	h := newTunedHost(t)
	r := h.tune(h.goal("doctor", "--json")...)
	if r.code != exitShort || r.stderr != "" {
		t.Fatalf("exit %d, stderr %q", r.code, r.stderr)
	}
	var report tuning.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil {
		t.Fatal(err)
	}
	if report.Goal.Sessions != 50_000 || len(report.Limits) == 0 || len(report.Needs) == 0 || report.Verdict.Sessions != 28_232 {
		t.Errorf("got %+v", report.Verdict)
	}
}

func TestDoctorRefusesWhatIsWrong(t *testing.T) {
	h := newTunedHost(t)
	h.tune("doctor", "now").expect(t, exitUsage, "", `takes no argument, and "now" is one`)
	h.tune("doctor", "--sessions", "0").expect(t, exitUsage, "", "--sessions 0: at least 1")
	h.tune("doctor", "-c", write(t, bad)).expect(t, exitUsage, "", ":3: process.nonsense: ")
	if err := os.Remove(filepath.Join(h.dir, "proc/meminfo")); err != nil {
		t.Fatal(err)
	}
	h.tune("doctor").expect(t, exitFailed, "", "is /proc mounted?")
}

// The alias looks at this machine, whatever that is, without a configuration or with one.
func TestDoctorOfThisMachine(t *testing.T) {
	for _, words := range [][]string{{"doctor", "--sessions", "1"}, {"tune", "doctor", "--sessions", "2000000000"}} {
		r := call(words...)
		if (r.code != exitOK && r.code != exitShort) || !strings.HasPrefix(r.stdout, "this host holds ") || r.stderr != "" {
			t.Errorf("%q: exit %d, stderr %q\n%s", words, r.code, r.stderr, r.stdout)
		}
	}
}

// What doctor says of a running process is what the process says of itself.
func TestDoctorAgreesWithTheProcess(t *testing.T) {
	s := newSetup(t, "workers = 2")
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	var status statusReport
	if err := json.Unmarshal([]byte(call("status", "--json", "--admin", s.admin).stdout), &status); err != nil {
		t.Fatal(err)
	}
	var report tuning.Report
	if err := json.Unmarshal([]byte(call("doctor", "--json", "-c", write(t, s.text)).stdout), &report); err != nil {
		t.Fatal(err)
	}
	of := map[string]int64{}
	for _, l := range report.Limits {
		of[l.Name] = l.Sessions
	}
	nearest := status.Limits[0]
	name := map[string]string{"open files": "RLIMIT_NOFILE hard limit", "memory": "RAM"}[nearest.Resource]
	if of[name] != nearest.Sessions {
		t.Errorf("%s: doctor says %d sessions, the process %d (%s)", name, of[name], nearest.Sessions, nearest.Why)
	}
	if !strings.Contains(report.Limits[0].Why+report.Limits[1].Why, "pid ") {
		t.Errorf("the process was not found: %+v", report.Limits)
	}
}
