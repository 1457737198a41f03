package child

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

func TestProgramsRunOnTheirProcessors(t *testing.T) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	if !before.IsSet(0) {
		t.Skip("processor 0 is not ours")
	}
	p, err := Start(Spec{Argv: []string{testkit.NeedProgram(t, "sleep"), "60"}, CPUs: []int{0}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil || !strings.Contains(string(status), "Cpus_allowed_list:\t0\n") {
		t.Errorf("the child is not bound to processor 0 (%v):\n%s", err, status)
	}
	var after unix.CPUSet
	if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
		t.Errorf("our own affinity changed from %v to %v (%v)", before, after, err)
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	// The shell ends at SIGTERM and leaves a child that ignores it, as a master process with a stuck worker does.
	p, err := Start(Spec{Argv: []string{testkit.NeedProgram(t, "sh"), "-c", "(trap '' TERM; exec sleep 60) & echo $!; wait"}})
	if err != nil {
		t.Fatal(err)
	}
	child, err := p.Line()
	if err != nil {
		t.Fatal(err)
	}
	p.Stop()
	for range 3000 { // SIGKILL takes effect a little later
		text, err := os.ReadFile("/proc/" + child + "/stat")
		if err != nil || strings.Contains(string(text), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the child %s lives on", child)
}

func TestAProgramThatEndsAtOnceIsSaidWithItsWords(t *testing.T) {
	p, err := Start(Spec{Argv: []string{testkit.NeedProgram(t, "sh"), "-c", "echo no such colour >&2; exit 7"}})
	if err != nil {
		t.Fatal(err)
	}
	err = p.WaitListening(netip.MustParseAddrPort("127.0.0.1:1"))
	p.Stop()
	if err == nil || !strings.Contains(err.Error(), "no such colour") || !strings.Contains(err.Error(), "exit status 7") {
		t.Errorf("got %v", err)
	}
}

func TestEnvironmentAndInputArrive(t *testing.T) {
	p, err := Start(Spec{
		Argv: []string{testkit.NeedProgram(t, "sh"), "-c", `read word; echo "$word $COLOUR"`},
		Env:  []string{"COLOUR=green"}, Stdin: strings.NewReader("deep\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if line, err := p.Line(); err != nil || line != "deep green" {
		t.Errorf("%q, %v", line, err)
	}
}
