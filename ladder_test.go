package longsplice_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/longsplice/longsplice/"

// A rung is one place of the tree with the places it may import. Arrows point to rungs above it in the table only, so that
// reading downwards one meets nothing unknown. A rung holds for the packages below its folder too.
type rung struct {
	place   string
	ours    string // places of this module, space-separated
	modules string // import path prefixes of other modules, space-separated
}

var ladder = []rung{
	{"pkg/flow", "", "github.com/dchest/siphash"},
	{"pkg/maglev", "", ""},
	{"pkg/timer", "", ""},
	{"pkg/stats", "", ""},
	{"pkg/config", "", "github.com/BurntSushi/toml github.com/pelletier/go-toml/v2"},
	{"pkg/sys", "", "golang.org/x/sys"},
	{"pkg/simkernel", "pkg/sys", "golang.org/x/sys"},
	{"pkg/testkit", "pkg/sys", "golang.org/x/sys github.com/coder/websocket"},
	{"pkg/relay", "pkg/sys pkg/stats", ""},
	{"pkg/ports", "pkg/sys", ""},
	{"pkg/backend", "pkg/flow pkg/maglev pkg/ports pkg/sys", ""},
	{"pkg/resolve", "pkg/backend pkg/config", ""},
	{"pkg/health", "pkg/backend pkg/config pkg/sys", ""},
	{"pkg/accesslog", "pkg/stats pkg/sys", ""},
	{"pkg/worker", "pkg/sys pkg/relay pkg/ports pkg/backend pkg/flow pkg/timer pkg/stats pkg/accesslog", ""},
	{"bpf", "", "github.com/cilium/ebpf"},
	{
		"pkg/balancer",
		"pkg/flow pkg/maglev pkg/timer pkg/stats pkg/config pkg/sys pkg/relay pkg/ports pkg/backend pkg/resolve pkg/health pkg/accesslog pkg/worker bpf",
		"github.com/rs/zerolog golang.org/x/sys",
	},
	{"pkg/admin", "pkg/balancer pkg/config pkg/stats", "github.com/prometheus github.com/rs/zerolog golang.org/x/sys"},
	{"pkg/demo", "pkg/balancer pkg/config", "github.com/coder/websocket github.com/rs/zerolog"},
	{"pkg/interop", "", ""},                          // tests only
	{"pkg/matrix", "", "github.com/BurntSushi/toml"}, // tests only
	{"tuning", "pkg/config", "golang.org/x/sys github.com/vishvananda/netlink"},
	{
		"benchmarks", "pkg/sys pkg/timer pkg/stats pkg/testkit",
		"golang.org/x/sys github.com/HdrHistogram/hdrhistogram-go github.com/gobwas/ws github.com/schollz/progressbar/v3 github.com/pelletier/go-toml/v2 github.com/cilium/ebpf github.com/vishvananda/netlink",
	},
	{"cmd/longsplice-bench", "benchmarks", "github.com/urfave/cli/v2"},
	{
		"cmd/longsplice",
		"pkg/flow pkg/maglev pkg/timer pkg/stats pkg/config pkg/sys pkg/relay pkg/ports pkg/backend pkg/resolve pkg/health pkg/accesslog pkg/worker pkg/balancer pkg/admin pkg/demo tuning bpf",
		"github.com/urfave/cli/v2 github.com/rs/zerolog golang.org/x/sys",
	},
}

// testModules may be imported by any test, beside everything in this module and what the package itself may import.
const testModules = "github.com/google/go-cmp github.com/coder/websocket golang.org/x/sys"

// A ban keeps packages of the standard library out of places where they would allocate, lock or reach around pkg/sys.
type ban struct{ places, packages string }

var bans = []ban{
	{"pkg/flow pkg/maglev pkg/timer pkg/stats pkg/relay pkg/ports pkg/backend pkg/worker", "unsafe syscall os/exec C"},
	{"pkg/flow pkg/timer pkg/relay pkg/worker", "fmt net log log/slog reflect"}, // pkg/sys opens listeners, pkg/maglev builds tables: cold
}

// listed is the part of `go list -json` that the ladder looks at.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (p listed) path() string { return strings.TrimPrefix(p.ImportPath, module) }

func TestLadder(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			for _, p := range listPackages(t, arch) {
				for _, fault := range faultsOf(p) {
					t.Error(fault)
				}
			}
		})
	}
}

func TestLadderArrowsPointUpTheTable(t *testing.T) {
	known := map[string]bool{}
	for _, r := range ladder {
		for _, place := range strings.Fields(r.ours) {
			if !known[place] {
				t.Errorf("%s may import %s, which the table does not list above it", r.place, place)
			}
		}
		known[r.place] = true
	}
}

func TestLadderFindsFaults(t *testing.T) {
	cases := []struct {
		name string
		p    listed
		want int
	}{
		{"what the table allows", listed{ImportPath: module + "pkg/relay", Imports: []string{"errors", module + "pkg/sys"}}, 0},
		{"an arrow upwards", listed{ImportPath: module + "pkg/relay", Imports: []string{module + "pkg/worker"}}, 1},
		{"a module not listed", listed{ImportPath: module + "pkg/flow", Imports: []string{"golang.org/x/sys/unix"}}, 1},
		{"a banned standard package", listed{ImportPath: module + "pkg/worker", Imports: []string{"fmt", "unsafe"}}, 2},
		{"net/netip is not net", listed{ImportPath: module + "pkg/worker", Imports: []string{"net/netip"}}, 0},
		{"a place not in the table", listed{ImportPath: module + "pkg/util"}, 1},
		{"testkit outside tests", listed{ImportPath: module + "pkg/balancer", Imports: []string{module + "pkg/testkit"}}, 1},
		{"testkit in a test", listed{ImportPath: module + "pkg/flow", XTestImports: []string{module + "pkg/testkit"}}, 0},
		{"a stray module in a test", listed{ImportPath: module + "pkg/flow", TestImports: []string{"github.com/stretchr/testify"}}, 1},
		{"a folder below a place", listed{ImportPath: module + "benchmarks/load", Imports: []string{module + "benchmarks/report"}}, 0},
		{"a name that only begins alike", listed{ImportPath: module + "pkg/flowers"}, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := faultsOf(c.p); len(got) != c.want {
				t.Errorf("got %d faults %q, want %d", len(got), got, c.want)
			}
		})
	}
}

// faultsOf returns one line for each import of p that the table does not allow.
func faultsOf(p listed) []string {
	if p.ImportPath+"/" == module {
		return nil // the root holds this test and no code
	}
	i := slices.IndexFunc(ladder, func(r rung) bool { return within(p.path(), r.place) })
	if i < 0 {
		return []string{p.path() + ": not in the ladder: give it a rung"}
	}
	r := ladder[i]
	var faults []string
	for _, imp := range p.Imports {
		if !r.allows(imp) {
			faults = append(faults, p.path()+" imports "+imp+": the ladder does not allow it")
		}
		if banned(p.path(), imp) {
			faults = append(faults, p.path()+" imports "+imp+": banned there")
		}
	}
	for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
		if !strings.HasPrefix(imp, module) && !r.allows(imp) && !withinAny(imp, testModules) {
			faults = append(faults, p.path()+" imports "+imp+" in a test: the ladder does not allow it")
		}
	}
	return faults
}

// allows says whether non-test files of r may import path: the standard library, r itself, and what its row names.
func (r rung) allows(path string) bool {
	if local, ours := strings.CutPrefix(path, module); ours {
		return within(local, r.place) || withinAny(local, r.ours)
	}
	host, _, _ := strings.Cut(path, "/")
	return !strings.Contains(host, ".") || withinAny(path, r.modules)
}

func banned(place, path string) bool {
	return slices.ContainsFunc(bans, func(b ban) bool {
		return withinAny(place, b.places) && slices.Contains(strings.Fields(b.packages), path)
	})
}

func within(path, place string) bool { return path == place || strings.HasPrefix(path, place+"/") }

func withinAny(path, places string) bool {
	return slices.ContainsFunc(strings.Fields(places), func(place string) bool { return within(path, place) })
}

func listPackages(t *testing.T, arch string) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0", "GOARCH="+arch)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v", err)
	}
	var packages []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages = append(packages, p)
	}
}
