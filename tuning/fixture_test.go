package tuning

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A tree is a host as files below one folder. Its interfaces are folders too, below "links": each address is a file, so
// that they outlive a process that is killed.
type tree struct {
	t   *testing.T
	dir string
}

// newTree is a small host that was never tuned.
func newTree(t *testing.T) *tree {
	h := &tree{t, filepath.Join(memoryDir(t), "host")}
	for name, text := range map[string]string{
		"net.ipv4.ip_local_port_range":       "32768\t60999\n",
		"net.ipv4.ip_local_reserved_ports":   "\n",
		"net.ipv4.tcp_mem":                   "94176\t125571\t188352\n",
		"net.core.somaxconn":                 "4096\n",
		"fs.nr_open":                         "1048576\n",
		"net.netfilter.nf_conntrack_max":     "65536\n",
		"net.netfilter.nf_conntrack_buckets": "16384\n",
		"kernel.random.boot_id":              "first\n",
	} {
		h.put(h.sysctl(name), text, 0o644)
	}
	h.put("etc/sysctl.d/99-sysctl.conf", "# empty\n", 0o644)
	h.put("links/eth0/10.0.0.10_24", "", 0o600)
	if err := os.MkdirAll(h.path("var/lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

// memoryDir is a folder in memory where there is such a place: every change waits for the disk otherwise.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "longsplice-tune-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (h *tree) path(rel string) string { return filepath.Join(h.dir, rel) }

func (h *tree) sysctl(name string) string {
	return filepath.Join("proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// put writes a file of the host and the folders above it.
func (h *tree) put(rel, text string, mode fs.FileMode) {
	h.t.Helper()
	path := h.path(rel)
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode))
	if err != nil {
		h.t.Fatal(err)
	}
}

// set changes a sysctl as another program would.
func (h *tree) set(name, text string) { h.put(h.sysctl(name), text+"\n", 0o644) }

func (h *tree) get(rel string) string {
	h.t.Helper()
	text, err := os.ReadFile(h.path(rel))
	if err != nil {
		h.t.Fatal(err)
	}
	return string(text)
}

// dump is everything below the tree, by path: content, mode and owner.
func (h *tree) dump() map[string]string {
	h.t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		owner := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%v %d:%d", info.Mode(), owner.Uid, owner.Gid)
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %q", text)
		}
		rel, _ := filepath.Rel(h.dir, path)
		all[rel] = line
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// expectDump fails the test unless the tree is as it was.
func (h *tree) expectDump(was map[string]string) {
	h.t.Helper()
	if diff := cmp.Diff(was, h.dump()); diff != "" {
		h.t.Errorf("the host is not as it was (-was +is):\n%s", diff)
	}
}

func (h *tree) tuner() *Tuner {
	return &Tuner{Roots: Under(h.dir), Links: folderLinks(h.path("links"))}
}

// folderLinks are interfaces as folders.
type folderLinks string

func (l folderLinks) file(link string, a netip.Prefix) string {
	return filepath.Join(string(l), link, strings.ReplaceAll(a.String(), "/", "_"))
}

func (l folderLinks) Look(link string, a netip.Prefix) (AddressState, error) {
	if _, err := os.Stat(filepath.Join(string(l), link)); err != nil {
		return AddressAbsent, fmt.Errorf("there is no interface %s: %w", link, fs.ErrNotExist)
	}
	text, err := os.ReadFile(l.file(link, a))
	switch {
	case err != nil:
		return AddressAbsent, nil
	case string(text) == "duplicate":
		return AddressDuplicate, nil
	}
	return AddressPresent, nil
}

func (l folderLinks) Add(link string, a netip.Prefix) error {
	return os.WriteFile(l.file(link, a), nil, 0o600)
}

func (l folderLinks) Remove(link string, a netip.Prefix) error {
	if err := os.Remove(l.file(link, a)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// needs of every kind: what doctor finds for a large goal.
func needs() []Need {
	return []Need{
		{Kind: Sysctl, Name: "fs.nr_open", Wanted: "2097152", Why: "a limit above it is cut"},
		{Kind: Sysctl, Name: "net.ipv4.ip_local_port_range", Wanted: "10240\t65535", Why: "ports"},
		{Kind: Sysctl, Name: "net.ipv4.ip_local_reserved_ports", Wanted: "18080,20000-20010", Why: "listeners in it"},
		{Kind: Sysctl, Name: "net.ipv4.tcp_mem", Wanted: "200000\t300000\t400000", Why: "memory"},
		{Kind: Sysctl, Name: "net.netfilter.nf_conntrack_max", Wanted: "1048576", Why: "tracked"},
		{Kind: Address, Name: "10.0.0.11/32 dev eth0", Wanted: Present, Why: "more ports"},
		{Kind: Address, Name: "fd00::11/128 dev eth0", Wanted: Present, Why: "more ports"},
		{Kind: Unit, Name: "longsplice.service LimitNOFILE", Wanted: "2097152", Why: "two for each session"},
	}
}

func mustPlan(t *testing.T, tn *Tuner, needs []Need, persist bool) *Plan {
	t.Helper()
	p, err := tn.Plan(needs, persist)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// apply plans and applies; it fails the test if that fails.
func (h *tree) apply(needs []Need, persist bool) []Outcome {
	h.t.Helper()
	tn := h.tuner()
	out, err := tn.Apply(context.Background(), mustPlan(h.t, tn, needs, persist))
	if err != nil {
		h.t.Fatal(err)
	}
	return out
}

// revert returns what Revert says of each name.
func (h *tree) revert() map[string]Result {
	h.t.Helper()
	out, err := h.tuner().Revert()
	if err != nil {
		h.t.Fatal(err)
	}
	results := map[string]Result{}
	for _, o := range out {
		results[strings.TrimPrefix(o.Name, h.dir)] = o.Result
	}
	return results
}

// drift returns what Verify says of each name.
func (h *tree) drift() map[string]string {
	h.t.Helper()
	out, _, err := h.tuner().Verify()
	if err != nil {
		h.t.Fatal(err)
	}
	reasons := map[string]string{}
	for _, o := range out {
		reasons[strings.TrimPrefix(o.Name, h.dir)] = o.Why
	}
	return reasons
}
