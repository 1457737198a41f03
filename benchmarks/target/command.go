package target

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/longsplice/longsplice/benchmarks/child"
	"github.com/longsplice/longsplice/benchmarks/peers"
)

// Addresses in a configuration that a report records.
var (
	exampleListen = netip.MustParseAddrPort("127.0.0.1:8080")
	exampleStage  = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.2:9000"), netip.MustParseAddrPort("127.0.0.3:9000")}
)

// patience with programs that only print something.
const printLimit = 10 * time.Second

// Missing says why the target cannot take part here, or "". It also finds the program, so it has to be asked first.
func (t *Target) Missing(p Place) string {
	if t.kind == none || t.kind == given {
		return t.missingGiven()
	}
	path, err := lookPath(t.program)
	if err != nil {
		return err.Error()
	}
	t.program = path
	if t.kind == dnat {
		return t.missingKernel(p)
	}
	return t.refused(p)
}

func (t *Target) missingGiven() string {
	if t.pid == 0 {
		return ""
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d", t.pid)); err != nil {
		return fmt.Sprintf("no process %d", t.pid)
	}
	return ""
}

// refused has the program judge its own configuration: one that was built without what it needs says so.
func (t *Target) refused(p Place) string {
	if t.check == nil {
		return ""
	}
	dir, err := os.MkdirTemp("", "longsplice-bench-")
	if err != nil {
		return err.Error()
	}
	defer os.RemoveAll(dir)
	d := t.data(p, exampleStage, dir)
	d.Listen = netip.AddrPortFrom(loopback, 0)
	if d.Listen, err = child.FreePort(loopback); err == nil {
		err = t.writeConfig(d)
	}
	if err != nil {
		return err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), printLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, t.program, t.fill(t.check, d)...).CombinedOutput()
	if err != nil {
		text := strings.TrimSpace(string(out))
		return fmt.Sprintf("%s refuses the configuration (%v): %s", t.program, err, text[max(len(text)-400, 0):])
	}
	return ""
}

// lookPath looks where balancers are installed, too, which is not in every user's PATH.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return filepath.Abs(path)
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil && !strings.Contains(name, "/") {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not here", name)
}

// versionLine is the first line of what the program says about itself; "" if it has no version.
func (t *Target) versionLine() string {
	if t.version == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(context.Background(), printLimit)
	defer cancel()
	out, _ := exec.CommandContext(ctx, t.program, t.version...).CombinedOutput() // nginx prints it to standard error
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// commandLine starts the program with the configuration that is in d.Dir.
func (t *Target) commandLine(d peers.Data) []string {
	if t.kind == dnat {
		return []string{t.program, "-f", t.file}
	}
	if t.config == "" {
		argv := []string{t.program, "iocopy", "--listen", d.Listen.String()}
		for _, b := range d.Backends {
			argv = append(argv, "--to", b.String())
		}
		return argv
	}
	return append([]string{t.program}, t.fill(t.args, d)...)
}

func (t *Target) fill(args []string, d peers.Data) (out []string) {
	replace := strings.NewReplacer("{config}", filepath.Join(d.Dir, t.file), "{dir}", d.Dir)
	for _, a := range args {
		out = append(out, replace.Replace(a))
	}
	return out
}

func shellLine(argv []string) string { return strings.Join(argv, " ") }
