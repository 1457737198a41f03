package compare

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readyLimit = 5 * time.Second
	stopLimit  = 3 * time.Second
)

// process is a program started for one measurement, in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	errors lockedBuffer
	ended  chan struct{} // closed when the program itself has ended
}

// start runs the program on one processor. Its standard error is kept for messages.
func start(cpu int, argv []string, stdout *lockedBuffer) (*process, error) {
	p := &process{cmd: exec.Command(argv[0], argv[1:]...), ended: make(chan struct{})}
	p.cmd.WaitDelay = stopLimit // a child that keeps our pipe open does not hold up the end
	p.cmd.Stderr = &p.errors
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startPinned(p.cmd, cpu); err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	go func() {
		_ = p.cmd.Wait() // the state is in ProcessState
		close(p.ended)
	}()
	return p, nil
}

// startPinned forks on a thread that is bound to cpu: a child inherits its affinity (sched_setaffinity(2)), and a Go
// child derives GOMAXPROCS from it.
func startPinned(cmd *exec.Cmd, cpu int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("get affinity: %w", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("bind to processor %d: %w", cpu, err)
	}
	return errors.Join(cmd.Start(), unix.SchedSetaffinity(0, &before))
}

// stop asks the program to end, and ends its whole group if it does not or if it leaves children behind.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
}

func (p *process) hasEnded() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// failure describes a program that did not do what it should, with the end of what it wrote.
func (p *process) failure(what string) error {
	text := bytes.TrimSpace(p.errors.bytes())
	return fmt.Errorf("%s: %s: %s", p.cmd.Args[0], what, text[max(len(text)-800, 0):])
}

// waitListening returns when something accepts connections at addr.
func (p *process) waitListening(addr netip.AddrPort) error {
	for deadline := time.Now().Add(readyLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if p.hasEnded() {
			return p.failure("ended at once (" + p.cmd.ProcessState.String() + ")")
		}
		if c, err := net.Dial("tcp", addr.String()); err == nil {
			c.Close()
			return nil
		}
	}
	return p.failure("does not listen on " + addr.String())
}

// freePort finds a port on ip that nothing listens on now.
func freePort(ip string) (netip.AddrPort, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find a free port: %w", err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

// lockedBuffer may be read while a program still writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.b.Bytes())
}
