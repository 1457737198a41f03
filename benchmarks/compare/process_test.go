package compare

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
	"golang.org/x/sys/unix"
)

func TestProgramsRunOnTheirProcessor(t *testing.T) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if !before.IsSet(0) {
		t.Skip("processor 0 is not ours")
	}
	p, err := start(0, []string{testkit.NeedProgram(t, "sleep"), "60"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") {
		t.Errorf("the child is not bound to processor 0 (%v):\n%s", err, status)
	}
	var after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("our own affinity changed from %v to %v (%v)", before, after, err)
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	var out lockedBuffer
	// The shell ends at SIGTERM and leaves a child that ignores it, as a master process with a stuck worker does.
	p, err := start(0, []string{testkit.NeedProgram(t, "sh"), "-c", "(trap '' TERM; exec sleep 60) & echo $!; wait"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(string(out.bytes()), "\n") {
		if p.hasEnded() {
			t.Fatal(p.failure("ended"))
		}
		time.Sleep(time.Millisecond)
	}
	p.stop()
	child := strings.TrimSpace(string(out.bytes()))
	for range 200 { // SIGKILL takes effect a little later
		text, err := os.ReadFile("/proc/" + child + "/stat")
		if err != nil || strings.Contains(string(text), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the child %s lives on", child)
}

func TestAProgramThatEndsAtOnceIsSaidWithItsWords(t *testing.T) {
	p, err := start(0, []string{testkit.NeedProgram(t, "sh"), "-c", "echo no such colour >&2; exit 7"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = p.waitListening(netip.MustParseAddrPort("127.0.0.1:1"))
	p.stop()
	if err == nil || !strings.Contains(err.Error(), "no such colour") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v", err)
	}
}

func TestMissingProgramsAreNamed(t *testing.T) {
	target := Target{Name: "x", program: "/nowhere/longsplice"}
	if why := target.missing(); !strings.Contains(why, "/nowhere/longsplice") {
		t.Errorf("got %q", why)
	}
	if why := (&Target{Name: "direct"}).missing(); why != "" {
		t.Errorf("direct needs no program, got %q", why)
	}
}

func TestParseListening(t *testing.T) {
	got, err := parseListening("listening 127.0.0.2:4000 [::1]:4000")
	if err != nil || len(got) != 2 || got[1].String() != "[::1]:4000" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "listening", "hello 127.0.0.1:1", "listening here"} {
		if _, err := parseListening(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
