package matrix

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// roleVariable makes the test's own binary play a role instead of running tests: a process that can be killed.
const roleVariable = "LONGSPLICE_MATRIX_ROLE"

// roles are what a child process can be. It prints one line when it is ready and goes on until it is killed.
var roles = map[string]func(args []string) error{"echo": echoRole}

// play runs the role whose name and arguments are the words of line.
func play(line string) {
	words := strings.Fields(line)
	role, known := roles[words[0]]
	err := fmt.Errorf("no role %q", words[0])
	if known {
		err = role(words[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is a process that plays a role.
type child struct {
	t   testing.TB
	cmd *exec.Cmd
}

// spawn starts a child, on host if that is not nil, and waits until it is ready. It is killed at the end of t.
func spawn(t testing.TB, host *testkit.Host, role ...string) *child {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	if host != nil {
		cmd = host.Command(os.Args[0])
	}
	cmd.Env = append(os.Environ(), roleVariable+"="+strings.Join(role, " "), "GOMAXPROCS=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t, cmd}
	t.Cleanup(c.kill)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("start %q: %v", role, err)
	}
	return c
}

// kill ends the child as kill -9 does; its kernel closes its connections.
func (c *child) kill() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// signal sends SIGSTOP, SIGCONT and the like.
func (c *child) signal(s syscall.Signal) {
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Errorf("send %v to a backend: %v", s, err)
	}
}

// echoRole sends back what it gets, and the FIN after it, at the address that is its argument.
func echoRole(args []string) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go echo(c.(*net.TCPConn))
	}
}

// echo serves one connection. It copies by itself: io.Copy would take two more descriptors for a pipe.
func echo(c *net.TCPConn) {
	defer c.Close()
	buf := make([]byte, 4<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 {
			if _, err := c.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// echoBackends starts n echo backends on host ("127.0.0.1"), each a process of its own.
func echoBackends(t testing.TB, host string, n int) (all []*child, addresses []string) {
	t.Helper()
	for range n {
		address := freeAddress(t, host)
		all = append(all, spawn(t, nil, "echo", address))
		addresses = append(addresses, address)
	}
	return all, addresses
}
