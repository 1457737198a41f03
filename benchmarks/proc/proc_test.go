package proc

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseStat(t *testing.T) {
	const rest = " S 10 42 42 0 -1 4194560 900 80 0 0 150 75 9 9 20 0 3 0 1234 5000 77"
	tests := []struct {
		name, line string
		want       Stat
		bad        bool
	}{
		{"plain command", "42 (haproxy)" + rest, Stat{42, 10, "haproxy", 2.25}, false},
		{"blank and parentheses in the command", "42 (a) R (b c)" + rest, Stat{42, 10, "a) R (b c", 2.25}, false},
		{"cut short", "42 (haproxy) S 10 42", Stat{}, true},
		{"no command", "42 haproxy", Stat{}, true},
		{"time is no number", "42 (x) S 10 42 42 0 -1 4194560 900 80 0 0 abc 75 9 9", Stat{}, true},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseStat(tc.line)
			if (err != nil) != tc.bad {
				t.Fatalf("error %v, want an error: %v", err, tc.bad)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestParseBusyLeavesOutIdleAndStolenTime(t *testing.T) {
	const text = "cpu  1 1 1 1 1 1 1 1 0 0\n" +
		"cpu0 100 10 50 7000 900 20 30 555 0 0\n" +
		"cpu1 0 0 0 7000 900 0 0 555 0 0\n" +
		"intr 5 5\nctxt 9\n"
	got, err := ParseBusy(text)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]float64{2.1, 0}, got); d != "" {
		t.Error(d)
	}
	if _, err := ParseBusy("intr 5\n"); err == nil {
		t.Error("text without processors must be an error")
	}
}

func TestParseRollup(t *testing.T) {
	got, err := parseRollup([]byte("00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss:    1234 kB\nPss:   9 kB\n"))
	if err != nil || got != 1234<<10 {
		t.Errorf("%d, %v; want %d", got, err, 1234<<10)
	}
}

func TestTreeHoldsAChildAndItsCosts(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Skipf("start a child: %v", err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	pids, err := Tree(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(pids, cmd.Process.Pid) || pids[0] != os.Getpid() {
		t.Fatalf("tree %v lacks the child %d", pids, cmd.Process.Pid)
	}
	if rss, err := RSS(pids[:1]); err != nil || rss < 1<<20 {
		t.Errorf("resident memory %d, %v; want more than 1 MiB", rss, err)
	}
	if _, err := CPUSeconds(pids[:1]); err != nil {
		t.Error(err)
	}
	if _, err := Tree(1 << 30); err == nil {
		t.Error("a process that is not there must be an error")
	}
}

// The two accounts of one process differ by a tick each of user and system time, and by what was used between the readings.
func TestProcessorTimeIsThatOfStatWithoutTicks(t *testing.T) {
	before, err := SelfCPUSeconds()
	if err != nil {
		t.Fatal(err)
	}
	for now := before; now < before+0.05; {
		if now, err = SelfCPUSeconds(); err != nil {
			t.Fatal(err)
		}
	}
	low, err1 := SelfCPUSeconds()
	st, err2 := readStat(os.Getpid())
	high, err3 := SelfCPUSeconds()
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	if st.CPUSeconds < low-2.0/userHz || st.CPUSeconds > high+2.0/userHz {
		t.Errorf("stat says %.2f s, the clock %.6f to %.6f", st.CPUSeconds, low, high)
	}
	if _, err := CPUSeconds([]int{1 << 22}); err == nil {
		t.Error("a process that is not there must be an error")
	}
}
