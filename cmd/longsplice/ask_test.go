package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
)

func TestAskingARunningProcess(t *testing.T) {
	s := newSetup(t, `name = "edge1"`)
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	c := talk(t, s.listen)
	vars := map[string]string{adminEnv: s.admin}

	callIn(vars, "status").expect(t, exitOK, "1 of ", "")
	callIn(vars, "status").expect(t, exitOK, fmt.Sprintf("edge1: longsplice dev, pid %d", p.cmd.Process.Pid), "")
	callIn(vars, "status").expect(t, exitOK, "healthy", "")
	callIn(vars, "status", "--json").expect(t, exitOK, `"held": 1,`, "")
	callIn(vars, "sessions", "list").expect(t, exitOK, c.LocalAddr().String(), "")
	callIn(vars, "sessions", "list", "--client", c.LocalAddr().String(), "--json").expect(t, exitOK, `"matched": 1`, "")
	callIn(vars, "sessions", "list", "--backend", "another").expect(t, exitOK, "CLIENT", "")
	callIn(vars, "sessions", "list", "--sort", "colour").expect(t, exitUsage, "", "want id, age, idle or bytes")
	callIn(vars, "explain", "chat", "192.0.2.7:40312").expect(t, exitOK, "192.0.2.7:40312 -> frontend chat", "")
	callIn(vars, "explain", "chat", "192.0.2.7:40312", "--json").expect(t, exitOK, `"admitted": true`, "")
	callIn(vars, "explain", "caht", "192.0.2.7:40312").expect(t, exitUsage, "", `frontend "caht"`)
	callIn(vars, "events").expect(t, exitOK, "info  started", "")
	callIn(vars, "events", "--json").expect(t, exitOK, `"event":"started"`, "")
	call("check", "--live", "-c", write(t, s.text)).expect(t, exitOK, "ok: ", "") // busy, but by the process that it is about

	c.Close()
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
	callIn(vars, "status").expect(t, exitNobody, "", "nothing answers on "+s.admin)
}

func TestFollowingEvents(t *testing.T) {
	s := newSetup(t, "")
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	r, w := io.Pipe()
	var errs bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(&environment{
			args: []string{programName, "events", "-f", "--admin", s.admin}, stdout: w, stderr: &errs,
			lookupEnv: func(string) (string, bool) { return "", false },
		})
		w.Close()
	}()
	lines := bufio.NewScanner(r)
	expectLine := func(word string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), word) {
				return
			}
		}
		t.Fatalf("the stream ended without %q: %s", word, errs.String())
	}
	expectLine(" started: ")
	p.signal(syscall.SIGHUP)
	expectLine(" reload_failed: ")
	p.signal(syscall.SIGTERM)
	for lines.Scan() {
	}
	if got := <-code; got != exitNobody || !strings.Contains(errs.String(), "the process has ended the stream") {
		t.Errorf("ended with code %d: %s", got, errs.String())
	}
}

func TestAListingSaysWhatItLeavesOut(t *testing.T) {
	s := newSetup(t, `drain_timeout = "0s"`)
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	for range 5 {
		talk(t, s.listen)
	}
	vars := map[string]string{adminEnv: s.admin}
	r := callIn(vars, "sessions", "list", "--limit", "2")
	r.expect(t, exitOK, "CLIENT", "2 of 5 sessions; --all lists them all")
	if n := strings.Count(r.stdout, "\n"); n != 3 {
		t.Errorf("%d lines, want a head and two sessions:\n%s", n, r.stdout)
	}
	r = callIn(vars, "sessions", "list", "--all")
	r.expect(t, exitOK, "CLIENT", "")
	if n := strings.Count(r.stdout, "\n"); n != 6 {
		t.Errorf("%d lines, want a head and five sessions:\n%s", n, r.stdout)
	}
}
