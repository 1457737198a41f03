package balancer

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
)

// Some tests need a process of their own: one with other limits or rights. The test program runs itself again and does
// what this variable names.
const childVariable = "LONGSPLICE_BALANCER_CHILD"

var children = map[string]func(){"start": childStart, "descriptors": childDescriptors, "serve": childServe}

func TestMain(m *testing.M) {
	if run := children[os.Getenv(childVariable)]; run != nil {
		run()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child prepares a command that runs one of children, with NAME=VALUE settings and a configuration on its input.
func child(t *testing.T, name, configuration string, settings ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), append(settings, childVariable+"="+name)...)
	cmd.Stdin = strings.NewReader(configuration)
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

// childPipe is a pipe to a child, which has its reading end as descriptor 3.
func childPipe(t *testing.T) (p struct{ read, write *os.File }) {
	t.Helper()
	var err error
	if p.read, p.write, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	return p
}

func childControl() io.Reader { return os.NewFile(3, "control") }

// childOutput reads what a child prints, by lines.
func childOutput(t *testing.T, cmd *exec.Cmd) *bufio.Scanner {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return bufio.NewScanner(out)
}

// output runs a child to its end.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("child: %v\n%s%s", err, out, cmd.Stderr)
	}
	return string(out)
}

// childLimit sets RLIMIT_NOFILE, soft and hard, to what NOFILE says.
func childLimit() {
	n, err := strconv.ParseUint(os.Getenv("NOFILE"), 10, 64)
	if err != nil {
		return
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		childFail(err)
	}
}

func childFail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func childConfig() *config.Config {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		childFail(err)
	}
	c, _, err := config.Parse("child.toml", text, config.Options{})
	if err != nil {
		childFail(err)
	}
	return c
}

// childStart starts a balancer, as user UID if that is set, says what came of it, and stops.
func childStart() {
	c := childConfig()
	childLimit()
	if uid, err := strconv.Atoi(os.Getenv("UID_WANTED")); err == nil {
		for _, drop := range []error{syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)} {
			if drop != nil {
				childFail(drop)
			}
		}
	}
	b, err := Start(context.Background(), Options{Config: c})
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	fmt.Printf("sessions %d pipes %d fds %d binds %s\n", b.limits.sessions, b.limits.pipes, b.limits.fds, b.limits.bindsFirst)
	b.Shutdown(context.Background())
}

// childDescriptors starts a balancer with 0, 1, 2, … free descriptors until it succeeds. Each time nothing may be left
// open. It prints each error once.
func childDescriptors() {
	c := childConfig()
	childLimit()
	if r, w, err := os.Pipe(); err == nil { // the runtime's own epoll set is opened now
		r.Close()
		w.Close()
	}
	last := ""
	for free := range 64 {
		before := descriptors()
		fill, err := fillDescriptors(free)
		if err != nil {
			childFail(err)
		}
		b, err := Start(context.Background(), Options{Config: c})
		for _, fd := range fill {
			syscall.Close(fd)
		}
		if b != nil {
			b.Shutdown(context.Background())
		}
		if now := descriptors(); now != before {
			childFail(fmt.Errorf("%d free descriptors: %d were open before and %d after: %w", free, before, now, err))
		}
		if err == nil {
			fmt.Printf("started with %d\n", free)
			return
		}
		if err.Error() != last {
			fmt.Println(err)
		}
		last = err.Error()
	}
	childFail(fmt.Errorf("never started: %s", last))
}

// fillDescriptors opens descriptors until only free are left.
func fillDescriptors(free int) (fds []int, err error) {
	for {
		fd, err := syscall.Dup(2)
		if err == syscall.EMFILE {
			break
		}
		if err != nil {
			return nil, err
		}
		fds = append(fds, fd)
	}
	for _, fd := range fds[len(fds)-free:] {
		syscall.Close(fd)
	}
	return fds[:len(fds)-free], nil
}

// descriptors counts the open descriptors; fcntl costs none, as a walk of /proc would.
func descriptors() (n int) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		childFail(err)
	}
	for fd := range r.Cur {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 {
			n++
		}
	}
	return n
}
