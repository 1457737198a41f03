package matrix

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/iocopy"
	"github.com/longsplice/longsplice/benchmarks/peers"
	"github.com/longsplice/longsplice/benchmarks/proc"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// peerKind is a proxy to compare with.
type peerKind struct {
	name    string
	program string   // looked up in PATH; "": the test's own binary plays it
	config  string   // template of benchmarks/peers
	change  []string // what is replaced in it: old, new
	args    []string // {config} and {dir} are replaced
	version []string // arguments that make the program print its version
}

var plainCopy = peerKind{name: "Go io.Copy"}

// autoSplice leaves it to HAProxy which streams it splices.
const autoSplice = "option splice-auto"

// peerKinds are the proxies of the comparison, beside the program itself.
var peerKinds = []peerKind{
	{"HAProxy, splice-auto", "haproxy", "haproxy.cfg", nil, []string{"-db", "-f", "{config}"}, []string{"-v"}},
	{"HAProxy, splicing", "haproxy", "haproxy.cfg", []string{autoSplice, "option splice-request\n\toption splice-response"}, []string{"-db", "-f", "{config}"}, []string{"-v"}},
	{"HAProxy, copying", "haproxy", "haproxy.cfg", []string{autoSplice, ""}, []string{"-db", "-f", "{config}"}, []string{"-v"}},
	{"nginx stream", "nginx", "nginx.cfg", nil, []string{"-p", "{dir}", "-c", "{config}"}, []string{"-v"}},
	plainCopy,
}

// peer is a running proxy between the ends of a lane.
type peer struct {
	name    string
	version string
	lane    testkit.Lane
	pid     int
	stands  func() bool // the last connection through it is relayed; nil: nobody can say, so it gets a moment
}

func init() { roles["copy"] = copyRole }

// copyRole is the io.Copy proxy from the first address to the second.
func copyRole(args []string) error {
	fmt.Println("started")
	return iocopy.Run(context.Background(), args[0], args[1:])
}

// startPeer starts a proxy for the time of the test. It is nil if its program is not here.
func startPeer(t testing.TB, k peerKind, lane testkit.Lane) *peer {
	t.Helper()
	p := &peer{name: k.name, lane: lane}
	if k.program == "" {
		p.pid = spawn(t, nil, "copy", lane.Front.String(), lane.Backend.Addr().String()).cmd.Process.Pid
		p.version = "as in benchmarks/iocopy"
	} else if p.pid = k.start(t, lane); p.pid != 0 {
		p.version = k.versionLine()
	} else {
		return nil
	}
	eventually(t, p.name+" to listen", func() bool {
		pair, err := lane.Connect(testkit.Script{})
		if err == nil {
			pair.Close()
		}
		return err == nil
	})
	return p
}

// start starts the program and returns its process, 0 if it is not here.
func (k peerKind) start(t testing.TB, lane testkit.Lane) (pid int) {
	t.Helper()
	path, err := exec.LookPath(k.program)
	if err != nil {
		return 0
	}
	dir := t.TempDir()
	text, err := peers.Render(k.config, peers.Data{
		Listen: lane.Front, Backends: []netip.AddrPort{lane.Backend.Addr()}, Dir: dir,
		Threads: 1, MaxSessions: 4500, OpenFiles: 18_000, StreamModule: peers.StreamModule(),
	})
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, k.config)
	if err := os.WriteFile(config, []byte(strings.NewReplacer(k.change...).Replace(string(text))), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path)
	for _, a := range k.args {
		cmd.Args = append(cmd.Args, strings.NewReplacer("{config}", config, "{dir}", dir).Replace(a))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nginx has children
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// versionLine is the first line of what the program says about itself; nginx says it on standard error.
func (k peerKind) versionLine() string {
	out, _ := exec.Command(k.program, k.version...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// asPeer is the program itself as a proxy of the comparison.
func asPeer(t testing.TB, lane testkit.Lane) *peer {
	p := run(t, setup{config: frontend("front", lane.Front.String(), "pool") + pool("pool", []string{lane.Backend.Addr().String()}, noChecks)})
	before := p.metric("longsplice_connect_duration_seconds_count")
	return &peer{name: "longsplice", version: p.status().Version, lane: lane, pid: p.pid(), stands: func() bool {
		now := p.metric("longsplice_connect_duration_seconds_count")
		yes := now > before
		before = now
		return yes
	}}
}

// played is one run of a script through a peer.
type played struct {
	testkit.Outcome
	err error // a step that waited for ever
}

// play runs the script.
func (p *peer) play(s testkit.Script) (out played) {
	pair, err := p.lane.Connect(s)
	if err != nil {
		return played{err: err}
	}
	if p.stands == nil {
		time.Sleep(50 * time.Millisecond)
	}
	for p.stands != nil && !p.stands() {
		time.Sleep(time.Millisecond)
	}
	out.Outcome, out.err = pair.Play()
	return out
}

// quietFor is how long the client says nothing after an urgent byte: within it lies the second that is measured, from when
// all bytes have been relayed.
const (
	quietFor = 3 * time.Second
	settling = time.Second
)

// playMeasured is play, and the processor time that the peer's processes use in a second of silence.
func (p *peer) playMeasured(s testkit.Script) (played, time.Duration) {
	measured := make(chan time.Duration, 1)
	go func() {
		time.Sleep(settling)
		before := p.cpu()
		time.Sleep(time.Second)
		measured <- p.cpu() - before
	}()
	out := p.play(s)
	return out, <-measured
}

// cpu is what all processes of the peer have used, in ticks of 10 ms.
func (p *peer) cpu() time.Duration {
	pids, err := proc.Tree(p.pid)
	if err != nil {
		return 0
	}
	seconds, _ := proc.CPUSeconds(pids)
	return time.Duration(seconds * float64(time.Second))
}
