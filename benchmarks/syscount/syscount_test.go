package syscount

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
	"golang.org/x/sys/unix"
)

// dd makes exactly this many reads and writes of its data, beside those of its start and end.
const blocks = "1000"

// A program that waits for a line before it works can be watched from there on. The same one under strace says what is right.
func TestCountsAreThoseOfStrace(t *testing.T) {
	testkit.Privileged(t, "root")
	strace := testkit.NeedProgram(t, "strace")
	testkit.LeakCheck(t)

	var summary bytes.Buffer
	report := filepath.Join(t.TempDir(), "strace")
	traced := exec.Command(strace, "-f", "-c", "-U", "calls,name", "-o", report, "sh", "-c", waitingScript)
	traced.Stdin, traced.Stderr = strings.NewReader("go\n"), &summary
	if err := traced.Run(); err != nil {
		testkit.Missing(t, "strace that may trace: "+err.Error()+" "+summary.String())
	}
	want := straceCounts(t, report)

	c, done := watchScript(t)
	for _, call := range []string{"read", "write"} {
		t.Logf("%s: strace %d, BPF %d", call, want[call], c.Calls[call])
	}
	// The shell that waits execs dd: what comes before the line, and what the loader does, is not in our figure. The rest must be.
	if got := c.Calls["read"]; got < 1000 || got > want["read"] {
		t.Errorf("%d reads; at least dd's 1000, at most strace's %d", got, want["read"])
	}
	if got := c.Calls["write"]; got != want["write"] {
		t.Errorf("%d writes, strace says %d", got, want["write"])
	}
	if !done {
		t.Error("the program failed")
	}
}

const waitingScript = `read line; exec dd if=/dev/zero of=/dev/null bs=64 count=` + blocks + ` status=none`

// watchScript counts what the script does after it got its line.
func watchScript(t *testing.T) (*Counts, bool) {
	t.Helper()
	cmd := exec.Command("sh", "-c", waitingScript)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	counter, err := Start([]int{cmd.Process.Pid})
	if err != nil {
		in.Close()
		_ = cmd.Wait()
		missingOrFatal(t, err)
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		t.Fatal(err)
	}
	ended := cmd.Wait()
	counts, err := counter.Read()
	if err := errors.Join(err, counter.Stop()); err != nil {
		t.Fatal(err)
	}
	return counts, ended == nil
}

// missingOrFatal: a kernel that forbids BPF even to root lacks it; anything else is a fault of ours.
func missingOrFatal(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, os.ErrPermission) {
		testkit.Missing(t, "BPF: "+err.Error())
	}
	t.Fatal(err)
}

// straceCounts reads the two columns of strace -c -U calls,name.
func straceCounts(t *testing.T, path string) map[string]uint64 {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) < 2 {
			continue
		}
		if n, err := strconv.ParseUint(f[0], 10, 64); err == nil {
			counts[f[1]] = n
		}
	}
	if len(counts) == 0 {
		t.Fatalf("no counts in what strace said:\n%s", text)
	}
	return counts
}

// Only the processes named are counted, all their threads with them.
func TestOnlyTheNamedProcessesCount(t *testing.T) {
	testkit.Privileged(t, "root")
	testkit.LeakCheck(t)
	counter, err := Start([]int{1 << 21}) // nobody
	if err != nil {
		missingOrFatal(t, err)
	}
	for range 1000 {
		os.Getppid()
	}
	counts, err := counter.Read()
	if err := errors.Join(err, counter.Stop()); err != nil {
		t.Fatal(err)
	}
	if counts.Total != 0 {
		t.Errorf("%d calls of a process that is not there: %v", counts.Total, counts.Calls)
	}
}

func TestThreadsCountAsTheirProcess(t *testing.T) {
	testkit.Privileged(t, "root")
	testkit.LeakCheck(t)
	counter, err := Start([]int{os.Getpid()})
	if err != nil {
		missingOrFatal(t, err)
	}
	done := make(chan struct{})
	go func() { // another thread, most likely
		defer close(done)
		for range 700 {
			os.Getppid()
		}
	}()
	for range 300 {
		os.Getppid()
	}
	<-done
	counts, err := counter.Read()
	if err := errors.Join(err, counter.Stop()); err != nil {
		t.Fatal(err)
	}
	if got := counts.Calls["getppid"]; got != 1000 {
		t.Errorf("%d getppid, made 1000: %v", got, counts.Calls)
	}
}

func TestUnknownCallsGoByTheirNumbers(t *testing.T) {
	if got := name(451); got != "syscall 451" {
		t.Errorf("%q", got)
	}
	if got := name(unix.SYS_READ); got != "read" {
		t.Errorf("%q", got)
	}
}
