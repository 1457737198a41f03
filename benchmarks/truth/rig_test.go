// Package truth checks the harness against what is known: proxies with one flaw that was put there on purpose, whose
// size is exact. Each test asks whether the figures say just that.
package truth

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/flawed"
	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
)

// patient is how long answers may take that will come: a busy machine must not look like a fault.
const patient = 30 * time.Second

var anyPort = netip.MustParseAddrPort("127.0.0.1:0")

// asProxy makes this test binary a flawed proxy: a process of its own has costs of its own.
const asProxy = "LONGSPLICE_TRUTH_PROXY"

func TestMain(m *testing.M) {
	if to := os.Getenv(asProxy); to != "" {
		beProxy(to, os.Args[1])
		return
	}
	flag.Parse()
	_ = flag.Set("test.parallel", "12") // cases that wait need no processor
	os.Exit(m.Run())
}

// beProxy says where it listens, relays until its standard input ends, and says how often its flaw has struck.
func beProxy(to, flaw string) {
	p, err := flawed.Open(flawed.Config{Listen: anyPort, To: []netip.AddrPort{netip.MustParseAddrPort(to)}, Flaw: flaw})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.Addr)
	_, _ = os.Stdin.Read(make([]byte, 1))
	p.Close()
	fmt.Println(p.Struck())
}

// server is a backend in this process.
type server struct {
	addr netip.AddrPort
	stop func() // ends it as a process that dies would; twice is the same as once
}

// open serves in a goroutine until the test ends or stops it.
func open(t *testing.T, mode serve.Mode, webSocket bool) server {
	t.Helper()
	s, err := serve.Open(mode, []netip.AddrPort{anyPort})
	if err != nil {
		t.Fatal(err)
	}
	s.WebSocket = webSocket
	var stop atomic.Bool
	ended := make(chan error, 1)
	go func() { ended <- s.Run(stop.Load) }()
	end := sync.OnceFunc(func() {
		stop.Store(true)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return server{s.Addrs[0], end}
}

func backend(t *testing.T, mode serve.Mode, webSocket bool) netip.AddrPort {
	t.Helper()
	return open(t, mode, webSocket).addr
}

// proxy has the flaw in this process; "up " before the flaw's name turns it towards the backend.
func proxy(t *testing.T, to netip.AddrPort, flaw string) *flawed.Proxy {
	t.Helper()
	flaw, up := strings.CutPrefix(flaw, "up ")
	p, err := flawed.Open(flawed.Config{Listen: anyPort, To: []netip.AddrPort{to}, Flaw: flaw, ToBackend: up})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// target is a flawed proxy in a process of its own.
type target struct {
	addr   netip.AddrPort
	pid    int
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

// start has the proxy until the test ends or stops it.
func start(t *testing.T, to netip.AddrPort, flaw string) *target {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, flaw)
	cmd.Env = append(os.Environ(), asProxy+"="+to.String())
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err1 := cmd.StdinPipe()
	stdout, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p := &target{pid: cmd.Process.Pid, cmd: cmd, stdin: stdin, stdout: bufio.NewReader(stdout)}
	t.Cleanup(func() { stdin.Close(); _ = cmd.Wait() })
	p.addr = netip.MustParseAddrPort(p.line(t))
	return p
}

func (p *target) line(t *testing.T) string {
	t.Helper()
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		t.Fatalf("flawed proxy: %v", err)
	}
	return strings.TrimSpace(line)
}

// stop ends the proxy and returns how often its flaw has struck.
func (p *target) stop(t *testing.T) (struck uint64) {
	t.Helper()
	p.stdin.Close()
	struck, err := strconv.ParseUint(p.line(t), 10, 64)
	if err != nil {
		t.Fatalf("flawed proxy: %v", err)
	}
	_ = p.cmd.Wait()
	return struck
}

// sound is the result of a measurement at which nothing may go wrong.
func sound(t *testing.T, res *load.Result, err error) *load.Result {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !res.Sound() {
		t.Fatalf("not sound: %d wrong, %d failed: %s", res.Wrong, res.Failed, res.FirstError)
	}
	return res
}

func config(to netip.AddrPort) load.Config {
	return load.Config{To: []netip.AddrPort{to}, Warm: 20 * time.Millisecond, For: 200 * time.Millisecond, Patience: patient}
}

// underRace says whether this is the race detector's build: code takes about ten times as long there.
func underRace() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}
