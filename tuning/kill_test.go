package tuning

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// A process that applies, for a test that kills it: the test binary with these in its environment.
const (
	childTree = "LONGSPLICE_TUNE_TREE" // the host to change
	childStop = "LONGSPLICE_TUNE_STOP" // the moment at which it says so and waits; 0: it goes on to the end
)

// TestChildApplies is that process; by itself it does nothing.
func TestChildApplies(t *testing.T) {
	dir := os.Getenv(childTree)
	if dir == "" {
		return
	}
	h := &tree{t, dir}
	stop, _ := strconv.Atoi(os.Getenv(childStop))
	moment := 0
	pass := func() {
		if moment++; moment == stop {
			fmt.Println("here")
			io.Copy(io.Discard, os.Stdin) // until it is killed
		}
	}
	tn := h.tuner()
	tn.between = func(k Kind, name string, p place) place {
		if s, is := p.(sysctl); is {
			p = inOneStep{s, h.dir + ".next"}
		}
		return stopping{p, k, name, pass}
	}
	p := mustPlan(t, tn, needs(), true)
	fmt.Println("begin")
	if _, err := tn.Apply(context.Background(), p); err != nil {
		t.Fatal(err)
	}
}

// inOneStep writes a file as the kernel takes a sysctl: wholly or not at all.
type inOneStep struct {
	sysctl
	next string // where the next content waits
}

func (s inOneStep) write(v *value) error {
	return errors.Join(os.WriteFile(s.next, []byte(v.Text), 0o644), os.Rename(s.next, string(s.sysctl)))
}

// stopping passes three moments at each write.
type stopping struct {
	place
	kind Kind
	name string
	pass func()
}

func (s stopping) write(v *value) error {
	s.pass()
	if s.kind == File { // the content is there, the name is not
		os.MkdirAll(filepath.Dir(s.name), 0o755)
		os.WriteFile(beside(s.name), []byte(v.Text[:len(v.Text)/2]), 0o600)
	}
	s.pass()
	err := s.place.write(v)
	s.pass()
	return err
}

// child starts a process that applies to h. It has begun when child returns.
func (h *tree) child(stop int) (cmd *exec.Cmd, says *bufio.Scanner) {
	h.t.Helper()
	cmd = exec.Command(os.Args[0], "-test.run", "^TestChildApplies$")
	cmd.Env = append(os.Environ(), childTree+"="+h.dir, childStop+"="+strconv.Itoa(stop))
	if _, err := cmd.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	says = bufio.NewScanner(out)
	if !says.Scan() || says.Text() != "begin" {
		h.t.Fatalf("the child says %q, %v", says.Text(), cmd.Wait())
	}
	return cmd, says
}

// moments is how many a whole apply passes.
func moments(t *testing.T) int {
	return 3 * len(mustPlan(t, newTree(t).tuner(), needs(), true).Changes)
}

func TestKilledAtEachMomentAndReverted(t *testing.T) {
	for stop := 1; stop <= moments(t); stop++ {
		h := newTree(t)
		was := h.dump()
		cmd, says := h.child(stop)
		if !says.Scan() || says.Text() != "here" {
			t.Fatalf("moment %d: the child says %q", stop, says.Text())
		}
		if _, err := h.tuner().Revert(); err == nil {
			t.Errorf("moment %d: a revert is not kept out", stop)
		}
		cmd.Process.Kill()
		cmd.Wait()
		h.recover(stop%2 == 0)
		h.expectDump(was)
		if t.Failed() {
			t.Fatalf("at moment %d", stop)
		}
	}
}

// recover reverts what a killed child has left; applied again before, if again says so.
func (h *tree) recover(again bool) {
	h.t.Helper()
	if again {
		h.apply(needs(), true)
	}
	for name, result := range h.revert() {
		if result != Restored && result != Already {
			h.t.Errorf("%s: %s", name, result)
		}
	}
}

func TestKilledAnywhereAndReverted(t *testing.T) {
	whole := newTree(t)
	cmd, _ := whole.child(0)
	began := time.Now()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("an apply takes %v, seed %d", took, seed)
	stages := map[string]int{}
	for round := range 15 {
		h := newTree(t)
		was := h.dump()
		cmd, _ := h.child(0)
		time.Sleep(time.Duration(rng.Int64N(int64(took))))
		cmd.Process.Kill()
		cmd.Wait()
		stage := h.stage()
		stages[stage]++
		h.recover(round%2 == 0)
		if stage == tooEarly { // nobody knows any more whose its folder is: it stays, with nothing in it
			_ = os.Remove(h.path("var/lib/longsplice"))
		}
		h.expectDump(was)
		if t.Failed() {
			t.Fatalf("in round %d of seed %d", round, seed)
		}
	}
	t.Logf("killed %v", stages)
}

const tooEarly = "before the state file was there"

// stage tells how far an apply came.
func (h *tree) stage() string {
	switch _, err := os.Stat(h.path("var/lib/longsplice/tune.json")); {
	case err != nil:
		return tooEarly
	case len(h.drift()) > 0:
		return "in the middle"
	}
	return "when all was done"
}

func TestWhatAKilledWriteOfTheStateLeaves(t *testing.T) {
	for _, text := range []string{"", "{\"version\": 1, \"fol"} {
		h := newTree(t)
		os.Mkdir(h.path("var/lib/longsplice"), 0o700)
		was := h.dump()
		h.put("var/lib/longsplice/.tune.json.new", text, 0o600)
		h.recover(false)
		h.expectDump(was)
	}
	h := newTree(t)
	was := h.dump()
	h.apply(needs(), true)
	state := h.get("var/lib/longsplice/tune.json")
	h.revert()
	for _, again := range []bool{false, true} {
		h.put("var/lib/longsplice/.tune.json.new", state, 0o600) // whole, and without its name yet
		h.recover(again)
		h.expectDump(was)
	}
}
