package interop

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// Bounds of a program's life, far above what the slowest one needs.
const (
	atMost       = 60 * time.Second // of one that ends by itself
	serverAtMost = "180"            // seconds, of a server whose test died before it could end it
)

// server is a program that runs until the end of its test.
type server struct {
	output testkit.Buffer
	ended  chan struct{}
}

// launch starts a program under timeout(1). At the end of t it is ended together with the processes that it started; what it
// wrote is shown if t failed.
func launch(t *testing.T, name string, args ...string) *server {
	t.Helper()
	args = append([]string{"--kill-after=1", serverAtMost, testkit.NeedProgram(t, name)}, args...)
	cmd := exec.Command(testkit.NeedProgram(t, "timeout"), args...)
	s := &server{ended: make(chan struct{})}
	cmd.Dir, cmd.Stdout, cmd.Stderr = t.TempDir(), &s.output, &s.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		s.end(cmd.Process.Pid)
		if t.Failed() {
			t.Logf("%s wrote: %s", name, s.output.String())
		}
	})
	return s
}

// end ends a process group: by SIGTERM, since timeout(1) then waits for the program, and after a second by SIGKILL.
func (s *server) end(group int) {
	_ = syscall.Kill(-group, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(time.Second):
		_ = syscall.Kill(-group, syscall.SIGKILL)
		<-s.ended
	}
}

// serves waits until something accepts at each address.
func (s *server) serves(t *testing.T, addresses ...string) {
	t.Helper()
	for _, a := range addresses {
		network, where := split(a)
		s.wait(t, "nothing accepts at "+a, func() bool {
			c, err := net.Dial(network, where)
			if err == nil {
				c.Close()
			}
			return err == nil
		})
	}
}

// says waits until the program has written a text, for one that takes a connection for a client.
func (s *server) says(t *testing.T, text string) {
	t.Helper()
	s.wait(t, "it did not write "+text, func() bool { return strings.Contains(s.output.String(), text) })
}

func (s *server) wait(t *testing.T, trouble string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testkit.Bound); !ok(); time.Sleep(5 * time.Millisecond) {
		select {
		case <-s.ended:
			t.Fatalf("%s: the program ended: %s", trouble, s.output.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s within %s", trouble, testkit.Bound)
		}
	}
}

// run runs a program to its end and returns what it wrote to stdout. Another exit code than 0 fails t.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	runTo(t, &out, name, args...)
	return out.String()
}

// runTo is run with the program's stdout written to out; it returns what the program wrote to stderr.
func runTo(t *testing.T, out io.Writer, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), atMost)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.NeedProgram(t, name), args...)
	var complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &complaints
	if err := cmd.Run(); err != nil {
		if text, kept := out.(*bytes.Buffer); kept {
			t.Logf("%s wrote: %s", name, text)
		}
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, &complaints)
	}
	return complaints.String()
}

// freePort returns a TCP port that nobody listens on, below the ephemeral range: no connection takes it meanwhile.
func freePort(t *testing.T) int {
	t.Helper()
	for range 100 {
		port := 15_000 + rand.IntN(15_000)
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("found no free port")
	return 0
}

// address returns a free address in the balancer's notation: of a loopback host, or in a fresh folder for "unix".
func address(t *testing.T, host string) string {
	t.Helper()
	if host == "unix" {
		return "unix:" + filepath.Join(t.TempDir(), "s")
	}
	l, err := net.Listen("tcp", host+":0")
	if err != nil {
		testkit.Missing(t, "loopback address "+host)
	}
	l.Close()
	return fmt.Sprintf("%s:%d", host, freePort(t))
}

// split turns an address as the configuration has it into what package net wants.
func split(address string) (network, where string) {
	if path, unix := strings.CutPrefix(address, "unix:"); unix {
		return "unix", path
	}
	return "tcp", address
}
