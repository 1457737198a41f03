package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/sys"
)

// withoutSplice makes a process of the test program forbid itself splice(2) before it becomes the program: a sandbox.
const withoutSplice = "LONGSPLICE_TEST_WITHOUT_SPLICE"

// forbidSplice installs a seccomp filter that answers splice with ENOSYS, and starts this very command again under it.
// A filter binds one thread and what comes of it: after exec that is the whole process.
func forbidSplice() error {
	runtime.LockOSThread()
	const (
		setNoNewPrivs, setSeccomp, filterMode = 38, 22, 2 // prctl(2)
		allow, fail                           = 0x7fff0000, 0x00050000
	)
	program := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: 0}, // struct seccomp_data begins with the call's number
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: syscall.SYS_SPLICE, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: fail | uint32(syscall.ENOSYS)},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: allow},
	}
	p := syscall.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, setNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("prctl PR_SET_NO_NEW_PRIVS: %w", e)
	}
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, setSeccomp, filterMode, uintptr(unsafe.Pointer(&p)), 0, 0, 0); e != 0 {
		return fmt.Errorf("prctl PR_SET_SECCOMP: %w", e)
	}
	if err := os.Unsetenv(withoutSplice); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// relayed is how many bytes the process at an admin socket has copied and spliced.
func relayed(t *testing.T, admin string) (copied, spliced uint64) {
	t.Helper()
	var all struct {
		Workers []balancer.WorkerStatus `json:"workers"`
	}
	if err := clientOf(admin).get(context.Background(), "/v1/workers", nil, &all); err != nil {
		t.Fatal(err)
	}
	for _, w := range all.Workers {
		copied, spliced = copied+w.CopiedBytes, spliced+w.SplicedBytes
	}
	return copied, spliced
}

// echoStream sends n bytes there and back at once, and compares.
func echoStream(t *testing.T, addr string, n int) {
	t.Helper()
	c := talk(t, addr)
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	pattern := make([]byte, n)
	for i := range pattern {
		pattern[i] = byte(i*i>>7 ^ i)
	}
	go func() {
		_, _ = c.Write(pattern)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, pattern) {
		t.Fatalf("%d of %d bytes came back, %v; equal: %t", len(got), n, err, bytes.Equal(got, pattern))
	}
}

// In a sandbox without splice the real program says so once, copies every byte right, and shows it.
func TestRunWithoutSplice(t *testing.T) {
	const stream = 4 << 20
	for _, c := range []struct {
		mode, says string
		sandbox    bool
	}{
		{"auto", "", false},
		{"auto", "every direction is copied", true},
		{"splice", `relay.mode = \"splice\" cannot be had`, true},
	} {
		t.Run(fmt.Sprintf("%s, sandbox %t", c.mode, c.sandbox), func(t *testing.T) {
			s := newSetup(t, "")
			var vars []string
			if c.sandbox {
				vars = []string{withoutSplice + "=1"}
			}
			p := start(t, s.text+fmt.Sprintf("[relay]\nmode = %q\n", c.mode), vars...)
			p.await(`"event":"ready"`)
			echoStream(t, s.listen, stream)
			var copied, spliced uint64
			for end := time.Now().Add(patience); copied+spliced < 2*(stream+5) && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				copied, spliced = relayed(t, s.admin)
			}
			t.Logf("%d bytes copied, %d spliced", copied, spliced)
			if copied+spliced != 2*(stream+5) || (spliced == 0) != c.sandbox {
				t.Errorf("%d bytes copied, %d spliced; want %d in all, and all copied: %t", copied, spliced, 2*(stream+5), c.sandbox)
			}
			said := 0
			for _, line := range p.log() {
				if strings.Contains(line, `"event":"degraded","subject":"splice"`) && strings.Contains(line, "function not implemented") && strings.Contains(line, c.says) {
					said++
				}
			}
			if (said == 1) != c.sandbox {
				t.Errorf("the log says it %d times:\n%s", said, strings.Join(p.log(), "\n"))
			}
			var st balancer.Status
			out := call("status", "--json", "--admin", s.admin)
			if err := json.Unmarshal([]byte(out.stdout), &st); err != nil {
				t.Fatalf("%v in %s%s", err, out.stdout, out.stderr)
			}
			for _, f := range st.Features {
				if f.Name == sys.FeatureSplice && f.Present == c.sandbox {
					t.Errorf("status says %+v", f)
				}
			}
			p.signal(syscall.SIGTERM)
			p.expectEnd(exitOK)
		})
	}
}

// The table of the self-test: at debug level in the log, in status for people and programs, and in version.
func TestTheSelfTestIsShown(t *testing.T) {
	s := newSetup(t, `log_level = "debug"`)
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	features := balancer.SelfTest(usualPipe)
	people, version := call("status", "--admin", s.admin), call("version")
	t.Log(people.stdout[max(strings.Index(people.stdout, "\nLinux"), 0):])
	for _, f := range features {
		p.await(fmt.Sprintf(`"event":"kernel","subject":%q`, f.Name))
		for command, out := range map[string]result{"status": people, "version": version} {
			if !strings.Contains(out.stdout, f.Name) {
				t.Errorf("%s does not name %s:\n%s%s", command, f.Name, out.stdout, out.stderr)
			}
		}
	}
	var r statusReport
	if err := json.Unmarshal([]byte(call("status", "--json", "--admin", s.admin).stdout), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Features) != len(features) {
		t.Errorf("%d features in status, %d were tried", len(r.Features), len(features))
	}
	for _, line := range p.log() {
		if strings.Contains(line, `"event":"kernel"`) && !strings.Contains(line, `"level":"debug"`) {
			t.Errorf("not at debug level: %s", line)
		}
	}
	quiet := start(t, newSetup(t, "").text)
	quiet.await(`"event":"ready"`)
	if log := strings.Join(quiet.log(), "\n"); strings.Contains(log, `"event":"kernel"`) {
		t.Errorf("the table is in the log without being asked for:\n%s", log)
	}
}

// A port of the status page that is busy keeps the program from serving: no client may have been let in before.
func TestABusyStatusPageLetsNobodyIn(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	s := newSetup(t, fmt.Sprintf("http = %q", busy.Addr()))
	p := start(t, s.text)
	in := 0
	for over := false; !over; {
		select {
		case <-p.ended:
			over = true
		default:
			if c, err := net.Dial("tcp", s.listen); err == nil {
				if c.LocalAddr().String() != c.RemoteAddr().String() { // a port may meet itself where nobody listens
					in++
				}
				c.Close()
			}
		}
	}
	if in > 0 {
		t.Errorf("%d clients were let in by a program that could not start", in)
	}
	p.expectEnd(exitFailed)
	p.await("open process.http " + busy.Addr().String())
}

// One process follows another on the same configuration without ever being told that the socket, rather than the place,
// is taken.
func TestOneProcessFollowsAnother(t *testing.T) {
	s := newSetup(t, `drain_timeout = "0s"`)
	first := start(t, s.text)
	first.await(`"event":"ready"`)
	first.signal(syscall.SIGTERM)
	for range 200 {
		next := start(t, s.text)
		select {
		case <-next.ended:
			log := strings.Join(next.log(), "\n")
			if !strings.Contains(log, fmt.Sprintf("already served by longsplice pid %d", first.cmd.Process.Pid)) || strings.Contains(log, `"event":"drain`) {
				t.Fatalf("the next one ended with\n%s", log)
			}
			continue
		case <-waitReady(next):
		}
		talk(t, s.listen)
		return
	}
	t.Error("200 processes could not follow the first")
}

// waitReady is closed once p serves; it stays open if p ends before.
func waitReady(p *process) <-chan struct{} {
	ready := make(chan struct{})
	go func() {
		for {
			p.mu.Lock()
			grew, log := p.grew, strings.Join(p.lines, "\n")
			p.mu.Unlock()
			if strings.Contains(log, `"event":"ready"`) {
				close(ready)
				return
			}
			select {
			case <-grew:
			case <-p.ended:
				return
			}
		}
	}()
	return ready
}
