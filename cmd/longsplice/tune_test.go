package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/testkit"
	"github.com/longsplice/longsplice/tuning"
)

// A tuned host is files below a folder: as many as it takes for a goal to need something.
type tunedHost struct {
	t     *testing.T
	dir   string
	euid  int
	stdin io.Reader
}

const portRange = "proc/sys/net/ipv4/ip_local_port_range"

func newTunedHost(t *testing.T) *tunedHost {
	h := &tunedHost{t: t, dir: t.TempDir()}
	h.put("proc/meminfo", "MemTotal:       67108864 kB\nMemAvailable:   60000000 kB\n")
	h.put(portRange, "32768\t60999\n")
	for _, dir := range []string{"etc", "run", "usr/lib", "var/lib", "sys"} {
		if err := os.MkdirAll(filepath.Join(h.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *tunedHost) put(rel, text string) {
	h.t.Helper()
	path := filepath.Join(h.dir, rel)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *tunedHost) get(rel string) string {
	text, _ := os.ReadFile(filepath.Join(h.dir, rel))
	return string(text)
}

// tune calls `tune WORDS` about this host.
func (h *tunedHost) tune(words ...string) result {
	var out, errs bytes.Buffer
	env := &environment{
		args: append([]string{programName, "tune"}, words...), stdin: h.stdin, stdout: &out, stderr: &errs,
		lookupEnv: func(string) (string, bool) { return "", false },
		euid:      h.euid, host: tuning.Tuner{Roots: tuning.Under(h.dir)},
	}
	code := run(env)
	return result{code, out.String(), errs.String()}
}

// goal asks for more sessions than one source has ports.
func (h *tunedHost) goal(words ...string) []string {
	path := filepath.Join(h.t.TempDir(), "longsplice.toml")
	text := "[process]\nadmin = \"\"\n[[frontend]]\nname = \"a\"\nlisten = [\"127.0.0.1:8081\"]\nbackends = [\"192.0.2.1:80\"]\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return append(words, "-c", path, "--sessions", "50000")
}

func TestTuneFromPlanToRevert(t *testing.T) {
	h := newTunedHost(t)
	h.tune("verify").expect(t, exitOK, "nothing was applied\n", "")
	h.tune("revert").expect(t, exitOK, "nothing to revert", "")

	plan := h.tune(h.goal("plan", "--persist")...)
	plan.expect(t, exitOK, "- net.ipv4.ip_local_port_range = 32768 60999\n+ net.ipv4.ip_local_port_range = ", "")
	plan.expect(t, exitOK, "    | net.ipv4.ip_local_port_range = ", "")
	if got := h.get(portRange); got != "32768\t60999\n" {
		t.Errorf("plan has changed the port range to %q", got)
	}

	h.tune(h.goal("apply", "--persist", "--yes")...).expect(t, exitOK, "changed   net.ipv4.ip_local_port_range: 32768 60999 -> ", "")
	if h.get(portRange) == "32768\t60999\n" || h.get("etc/sysctl.d/90-longsplice.conf") == "" {
		t.Error("apply --persist has not changed both")
	}
	h.tune(h.goal("apply", "--persist", "--yes")...).expect(t, exitOK, "nothing to change for 50000 sessions\n", "")
	h.tune("verify").expect(t, exitOK, "ok: ", "")

	wide := h.get(portRange)
	h.put(portRange, "1\t2\n")
	h.tune("verify").expect(t, exitShort, "drifted   net.ipv4.ip_local_port_range: ", "")
	h.tune("revert").expect(t, exitFailed, "left      net.ipv4.ip_local_port_range: 1 2 -> 32768 60999 (somebody else", "")
	h.put(portRange, wide)
	h.tune("revert").expect(t, exitOK, "all is as it was before\n", "")
	if got := h.get(portRange); got != "32768\t60999\n" || h.get("etc/sysctl.d/90-longsplice.conf") != "" {
		t.Errorf("revert leaves the port range %q", got)
	}
}

func TestTuneForPrograms(t *testing.T) {
	h := newTunedHost(t)
	read := func(code int, to any, words ...string) {
		t.Helper()
		r := h.tune(append(words, "--json")...)
		if err := json.Unmarshal([]byte(r.stdout), to); err != nil || r.code != code {
			t.Fatalf("%q: exit code %d, want %d; %v in\n%s%s", words, r.code, code, err, r.stdout, r.stderr)
		}
	}
	var plan tuning.Plan
	read(exitOK, &plan, h.goal("plan")...)
	if len(plan.Changes) == 0 || plan.Changes[0].Why == "" {
		t.Errorf("the plan is %+v", plan)
	}
	var applied applyReport
	read(exitOK, &applied, h.goal("apply", "--yes")...)
	if len(applied.Changed) != len(plan.Changes) || applied.Error != "" {
		t.Errorf("applied: %+v", applied)
	}
	var verified verifyReport
	read(exitOK, &verified, "verify")
	if !verified.OK || verified.Held != len(plan.Changes) {
		t.Errorf("verified: %+v", verified)
	}
	h.put(portRange, "1\t2\n")
	read(exitShort, &verified, "verify")
	var reverted revertReport
	read(exitFailed, &reverted, "revert")
	if reverted.OK || !strings.HasSuffix(reverted.State, "tune.json") {
		t.Errorf("reverted: %+v", reverted)
	}
	h.put(portRange, "32768\t60999\n")
	read(exitOK, &reverted, "revert")
}

func TestApplyDoesNothingUnasked(t *testing.T) {
	h := newTunedHost(t)
	h.tune(h.goal("apply")...).expect(t, exitUsage, "", "apply: there is no terminal to ask on: give --yes")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	h.stdin = null
	h.tune(h.goal("apply")...).expect(t, exitUsage, "", "give --yes")
	h.tune(h.goal("apply", "--json")...).expect(t, exitUsage, "", "give --yes too")

	h.euid = 1000
	h.tune(h.goal("apply", "--yes")...).expect(t, exitRefused, "", "tune apply: needs root, and this is uid 1000")
	h.tune("revert").expect(t, exitRefused, "", "tune revert: needs root")
	h.euid = 0
	h.tune("apply", "--sessions", "0", "--yes").expect(t, exitUsage, "", "--sessions 0: at least 1")
	h.tune("apply", "-c", filepath.Join(h.dir, "gone.toml"), "--yes").expect(t, exitUsage, "", "gone.toml: cannot be read")
	h.tune("revert", "everything").expect(t, exitUsage, "", "takes no argument")
	if got := h.get(portRange); got != "32768\t60999\n" {
		t.Errorf("the port range is %q", got)
	}
}

func TestApplyAsksOnATerminal(t *testing.T) {
	for _, c := range []struct {
		answer string
		code   int
		stderr string
	}{
		{"y\n", exitOK, "[y/N] "},
		{"YES\n", exitOK, "[y/N] "},
		{"\n", exitFailed, "nothing was changed"},
		{"no\n", exitFailed, "nothing was changed"},
		{"yolo\n", exitFailed, "nothing was changed"},
		{"\x04", exitFailed, "nothing was changed"}, // Ctrl-D
	} {
		h := newTunedHost(t)
		h.stdin = terminal(t, c.answer)
		h.tune(h.goal("apply")...).expect(t, c.code, "+ net.ipv4.ip_local_port_range = ", c.stderr)
		if changed := h.get(portRange) != "32768\t60999\n"; changed != (c.code == exitOK) {
			t.Errorf("after %q the port range is %q", c.answer, h.get(portRange))
		}
	}
}

// terminal is one at which somebody types.
func terminal(t *testing.T, typed string) *os.File {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testkit.Missing(t, "pseudo-terminals: "+err.Error())
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testkit.Missing(t, "pseudo-terminals: "+err.Error())
	}
	t.Cleanup(func() { slave.Close() })
	if _, err := io.WriteString(master, typed); err != nil {
		t.Fatal(err)
	}
	return slave
}

func TestTheStateIsWhereTheConfigurationHasIt(t *testing.T) {
	h := newTunedHost(t)
	elsewhere := filepath.Join(h.t.TempDir(), "state")
	path := write(t, "[process]\nadmin = \"\"\nstate_dir = \""+elsewhere+"\"\n[[frontend]]\nname = \"a\"\nlisten = [\"127.0.0.1:8081\"]\nbackends = [\"192.0.2.1:80\"]\n")
	h.tune("apply", "--yes", "-c", path, "--sessions", "50000").expect(t, exitOK, "changed   ", "")
	if _, err := os.Stat(filepath.Join(elsewhere, "tune.json")); err != nil {
		t.Error(err)
	}
	h.tune("verify").expect(t, exitOK, "nothing was applied", "")
	h.tune("verify", "-c", path).expect(t, exitOK, "ok: ", "")
	h.tune("revert", "--state-dir", elsewhere).expect(t, exitOK, "all is as it was", "")
	if err := os.Remove(elsewhere); !os.IsNotExist(err) {
		t.Errorf("the folder of the state is still there: %v", err)
	}
}
