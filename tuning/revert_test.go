package tuning

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// boot forgets what is not on a disk. Settings computed from the size of memory come out a little different.
func (h *tree) boot() {
	fresh := newTree(h.t)
	for _, dir := range []string{"proc", "links"} {
		os.RemoveAll(h.path(dir))
		if err := os.Rename(fresh.path(dir), h.path(dir)); err != nil {
			h.t.Fatal(err)
		}
	}
	h.set("kernel.random.boot_id", "second")
	h.set("net.ipv4.tcp_mem", "94000\t125000\t188000")
}

func TestRevertAfterABoot(t *testing.T) {
	for _, c := range []struct {
		name  string
		again func(h *tree) // what happens between boot and revert
	}{
		{"alone", func(*tree) {}},
		{"and files that set all again", func(h *tree) {
			h.set("net.ipv4.ip_local_port_range", "10240\t65535")
			h.set("fs.nr_open", "2097152")
		}},
		{"and another apply", func(h *tree) { h.apply(needs(), true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTree(t)
			etc := h.dump()
			h.apply(needs(), true)
			h.boot()
			if why := h.drift()["net.ipv4.tcp_mem"]; why != "the host was booted since" {
				t.Errorf("verify says of tcp_mem: %q", why)
			}
			c.again(h)
			for name, result := range h.revert() {
				if result != Restored && result != Already {
					t.Errorf("%s: %s", name, result)
				}
			}
			h.set("kernel.random.boot_id", "first") // this much is allowed to differ
			h.set("net.ipv4.tcp_mem", "94176\t125571\t188352")
			h.expectDump(etc)
		})
	}
}

func TestWhatSomebodyElseChangedIsLeft(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	h.apply(needs(), true)
	h.set("net.ipv4.ip_local_port_range", "5000\t6000")
	conf := "etc/" + sysctlFile
	h.put(conf, "net.core.somaxconn = 9\n", 0o644)
	wantDrift := map[string]string{"net.ipv4.ip_local_port_range": "somebody has changed it", "/" + conf: "somebody has edited it"}
	if diff := cmp.Diff(wantDrift, h.drift()); diff != "" {
		t.Errorf("verify:\n%s", diff)
	}
	for range 3 { // it says the same each time
		results := h.revert()
		if results["net.ipv4.ip_local_port_range"] != Left || results["/"+conf] != Left {
			t.Errorf("revert: %v", results)
		}
		if got := h.get(h.sysctl("net.ipv4.ip_local_port_range")) + h.get(conf); got != "5000\t6000\nnet.core.somaxconn = 9\n" {
			t.Errorf("they are %q", got)
		}
		if got := h.get(h.sysctl("fs.nr_open")); got != "1048576\n" {
			t.Errorf("the others are not put back: %q", got)
		}
	}
	out, err := h.tuner().Revert()
	if err != nil || len(out) != 2 || out[0].Kind != File {
		t.Errorf("what is left is not the last first: %v, %v", out, err)
	}
	h.set("net.ipv4.ip_local_port_range", "32768\t60999") // put right by hand
	os.Remove(h.path(conf))
	if left := h.revert(); len(left) != 2 {
		t.Errorf("what was put back is not forgotten: %v", left)
	}
	h.expectDump(was)
}

func TestRevertTriesAgain(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	h.apply(needs(), true)
	tn := h.tuner()
	tn.between = breaks("net.ipv4.tcp_mem", "before", 1)
	out, err := tn.Revert()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range out {
		if want := map[bool]Result{true: Failed, false: Restored}[o.Name == "net.ipv4.tcp_mem"]; o.Result != want {
			t.Errorf("%s: %s (%s)", o.Name, o.Result, o.Why)
		}
	}
	h.revert()
	h.expectDump(was)
}

func TestRevertGoesBackwards(t *testing.T) {
	h := newTree(t)
	var there []string
	for _, o := range h.apply(needs(), true) {
		there = append([]string{o.Name}, there...)
	}
	out, err := h.tuner().Revert()
	if err != nil {
		t.Fatal(err)
	}
	var back []string
	for _, o := range out {
		back = append(back, o.Name)
	}
	if diff := cmp.Diff(there, back); diff != "" {
		t.Errorf("apply backwards, revert:\n%s", diff)
	}
}

func TestPlacesThatWentAway(t *testing.T) {
	h := newTree(t)
	h.apply(needs(), false)
	os.RemoveAll(h.path("proc/sys/net/netfilter")) // its module was unloaded
	os.RemoveAll(h.path("links/eth0"))
	drift := h.drift()
	for _, name := range []string{"net.netfilter.nf_conntrack_max", "10.0.0.11/32 dev eth0"} {
		if drift[name] != "it is not there any more" {
			t.Errorf("verify says of %s: %q", name, drift[name])
		}
	}
	results := h.revert()
	for _, name := range []string{"net.netfilter.nf_conntrack_max", "10.0.0.11/32 dev eth0"} {
		if results[name] != Already {
			t.Errorf("revert says of %s: %q", name, results[name])
		}
	}
}

func TestWithoutAnApplyThereIsNothing(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	if out := h.revert(); len(out) > 0 {
		t.Errorf("revert did %v", out)
	}
	if drift, n, err := h.tuner().Verify(); len(drift) > 0 || n > 0 || err != nil {
		t.Errorf("verify says %v, %d, %v", drift, n, err)
	}
	h.apply(nil, true)
	h.expectDump(was)
}

// What a state file says root does: it must be nobody else's, and name nothing that tune does not write.
func TestAStateFileThatIsNotToBeTrusted(t *testing.T) {
	const path = "var/lib/longsplice/tune.json"
	edit := func(change func(r map[string]any)) func(h *tree) {
		return func(h *tree) {
			var r map[string]any
			if err := json.Unmarshal([]byte(h.get(path)), &r); err != nil {
				h.t.Fatal(err)
			}
			change(r)
			text, _ := json.Marshal(r)
			h.put(path, string(text), 0o600)
		}
	}
	first := func(key string, v any) func(h *tree) {
		return edit(func(r map[string]any) { r["steps"].([]any)[0].(map[string]any)[key] = v })
	}
	for _, c := range []struct {
		name   string
		spoil  func(h *tree)
		refuse string // "": it is read, and the one step fails
	}{
		{"others may write it", func(h *tree) { os.Chmod(h.path(path), 0o622) }, "nobody else may write"},
		{"it is another's", func(h *tree) { os.Chown(h.path(path), 12345, 0) }, "nobody else may write"},
		{"it is a link", func(h *tree) { os.Rename(h.path(path), h.path("x")); os.Symlink(h.path("x"), h.path(path)) }, "too many levels of symbolic links"},
		{"of a later program", edit(func(r map[string]any) { r["version"] = 2 }), "version 2"},
		{"cut short", func(h *tree) { h.put(path, h.get(path)[:50], 0o600) }, "unexpected end of JSON"},
		{"a step without values", first("wrote", []any{}), "lacks what was written"},
		{"a sysctl that leads out", first("name", "/../../etc/sysctl.d/99-sysctl.conf"), ""},
		{"a file of others", func(h *tree) {
			first("name", h.path("etc/sysctl.d/99-sysctl.conf"))(h)
			first("kind", "file")(h)
		}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTree(t)
			h.apply(needs()[:1], false)
			if c.name == "it is another's" {
				testkit.Privileged(t, "root")
			}
			c.spoil(h)
			was := h.dump()
			out, err := h.tuner().Revert()
			if c.refuse == "" {
				if err != nil || len(out) != 1 || out[0].Result != Failed {
					t.Errorf("revert says %v, %v", out, err)
				}
			} else if err == nil || !strings.Contains(err.Error(), c.refuse) {
				t.Errorf("revert says %v, want %q", err, c.refuse)
			}
			rel := filepath.Join("etc/sysctl.d", "99-sysctl.conf")
			if now := h.dump(); now[rel] != was[rel] || now[h.sysctl("fs.nr_open")] != was[h.sysctl("fs.nr_open")] {
				t.Error("something was written")
			}
		})
	}
}
