package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a busy machine may take for what should happen at once.
const patience = 20 * time.Second

// process is a `run` of its own, with all that it has logged.
type process struct {
	t   *testing.T
	cmd *exec.Cmd

	mu    sync.Mutex
	lines []string
	grew  chan struct{} // replaced with each line
	ended chan struct{}
	code  int // once it has ended
}

// start starts `run` with the configuration text and the environment vars. stderr, if not nil, takes the log.
func start(t *testing.T, text string, vars ...string) *process {
	t.Helper()
	return startWith(t, write(t, text), nil, vars...)
}

func startWith(t *testing.T, path string, stderr *os.File, vars ...string) *process {
	t.Helper()
	p := &process{t: t, grew: make(chan struct{}), ended: make(chan struct{})}
	p.cmd = exec.Command(os.Args[0], "run", "-c", path)
	p.cmd.Env = append(append(os.Environ(), asProgram+"=1"), vars...)
	var log io.Reader = strings.NewReader("")
	if stderr != nil {
		p.cmd.Stderr = stderr
	} else {
		pipe, err := p.cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		log = pipe
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(log)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the process logged:\n%s", strings.Join(p.log(), "\n"))
		}
	})
	return p
}

func (p *process) follow(log io.Reader) {
	for lines := bufio.NewScanner(log); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.grew)
		p.grew = make(chan struct{})
		p.mu.Unlock()
	}
	p.cmd.Wait()
	p.code = p.cmd.ProcessState.ExitCode()
	close(p.ended)
}

func (p *process) log() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.lines...)
}

// await waits for a log line that holds text and returns it.
func (p *process) await(text string) string {
	p.t.Helper()
	deadline := time.After(patience)
	for {
		p.mu.Lock()
		grew := p.grew
		for _, line := range p.lines {
			if strings.Contains(line, text) {
				p.mu.Unlock()
				return line
			}
		}
		p.mu.Unlock()
		select {
		case <-grew:
		case <-p.ended:
			if strings.Contains(strings.Join(p.log(), "\n"), text) {
				continue
			}
			p.t.Fatalf("the process ended with code %d and never logged %q", p.code, text)
		case <-deadline:
			p.t.Fatalf("the process did not log %q in %s", text, patience)
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// expectEnd waits for the end with that exit code.
func (p *process) expectEnd(code int) {
	p.t.Helper()
	select {
	case <-p.ended:
		if p.code != code {
			p.t.Errorf("the process ended with code %d, want %d", p.code, code)
		}
	case <-time.After(patience):
		p.t.Fatalf("the process did not end in %s", patience)
	}
}

// echo is a backend that sends back what it gets; a line that it accepted stays open until the client ends it.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// setup is a configuration with one frontend and a backend that is there, and the paths and addresses in it.
type setup struct{ text, listen, admin, dir string }

func newSetup(t *testing.T, process string) setup {
	t.Helper()
	s := setup{dir: t.TempDir(), listen: freePort(t)}
	s.admin = filepath.Join(s.dir, "admin.sock")
	s.text = fmt.Sprintf("[process]\nadmin = %q\nstate_dir = %q\n%s\n[[frontend]]\nname = \"chat\"\nlisten = [%q]\nbackends = [%q]\n",
		s.admin, s.dir, process, s.listen, echo(t))
	return s
}

// talk opens a session and sends one word there and back; the session stays.
func talk(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, "hello"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.LimitReader(c, 5)); err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v through the balancer", got, err)
	}
	return c
}

func TestRunServesAndStops(t *testing.T) {
	s := newSetup(t, `name = "edge1"`)
	p := start(t, s.text)
	p.await(`"event":"started"`)
	talk(t, s.listen).Close()
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
	p.await(`"event":"stopped"`)
	for _, line := range p.log() {
		var fields struct{ Level, Time, Event, Node, Message string }
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%q is not JSON: %v", line, err)
		} else if fields.Event == "" || fields.Level == "" || fields.Node != "edge1" {
			t.Errorf("%q lacks its event, level or node", line)
		} else if _, err := time.Parse(time.RFC3339, fields.Time); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestRunWritesForPeopleToo(t *testing.T) {
	s := newSetup(t, `log_format = "console"`)
	p := start(t, s.text)
	line := p.await("event=started")
	if strings.Contains(line, "\x1b") {
		t.Errorf("%q has colours, and is not on a terminal", line)
	}
	p.signal(syscall.SIGINT)
	p.expectEnd(exitOK)
}

func TestLogLevelHolds(t *testing.T) {
	s := newSetup(t, `log_level = "warn"`)
	p := start(t, s.text)
	waitServed(t, s.listen)
	p.signal(syscall.SIGHUP)
	p.await("reload_failed")
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
	if log := strings.Join(p.log(), "\n"); strings.Contains(log, `"started"`) || strings.Contains(log, `"stopped"`) {
		t.Errorf("events below the level are in the log:\n%s", log)
	}
}

// waitServed waits until somebody accepts at addr.
func waitServed(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nobody serves %s", addr)
}

func TestRunIsRefusedWhereItCannotServe(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	s := newSetup(t, "")
	for _, c := range []struct{ name, text, stderr string }{
		{"a port that another program serves", strings.Replace(s.text, s.listen, busy.Addr().String(), 1), "listen " + busy.Addr().String() + " (frontend chat): bind: address already in use"},
		{"an address that is not here", strings.Replace(s.text, s.listen, "192.0.2.1:8081", 1), "no interface has the address"},
		{"a name that does not resolve", strings.Replace(s.text, `backends = ["127.0.0.1`, `backends = ["nowhere.onion`, 1), "nowhere.onion"},
		{"a key file that is not there", strings.Replace(s.text, "[process]", "[process]\nhash_key_file = \"/nonexistent/key\"", 1), "openssl rand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, c.text)
			p.expectEnd(exitFailed)
			p.await("longsplice: ")
			p.await(c.stderr)
		})
	}
}

func TestASecondRunIsRefused(t *testing.T) {
	s := newSetup(t, "")
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	second := start(t, s.text)
	second.expectEnd(exitFailed)
	second.await(fmt.Sprintf("already served by longsplice pid %d; to replace it: longsplice upgrade", p.cmd.Process.Pid))

	elsewhere := start(t, strings.Replace(s.text, s.admin, s.admin+"2", 1)) // only the address is the same
	elsewhere.expectEnd(exitFailed)
	elsewhere.await("listen " + s.listen + " (frontend chat): bind: address already in use")

	talk(t, s.listen) // the first goes on
	p.signal(syscall.SIGTERM)
}

func TestStopWaitsForSessionsAndASecondSignalDoesNot(t *testing.T) {
	s := newSetup(t, `drain_timeout = "forever"`)
	p := start(t, s.text)
	p.await(`"event":"ready"`)
	c := talk(t, s.listen)
	p.signal(syscall.SIGTERM)
	p.await("drain_begin")
	if _, err := io.WriteString(c, "still"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.LimitReader(c, 5)); err != nil || string(got) != "still" {
		t.Fatalf("a session that drains echoes %q, %v", got, err)
	}
	select {
	case <-p.ended:
		t.Fatal("the process ended with a session that may last for ever")
	case <-time.After(200 * time.Millisecond):
	}
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a session that was cut ends with %v, want a reset", err)
	}
}

func TestStopWhileStarting(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // takes the first health check and never answers it
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	s := newSetup(t, "")
	text := strings.Replace(s.text, "backends", "pool = \"chat\" #", 1) + fmt.Sprintf("[[pool]]\nname = \"chat\"\nhealth = { type = \"http\", interval = \"1m\", timeout = \"1m\" }\nbackend = [{ name = \"b1\", address = %q }]\n", silent.Addr())
	p := start(t, text)
	c, err := silent.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
	p.await("told to stop before it served")
}

func TestSignalsThatDoNotEnd(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "access.log")
	s := newSetup(t, fmt.Sprintf("access_log = %q", log))
	p := start(t, s.text)
	p.await(`"event":"ready"`)

	p.signal(syscall.SIGHUP)
	p.await("reload is not supported yet; nothing has changed")
	p.signal(syscall.SIGUSR2)
	p.await("upgrade is not supported yet; nothing has changed")
	p.signal(syscall.SIGQUIT)
	p.await(`"subject":"worker","message":"{\"id\":0,`)
	p.await(`(*service).dump`)

	if err := os.Rename(log, log+".1"); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGUSR1)
	p.await("access_log_reopened")
	talk(t, s.listen).Close()
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
	lines, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(lines), `"frontend":"chat"`) {
		t.Errorf("the new access log holds %q, %v", lines, err)
	}
}

func TestTheServiceManagerIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify.sock")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.SetReadDeadline(time.Now().Add(patience))
	told := func() string {
		buf := make([]byte, 100)
		n, err := l.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
	s := newSetup(t, "")
	p := start(t, s.text, "NOTIFY_SOCKET="+socket)
	if got := told(); got != "READY=1" {
		t.Errorf("told %q first", got)
	}
	talk(t, s.listen)
	p.signal(syscall.SIGTERM)
	if got := told(); got != "STOPPING=1" {
		t.Errorf("told %q at the end", got)
	}
}

func TestALogThatNobodyReadsHoldsNothingUp(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	s := newSetup(t, `drain_timeout = "0s"`)
	p := startWith(t, write(t, s.text), w)
	waitServed(t, s.listen)
	for range 50 { // each writes some 10 KB: more than the pipe holds
		p.signal(syscall.SIGQUIT)
		time.Sleep(2 * time.Millisecond)
	}
	talk(t, s.listen)
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
}

func TestALogThatIsClosedKillsNobody(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close() // every write is EPIPE
	s := newSetup(t, "")
	p := startWith(t, write(t, s.text), w)
	waitServed(t, s.listen)
	p.signal(syscall.SIGQUIT)
	talk(t, s.listen).Close()
	p.signal(syscall.SIGTERM)
	p.expectEnd(exitOK)
}
