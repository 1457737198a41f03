package matrix

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// patience is how long what should happen soon may take on a busy machine.
const patience = 60 * time.Second

// programPath is the program under test, built by TestMain.
var programPath string

// TestMain builds the program, or is one of the processes that a test starts of itself.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		play(role)
		return
	}
	dir, err := os.MkdirTemp("", "longsplice-matrix-")
	if err == nil {
		err = os.Chmod(dir, 0o755) // a test may start it as somebody else
	}
	if err == nil {
		programPath = filepath.Join(dir, "longsplice")
		err = build(programPath)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// build builds the program as the tests were: under the race detector too, and with the wrong line of a deliberate fault,
// which LONGSPLICE_OVERLAY names (`go help build`, -overlay).
func build(to string) error {
	args := []string{"build", "-o", to}
	if underRace() {
		args = append(args, "-race")
	}
	if overlay := os.Getenv("LONGSPLICE_OVERLAY"); overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	cmd := exec.Command("go", append(args, "github.com/longsplice/longsplice/cmd/longsplice")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program under test: %w: %s", err, out)
	}
	return nil
}

func underRace() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// scaled is n, or a smaller number under the race detector, which makes everything some ten times slower.
func scaled(n int) int {
	if underRace() {
		return max(n/8, 1)
	}
	return n
}

// setup is how the program is started.
type setup struct {
	process string        // lines of [process]; its admin socket and state_dir are set already
	config  string        // the rest of the configuration
	nofile  int           // RLIMIT_NOFILE, soft and hard; 0: as the test's own
	uid     uint32        // whom it runs as, without any capability; 0: as the test
	host    *testkit.Host // where it runs; nil: here
	before  []string      // words before the command line, as of strace(1)
	leaving bool          // sessions may be left at the end of the test: they are not waited for
}

// program is a running longsplice.
type program struct {
	t       testing.TB
	setup   setup
	admin   string // the path of its admin socket
	path    string // of its configuration
	cmd     *exec.Cmd
	logged  logBuffer
	ended   chan struct{} // closed when the process is gone
	fdsIdle int           // open descriptors just after the start
}

// run starts the program and waits until it is ready. At the end of t it must be alive, hold no session, no pipe in use and
// as few descriptors as at the start, have lost none of its own counts, and end with code 0 when it is asked to.
func run(t testing.TB, s setup) *program {
	t.Helper()
	p := launch(t, s)
	p.await("ready", p.ready)
	p.fdsIdle = p.fds()
	return p
}

// launch starts the program without waiting for it to be ready.
func launch(t testing.TB, s setup) *program {
	t.Helper()
	dir := t.TempDir()
	p := &program{t: t, setup: s, admin: filepath.Join(dir, "admin.sock"), path: filepath.Join(dir, "longsplice.toml"), ended: make(chan struct{})}
	text := fmt.Sprintf("[process]\nadmin = %q\nstate_dir = %q\ndrain_timeout = \"0s\"\n%s\n%s\n", p.admin, dir, s.process, s.config)
	if err := os.WriteFile(p.path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p.cmd = p.command(dir)
	p.cmd.Stdout, p.cmd.Stderr = &p.logged, &p.logged
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(p.finish)
	return p
}

// command puts together the words that set, one before the other, where, how limited and as whom the program runs.
func (p *program) command(dir string) *exec.Cmd {
	s := p.setup
	words := slices.Concat(s.before, []string{programPath, "run", "-c", p.path})
	if s.nofile > 0 {
		words = append([]string{testkit.NeedProgram(p.t, "prlimit"), fmt.Sprintf("--nofile=%d:%[1]d", s.nofile)}, words...)
	}
	cmd := exec.Command(words[0], words[1:]...)
	if s.host != nil {
		cmd = s.host.Command(words[0], words[1:]...)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if s.uid != 0 {
		testkit.Privileged(p.t, "root: a process of another user")
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.uid, Gid: s.uid}
		if err := errors.Join(os.Chown(dir, int(s.uid), int(s.uid)), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
			p.t.Fatal(err)
		}
	}
	return cmd
}

func (p *program) pid() int { return p.cmd.Process.Pid }

func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("send %v to the program: %v", s, err)
	}
}

// await waits until ok. It fails the test if the program ends meanwhile.
func (p *program) await(what string, ok func() bool) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-p.ended:
			p.t.Fatalf("waited for %s: the program ended: %v", what, p.cmd.ProcessState)
		default:
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("waited %s for: %s", patience, what)
		}
	}
}

// finish is the end of every test.
func (p *program) finish() {
	defer func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if p.t.Failed() {
			p.t.Logf("the program logged:\n%s", p.logged.tail(20_000))
		}
	}()
	if p.t.Failed() || p.gone() {
		return
	}
	p.settle()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("the program did not end in %s", patience)
		p.signal(syscall.SIGQUIT)
		time.Sleep(time.Second)
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.t.Errorf("the program ended with code %d, want 0", code)
	}
}

// gone says whether the process has ended, which is an error unless the test has killed it.
func (p *program) gone() bool {
	select {
	case <-p.ended:
		if status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			p.t.Errorf("the program ended before its test: %v", p.cmd.ProcessState)
		}
		return true
	default:
		return false
	}
}

// logBuffer is what the program has logged.
type logBuffer struct{ testkit.Buffer }

// tail is the last n bytes, after a panic from its first line on.
func (l *logBuffer) tail(n int) string {
	text := l.String()
	for _, word := range []string{"panic: ", "fatal error: ", "WARNING: DATA RACE"} {
		if i := strings.Index(text, word); i >= 0 {
			return text[i:min(len(text), i+n)]
		}
	}
	return text[max(len(text)-n, 0):]
}
