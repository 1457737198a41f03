// Package child starts the programs of a measurement, each bound to its processors, and ends them with all that they
// started. A Process is waited for by a goroutine of its own; its methods may be called from any goroutine.
package child

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of a program that works: seconds, on a machine that is busy.
const (
	readyLimit = 10 * time.Second
	stopLimit  = 3 * time.Second
	pipeLimit  = time.Second
)

// Spec is what to start.
type Spec struct {
	Argv       []string
	Env        []string // beside this process's own
	CPUs       []int    // none: any
	Stdin      io.Reader
	NewNetwork bool // in a network namespace of its own, which ends with it; needs CAP_SYS_ADMIN
}

// Process is a started program, in a process group of its own, so that a Ctrl-C at the terminal does not reach it.
type Process struct {
	cmd         *exec.Cmd
	out, errors buffer
	ended       chan struct{}
}

// Start starts it. What it writes is kept.
func Start(s Spec) (*Process, error) {
	p := &Process{cmd: exec.Command(s.Argv[0], s.Argv[1:]...), ended: make(chan struct{})}
	p.cmd.WaitDelay = pipeLimit // a child that keeps our pipe open does not hold up the end
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = s.Stdin, &p.out, &p.errors
	if len(s.Env) > 0 {
		p.cmd.Env = append(os.Environ(), s.Env...)
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if s.NewNetwork {
		p.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	if err := startPinned(p.cmd, s.CPUs); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Argv[0], err)
	}
	go func() {
		_ = p.cmd.Wait() // the state is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// starting is locked while a thread's affinity is not its own.
var starting sync.Mutex

// startPinned forks on a thread that is bound to the processors: a child inherits its affinity (sched_setaffinity(2)),
// and a Go child derives GOMAXPROCS from it.
//
// The parent-death signal comes when the thread that forked ends (prctl(2), PR_SET_PDEATHSIG); Go ends threads only with
// goroutines that stay locked to them.
func startPinned(cmd *exec.Cmd, cpus []int) error {
	if len(cpus) == 0 {
		return cmd.Start()
	}
	starting.Lock()
	defer starting.Unlock()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	for _, cpu := range cpus {
		only.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("bind to processors %v: %w", cpus, err)
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}

// PID is the program's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// HasEnded says whether it has.
func (p *Process) HasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// CPUSeconds is what an ended program and the children that it waited for have used; 0 before.
func (p *Process) CPUSeconds() float64 {
	if !p.HasEnded() {
		return 0
	}
	s := p.cmd.ProcessState
	return (s.UserTime() + s.SystemTime()).Seconds()
}

// Output is what it has written so far to standard output.
func (p *Process) Output() []byte { return p.out.bytes() }

// Stop asks the program to end, and ends its whole group if it does not or if it leaves children behind.
func (p *Process) Stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
	}
	p.Kill()
}

// Kill ends the whole group at once.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

// Failure describes a program that did not do what it should, with how it ended and the end of what it wrote, in a line.
func (p *Process) Failure(what string) error {
	if p.HasEnded() {
		what += " (" + p.cmd.ProcessState.String() + ")"
	}
	if text := strings.Join(strings.Fields(string(p.errors.bytes())), " "); text != "" {
		what += ": " + text[max(len(text)-800, 0):]
	}
	return fmt.Errorf("%s: %s", p.cmd.Args[0], what)
}

// Line waits for the first line of its output.
func (p *Process) Line() (string, error) {
	err := p.WaitOutput("\n")
	line, _, _ := strings.Cut(string(p.Output()), "\n")
	return line, err
}

// WaitOutput returns when the program has written that.
func (p *Process) WaitOutput(text string) error { return p.waitText(&p.out, text) }

// WaitLog returns when the program has written that to standard error.
func (p *Process) WaitLog(text string) error { return p.waitText(&p.errors, text) }

func (p *Process) waitText(in *buffer, text string) error {
	for deadline := time.Now().Add(readyLimit); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		ended := p.HasEnded() // asked first: what it wrote last counts
		if bytes.Contains(in.bytes(), []byte(text)) {
			return nil
		}
		if ended {
			break
		}
	}
	return p.Failure("does not come up")
}

// WaitListening returns when something accepts connections at addr.
func (p *Process) WaitListening(addr netip.AddrPort) error {
	for deadline := time.Now().Add(readyLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.HasEnded() {
			return p.Failure("ended at once")
		}
		if c, err := net.DialTimeout("tcp", addr.String(), time.Second); err == nil {
			return c.Close()
		}
	}
	return p.Failure("does not listen on " + addr.String())
}

// FreePort finds a port that nothing listens on now.
func FreePort(ip netip.Addr) (netip.AddrPort, error) {
	ln, err := net.Listen("tcp", netip.AddrPortFrom(ip, 0).String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// buffer may be read while a program still writes to it.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
