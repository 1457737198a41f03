package tuning

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestApplyThenRevertLeavesNoTrace(t *testing.T) {
	for _, c := range []struct {
		name    string
		persist bool
		before  func(h *tree)
	}{
		{"until the next boot", false, func(*tree) {}},
		{"persistent", true, func(*tree) {}},
		{"where files of ours were there", true, func(h *tree) {
			h.put("etc/"+sysctlFile, "# by hand: caf\xe9\nnet.core.somaxconn = 1\n", 0o640)
			h.put("etc/"+fmt.Sprintf(dropInFile, "longsplice.service"), "", 0o600)
			if os.Geteuid() == 0 {
				_ = os.Chown(h.path("etc/"+sysctlFile), 7, 8)
			}
		}},
		{"where /etc is bare", true, func(h *tree) { os.RemoveAll(h.path("etc")); os.Mkdir(h.path("etc"), 0o750) }},
		{"where the folder of the state was there", true, func(h *tree) { h.put("var/lib/longsplice/hash.key", "x", 0o400) }},
		{"where all folders of the state are missing", true, func(h *tree) { os.RemoveAll(h.path("var")) }},
		{"where an address was there", false, func(h *tree) { h.put("links/eth0/10.0.0.11_32", "", 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTree(t)
			c.before(h)
			was := h.dump()
			h.apply(needs(), c.persist)
			if got := h.get(h.sysctl("net.ipv4.ip_local_port_range")); got != "10240\t65535\n" {
				t.Errorf("applied, the port range is %q", got)
			}
			if drift := h.drift(); len(drift) > 0 {
				t.Errorf("verify finds %v", drift)
			}
			for name, result := range h.revert() {
				if result != Restored {
					t.Errorf("%s: %s", name, result)
				}
			}
			h.expectDump(was)
		})
	}
}

func TestOnlyPersistWritesFiles(t *testing.T) {
	h := newTree(t)
	etc := func() map[string]string {
		all := h.dump()
		for name := range all {
			if !strings.HasPrefix(name, "etc") {
				delete(all, name)
			}
		}
		return all
	}
	was := etc()
	tn := h.tuner()
	p := mustPlan(t, tn, needs(), false)
	if len(p.Skipped) != 1 || !strings.HasSuffix(p.Skipped[0].Name, "50-longsplice-tune.conf") {
		t.Errorf("skipped without --persist: %+v", p.Skipped)
	}
	h.apply(needs(), false)
	if diff := cmp.Diff(was, etc()); diff != "" {
		t.Errorf("/etc has changed without --persist:\n%s", diff)
	}

	h.apply(nil, true) // now what was applied before is kept
	if got := h.get("etc/" + sysctlFile); !strings.Contains(got, "\n# ports\nnet.ipv4.ip_local_port_range = 10240 65535\n") {
		t.Errorf("%s is\n%s", sysctlFile, got)
	}
	if got := h.get("etc/" + modulesFile); !strings.HasSuffix(got, "\nnf_conntrack\n") {
		t.Errorf("%s is\n%s", modulesFile, got)
	}
	h.apply(needs(), true)
	if got := h.get("etc/" + fmt.Sprintf(dropInFile, "longsplice.service")); !strings.Contains(got, "\n[Service]\n# two for each session\nLimitNOFILE=2097152\n") {
		t.Errorf("the drop-in is\n%s", got)
	}
}

func TestApplyTwiceChangesNothing(t *testing.T) {
	for _, persist := range []bool{false, true} {
		h := newTree(t)
		tn := h.tuner()
		p := mustPlan(t, tn, needs(), persist)
		h.apply(needs(), persist)
		was := h.dump()
		if again := mustPlan(t, tn, needs(), persist); len(again.Changes) > 0 {
			t.Errorf("a second plan has %+v", again.Changes)
		}
		for _, plan := range []*Plan{p, mustPlan(t, tn, needs(), persist)} {
			if out, err := tn.Apply(context.Background(), plan); err != nil || len(out) > 0 {
				t.Errorf("a second apply did %v, %v", out, err)
			}
		}
		h.expectDump(was)
	}
}

func TestRevertBringsTheFirstValues(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	h.apply(needs(), true)
	more := needs()
	more[1].Wanted = "2048\t65535"
	more[7].Wanted = "4000000"
	h.apply(more, true)
	h.set("net.ipv4.tcp_mem", "1 2 3")
	h.apply(more, true) // over what somebody else has set
	if drift := h.drift(); len(drift) > 0 {
		t.Errorf("verify finds %v", drift)
	}
	h.revert()
	h.expectDump(was)
}

// A faulty place fails in one of several ways, and works again after that.
type faulty struct {
	place
	how   string
	fails *int // how often still
}

var errInjected = errors.New("injected")

func (f faulty) write(v *value) error {
	if *f.fails == 0 {
		return f.place.write(v)
	}
	*f.fails--
	switch f.how {
	case "after":
		return errors.Join(f.place.write(v), errInjected)
	case "clamped":
		if v == nil {
			return nil
		}
		other := *v
		other.Text = "7\n"
		return f.place.write(&other)
	}
	return errInjected
}

// breaks makes the places of one name fail that often.
func breaks(name, how string, times int) func(Kind, string, place) place {
	return func(_ Kind, n string, p place) place {
		if n != name {
			return p
		}
		return faulty{p, how, &times}
	}
}

// How a fault shows: nothing was written, all was written and an error returned, another value was written and none.
var faults = []string{"before", "after", "clamped"}

func TestAFailureUndoesWhatWasDone(t *testing.T) {
	for _, change := range mustPlan(t, newTree(t).tuner(), needs(), true).Changes {
		for _, how := range faults {
			for _, second := range []bool{false, true} {
				if how == "clamped" && change.Kind == Address {
					continue // it is there or not
				}
				t.Run(fmt.Sprintf("%s %s second=%v", shortName(change.Name), how, second), func(t *testing.T) {
					failAt(t, change, how, second)
				})
			}
		}
	}
}

func shortName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// failAt applies with a fault at one change; second: on a host to which half of the needs are applied already.
func failAt(t *testing.T, at Change, how string, second bool) {
	h := newTree(t)
	if second {
		h.apply(needs()[:2], false)
	}
	name := at.Name
	if at.Kind == File {
		name = strings.Replace(name, name[:strings.Index(name, "/etc/")], h.dir, 1)
	}
	was := h.dump()
	tn := h.tuner()
	p := mustPlan(t, tn, needs(), true)
	if second && (name == "fs.nr_open" || name == "net.ipv4.ip_local_port_range") {
		return // done before
	}
	tn.between = breaks(name, how, 1)
	var made, undone []string
	tn.Tell = func(o Outcome) {
		if o.Result == Changed {
			made = append([]string{o.Name}, made...)
		} else if o.Name != name {
			undone = append(undone, o.Name)
		}
	}
	_, err := tn.Apply(context.Background(), p)
	failure := new(ApplyError)
	if !errors.As(err, &failure) || failure.Name != name || len(failure.Stuck) > 0 {
		t.Fatalf("apply says %v", err)
	}
	if want := map[string]error{"clamped": ErrNotTaken}[how]; want != nil && !errors.Is(err, want) || want == nil && !errors.Is(err, errInjected) {
		t.Errorf("apply says %v", err)
	}
	if !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("the error does not begin with what failed: %v", err)
	}
	if diff := cmp.Diff(made, undone); diff != "" {
		t.Errorf("what was made, the last first, and what was undone:\n%s", diff)
	}
	h.expectDump(was)
	h.apply(needs(), true) // and the way is free
}

func TestWhatCannotBeUndoneIsNamed(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	tn := h.tuner()
	p := mustPlan(t, tn, needs(), true)
	stuck, fatal := "net.ipv4.tcp_mem", "net.netfilter.nf_conntrack_max"
	writes := 0
	tn.between = func(_ Kind, n string, pl place) place {
		switch n {
		case fatal:
			return faulty{pl, "before", new(1)}
		case stuck:
			return countdown{pl, &writes}
		}
		return pl
	}
	_, err := tn.Apply(context.Background(), p)
	failure := new(ApplyError)
	if !errors.As(err, &failure) || failure.Name != fatal || len(failure.Stuck) != 1 || failure.Stuck[0].Name != stuck {
		t.Fatalf("apply says %v", err)
	}
	if !strings.Contains(err.Error(), "not undone: "+stuck+" (injected)") {
		t.Errorf("apply says %v", err)
	}
	if got := h.get(h.sysctl("fs.nr_open")); got != "1048576\n" {
		t.Errorf("what could be undone was not: fs.nr_open is %q", got)
	}
	h.revert()
	h.expectDump(was)
}

// countdown writes once.
type countdown struct {
	place
	writes *int
}

func (c countdown) write(v *value) error {
	if *c.writes++; *c.writes > 1 {
		return errInjected
	}
	return c.place.write(v)
}

func TestInterruptedApplyIsUndone(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	tn := h.tuner()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	made := 0
	tn.Tell = func(o Outcome) {
		if o.Result == Changed {
			if made++; made == 3 {
				cancel()
			}
		}
	}
	if _, err := tn.Apply(ctx, mustPlan(t, tn, needs(), true)); !errors.Is(err, context.Canceled) || made != 3 {
		t.Errorf("after %d changes: %v", made, err)
	}
	h.expectDump(was)
}

func TestAStateThatCannotBeWrittenChangesNothing(t *testing.T) {
	h := newTree(t)
	h.put("var/lib/longsplice", "a file where the folder should be", 0o600)
	was := h.dump()
	tn := h.tuner()
	tn.Tell = func(o Outcome) { t.Errorf("changed %s", o.Name) }
	if _, err := tn.Plan(needs(), true); err == nil {
		t.Error("it can be planned for")
	}
	p := mustPlan(t, newTree(t).tuner(), needs()[:5], false)
	if _, err := tn.Apply(context.Background(), p); err == nil {
		t.Error("it was applied")
	}
	h.expectDump(was)
}

func TestADuplicateAddressFails(t *testing.T) {
	h := newTree(t)
	was := h.dump()
	tn := h.tuner()
	tn.Tell = func(o Outcome) {
		if strings.HasPrefix(o.Name, "fd00::11") && o.Result == Changed {
			h.put("links/eth0/fd00::11_128", "duplicate", 0o600)
		}
	}
	_, err := tn.Apply(context.Background(), mustPlan(t, tn, needs(), true))
	failure := new(ApplyError)
	if !errors.As(err, &failure) || failure.Name != "fd00::11/128 dev eth0" {
		t.Errorf("apply says %v", err)
	}
	h.expectDump(was)
}

func TestPlansThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name string
		need Need
		want string
	}{
		{"a setting that is not there", Need{Kind: Sysctl, Name: "net.ipv4.nonsense", Wanted: "1"}, "no such setting"},
		{"a path that leads out", Need{Kind: Sysctl, Name: "net/../../../etc/sysctl.d/99-sysctl.conf", Wanted: "1"}, "is no sysctl"},
		{"no interface", Need{Kind: Address, Name: "10.0.0.11/32 dev eth7", Wanted: Present}, "there is no interface eth7"},
		{"no address", Need{Kind: Address, Name: "10.0.0/32 dev eth0", Wanted: Present}, "10.0.0/32"},
		{"half a name", Need{Kind: Address, Name: "10.0.0.11/32", Wanted: Present}, "is not ADDRESS/BITS dev INTERFACE"},
		{"a unit that leads out", Need{Kind: Unit, Name: "../../x/y LimitNOFILE", Wanted: "1"}, "is no file of longsplice tune"},
		{"a kind unknown", Need{Kind: "bios", Name: "x", Wanted: "1"}, `no kind "bios"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newTree(t)
			was := h.dump()
			if _, err := h.tuner().Plan([]Need{c.need}, true); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("plan says %v, want %q", err, c.want)
			}
			h.expectDump(was)
		})
	}
}

func TestOneAtATime(t *testing.T) {
	h := newTree(t)
	first, second := h.tuner(), h.tuner()
	p := mustPlan(t, first, needs(), true)
	asked := 0
	first.Tell = func(Outcome) {
		asked++
		if _, err := second.Apply(context.Background(), p); !errors.Is(err, ErrBusy) {
			t.Errorf("apply in apply says %v", err)
		}
		if _, err := second.Revert(); !errors.Is(err, ErrBusy) {
			t.Errorf("revert in apply says %v", err)
		}
	}
	if _, err := first.Apply(context.Background(), p); err != nil || asked != len(p.Changes) {
		t.Errorf("%d of %d changes, %v", asked, len(p.Changes), err)
	}
}
