package compare

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/longsplice/longsplice/benchmarks/peers"
)

// Target is one thing to compare: a balancer, or none.
type Target struct {
	Name    string
	About   string
	program string   // looked up in PATH unless it has a slash; "": no balancer
	config  string   // template in peers; "": all on the command line
	args    []string // {config} and {dir} are replaced
	version []string // arguments that make the program print its version

	fdsPerSession int // while silent; io.Copy keeps a pipe per direction
}

// Targets returns all of them, in the order of the tables. self is this program, longsplice the balancer's path.
func Targets(self, longsplice string) []Target {
	return []Target{
		{Name: "direct", About: "no balancer: the client connects to the backends", fdsPerSession: 1},
		{"longsplice", "longsplice, 1 worker", longsplice, "longsplice.cfg", []string{"run", "-c", "{config}"}, []string{"version"}, 2},
		{"haproxy", "HAProxy as shipped, splice-auto, 1 thread", "haproxy", "haproxy.cfg", []string{"-db", "-f", "{config}"}, []string{"-v"}, 2},
		{"haproxy-1m", "HAProxy tuned for bulk: always splicing, 1 MiB pipes", "haproxy", "haproxy-tuned.cfg", []string{"-db", "-f", "{config}"}, []string{"-v"}, 2},
		{"nginx", "nginx stream, 1 worker", "nginx", "nginx.cfg", []string{"-p", "{dir}", "-c", "{config}"}, []string{"-v"}, 2},
		{"iocopy", "the simplest Go proxy (io.Copy)", self, "", nil, nil, 6},
	}
}

// missing says why the target cannot run here, or "".
func (t *Target) missing() string {
	if t.program == "" {
		return ""
	}
	path, err := exec.LookPath(t.program)
	if err != nil {
		return fmt.Sprintf("%s is not there (%v)", t.program, err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return err.Error()
	}
	t.program = path
	return ""
}

// versionLine is the first line of what the program says about itself; "" if it has no version.
func (t *Target) versionLine() string {
	if t.version == nil {
		return ""
	}
	out, _ := exec.Command(t.program, t.version...).CombinedOutput() // nginx prints it to standard error
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// command writes the configuration into dir and returns the command line.
func (t *Target) command(d peers.Data) ([]string, error) {
	if t.config == "" {
		argv := []string{t.program, "iocopy", "--listen", d.Listen.String()}
		return append(argv, flags("--to", d.Backends)...), nil
	}
	text, err := peers.Render(t.config, d)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(d.Dir, strings.TrimSuffix(t.config, ".cfg")+extension(t.Name))
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return nil, fmt.Errorf("write configuration of %s: %w", t.Name, err)
	}
	argv := []string{t.program}
	replace := strings.NewReplacer("{config}", path, "{dir}", d.Dir)
	for _, a := range t.args {
		argv = append(argv, replace.Replace(a))
	}
	return argv, nil
}

func extension(target string) string {
	if target == "longsplice" {
		return ".toml"
	}
	return ".cfg"
}

func flags(name string, addrs []netip.AddrPort) []string {
	var argv []string
	for _, a := range addrs {
		argv = append(argv, name, a.String())
	}
	return argv
}
