// Package target is what the benchmarks measure: nothing at all, longsplice, its peers, the kernel, a balancer of the
// user's own; how each is started, what its configuration is, and why it may be missing here.
//
// A measurement prepares a Stage (addresses), starts the backends on it, then the balancer, and closes the stage when all
// is over. One Stage at a time; nothing here is for concurrent use.
package target

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/peers"
	"github.com/longsplice/longsplice/benchmarks/report"
	"golang.org/x/sys/unix"
)

// Target is one thing to measure.
type Target struct {
	Name  string
	About string
	// FDsPerSession is what a silent session holds of the balancer's descriptors; 0: it holds none.
	FDsPerSession int

	kind    kind
	program string   // looked up in PATH unless it has a slash
	config  string   // template in peers; "": all on the command line
	file    string   // what the configuration is called when it is written
	args    []string // {config} and {dir} are replaced
	check   []string // arguments that judge the configuration, and end
	version []string // arguments that print the version

	given netip.AddrPort // of a balancer that runs already
	pid   int            // its process, 0: not known
}

type kind int

const (
	none    kind = iota // the client connects to the backends
	program             // started for each measurement
	dnat                // the kernel, in a network namespace
	given               // runs already
)

// Place is what a run gives to every target.
type Place struct {
	CPUs    []int
	Threads int
}

// All are the targets that the program knows, in the order of the tables. self is this program's path, longsplice the
// balancer's.
func All(self, longsplice string) []Target {
	haproxy := Target{
		// Two, and its share of the pipes that are reserved: it does not start with less.
		kind: program, program: "haproxy", FDsPerSession: 3, args: []string{"-db", "-f", "{config}"},
		check: []string{"-c", "-f", "{config}"}, version: []string{"-v"},
	}
	tuned := haproxy
	haproxy.Name, haproxy.About = "haproxy", "HAProxy as shipped, splice-auto"
	haproxy.config, haproxy.file = "haproxy.cfg", "haproxy.cfg"
	tuned.Name, tuned.About = "haproxy-1m", "HAProxy tuned for bulk: always splicing, 1 MiB pipes"
	tuned.config, tuned.file = "haproxy-tuned.cfg", "haproxy-1m.cfg"
	return []Target{
		{Name: "direct", About: "no balancer: the client connects to the backends", kind: none},
		{
			Name: "longsplice", About: "longsplice, its defaults", kind: program, program: longsplice, FDsPerSession: 2,
			config: "longsplice.cfg", file: "longsplice.toml", args: []string{"run", "-c", "{config}"},
			check: []string{"check", "-c", "{config}"}, version: []string{"version"},
		},
		haproxy,
		tuned,
		{
			Name: "nginx", About: "nginx stream, its defaults", kind: program, program: "nginx", FDsPerSession: 2,
			config: "nginx.cfg", file: "nginx.cfg", args: []string{"-p", "{dir}", "-c", "{config}"},
			check: []string{"-t", "-p", "{dir}", "-c", "{config}"}, version: []string{"-v"},
		},
		// io.Copy keeps a pipe for each direction that waits.
		{Name: "iocopy", About: "the simplest Go proxy (io.Copy)", kind: program, program: self, FDsPerSession: 6},
		{
			Name: "dnat", About: "the kernel's destination NAT in a namespace, no process at all: the limit", kind: dnat,
			program: "nft", config: "dnat.nft", file: "dnat.nft", version: []string{"--version"},
		},
	}
}

// Given is a balancer that the user has started. Without a pid its CPU and memory are not known.
func Given(name string, addr netip.AddrPort, pid int) Target {
	return Target{Name: name, About: "given, at " + addr.String(), kind: given, given: addr, pid: pid, FDsPerSession: 2}
}

// OwnNetwork says that the target's backends have to be where it is.
func (t *Target) OwnNetwork() bool { return t.kind == dnat }

// OpenFiles is what a started program may open. Go raises this process's own soft limit to the hard one at start, but
// gives children the original back.
func OpenFiles() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Max, 1<<20))
}

// reserve is descriptors that are not sessions.
const reserve = 500

// MaxSessions is how many silent sessions the target can hold.
func (t *Target) MaxSessions() int {
	return max(1, (OpenFiles()-reserve)/max(t.FDsPerSession, 1))
}

// Describe is the target as a report records it.
func (t *Target) Describe(p Place) report.Target {
	d := report.Target{Name: t.Name, About: t.About, Version: t.versionLine()}
	if t.kind != program && t.kind != dnat {
		return d
	}
	data := t.data(p, exampleStage, "DIR")
	data.Listen = exampleListen
	if text, err := t.render(data); err == nil && text != nil {
		d.ConfigName, d.Config = t.file, string(text)
	}
	d.Command = shellLine(t.commandLine(data))
	return d
}

// Live is a target that runs.
type Live struct {
	To  []netip.AddrPort // where to connect
	PID int              // whose costs are measured; 0: none, or not known

	process *child.Process
	dir     string
}

// Processes are those that Start has started.
func (l *Live) Processes() []*child.Process {
	if l.process == nil {
		return nil
	}
	return []*child.Process{l.process}
}

// Fault says that the balancer has ended by itself, which it should not have.
func (l *Live) Fault() error {
	if l.process != nil && l.process.HasEnded() {
		return l.process.Failure("ended under load")
	}
	return nil
}

// Stop ends what Start has started.
func (l *Live) Stop() {
	if l.process != nil {
		l.process.Stop()
	}
	if l.dir != "" {
		os.RemoveAll(l.dir)
	}
}

// Start starts the target in front of the backends that now serve on the stage.
func (s *Stage) Start(p Place, backends []netip.AddrPort) (*Live, error) {
	switch s.t.kind {
	case program:
		return s.startProgram(p, backends)
	case dnat:
		return s.space.forward(p, s.t, backends)
	case given:
		return &Live{To: []netip.AddrPort{s.t.given}, PID: s.t.pid}, nil
	default:
		return &Live{To: backends}, nil
	}
}

func (s *Stage) startProgram(p Place, backends []netip.AddrPort) (*Live, error) {
	dir, err := os.MkdirTemp("", "longsplice-bench-")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	listen, err := child.FreePort(loopback)
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	l := &Live{To: []netip.AddrPort{listen}, dir: dir}
	data := s.t.data(p, backends, dir)
	data.Listen = listen
	if err := s.t.writeConfig(data); err != nil {
		l.Stop()
		return nil, err
	}
	spec := child.Spec{Argv: s.t.commandLine(data), CPUs: p.CPUs, Env: []string{fmt.Sprintf("GOMAXPROCS=%d", p.Threads)}}
	if s.t.config != "" { // a peer's threads are in its configuration
		spec.Env = nil
	}
	if l.process, err = child.Start(spec); err != nil {
		l.Stop()
		return nil, err
	}
	l.PID = l.process.PID()
	if err := l.process.WaitListening(listen); err != nil {
		l.Stop()
		return nil, err
	}
	time.Sleep(50 * time.Millisecond) // the probe's session ends
	return l, nil
}

func (t *Target) data(p Place, backends []netip.AddrPort, dir string) peers.Data {
	return peers.Data{
		Backends: backends, Dir: dir, Threads: p.Threads, MaxSessions: t.MaxSessions(),
		OpenFiles: OpenFiles(), StreamModule: peers.StreamModule(),
	}
}

func (t *Target) render(d peers.Data) ([]byte, error) {
	if t.config == "" {
		return nil, nil
	}
	return peers.Render(t.config, d)
}

func (t *Target) writeConfig(d peers.Data) error {
	text, err := t.render(d)
	if err != nil || text == nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.Dir, t.file), text, 0o644); err != nil {
		return fmt.Errorf("write configuration of %s: %w", t.Name, err)
	}
	return nil
}
