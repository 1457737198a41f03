package matrix

import (
	"fmt"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// The close matrix: every way in which a connection ends, by either peer, before, during and after data.
const (
	byFIN       = "FIN"
	byRST       = "RST"
	byHalfClose = "half-close"
	byUnread    = "close with unread data"
	byVanishing = "vanishing"

	beforeData = "before data"
	duringData = "during data"
	afterData  = "after data"
)

var (
	sides  = []string{"client", "backend"}
	phases = []string{beforeData, duringData, afterData}
)

// manyBytes is enough that every mode has come to what it does with much, and that much of it is on its way when the sender is done.
const manyBytes = 2 << 20

// endless is more than all buffers between two peers hold: it cannot be sent to one who does not read.
const endless = 1 << 30

// cell is one square of the matrix.
type cell struct {
	how  string
	side string // who ends
	when string
	ipv6 bool
}

// cells are all squares for these ways of ending.
func cells(hows ...string) (all []cell) {
	for _, how := range hows {
		for _, side := range sides {
			for _, when := range phases {
				all = append(all, cell{how, side, when, false}, cell{how, side, when, true})
			}
		}
	}
	return all
}

func (c cell) String() string {
	return fmt.Sprintf("%s by the %s %s over IPv%c", c.how, c.side, c.when, map[bool]rune{false: '4', true: '6'}[c.ipv6])
}

// script is what the peers of the cell do.
func (c cell) script(seed int) testkit.Script {
	s := testkit.Script{Name: c.String(), Seed: uint64(seed), IPv6: c.ipv6}
	s.Client, s.Server = c.steps()
	if c.side == "backend" {
		s.Client, s.Server = s.Server, s.Client
	}
	if c.how == byVanishing {
		s.GiveUp = 3 * time.Second // so that the direct run ends too
	}
	return s
}

type steps = []testkit.Step

// steps are what the peer that ends and the other one do.
func (c cell) steps() (ends, other steps) {
	switch c.when {
	case duringData:
		return c.busySteps()
	case afterData:
		ends, other = muchThenLittle()
	}
	quietly, meanwhile := c.quietSteps()
	return append(ends, quietly...), append(other, meanwhile...)
}

// muchThenLittle passes much both ways and then little, all of which has arrived when it is over. The other peer waits a little
// before it reads, so that there is much to be read at once.
func muchThenLittle() (ends, other steps) {
	ends = steps{testkit.Send(manyBytes), testkit.Read(manyBytes), testkit.SendIn(3000, 100), testkit.Read(3000), testkit.Meet()}
	other = steps{testkit.AwaitQueued(1), testkit.Read(manyBytes), testkit.Send(manyBytes), testkit.Read(3000), testkit.SendIn(3000, 100), testkit.Meet()}
	return ends, other
}

// quietSteps end a connection on which nothing is on its way.
func (c cell) quietSteps() (ends, other steps) {
	other = steps{testkit.ReadToEnd(), testkit.Close()}
	switch c.how {
	case byFIN:
		ends = steps{testkit.Close()}
	case byRST:
		ends = steps{testkit.ResetFlushed()}
	case byHalfClose:
		ends = steps{testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close()}
		other = steps{testkit.ReadToEnd(), testkit.Send(1000), testkit.Close()}
	case byUnread:
		ends = steps{testkit.AwaitQueued(1), testkit.Close()}
		other = steps{testkit.Send(1000), testkit.ReadToEnd(), testkit.Close()}
	case byVanishing:
		ends = steps{testkit.Vanish()}
	}
	return ends, other
}

// busySteps end a connection with much on its way: towards the other peer, and where an end by RST allows it, both ways.
func (c cell) busySteps() (ends, other steps) {
	ends = steps{testkit.Send(manyBytes)}
	other = steps{testkit.StartReading(), testkit.Send(endless), testkit.ReadToEnd(), testkit.Close()}
	switch c.how {
	case byFIN:
		return append(ends, testkit.Close()), steps{testkit.AwaitQueued(1), testkit.ReadToEnd(), testkit.Close()}
	case byRST:
		return append(steps{testkit.StartReading()}, append(ends, testkit.Reset())...), other
	case byHalfClose:
		ends = steps{testkit.StartReading(), testkit.Send(manyBytes), testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close()}
		return ends, steps{testkit.StartReading(), testkit.Send(2 * manyBytes), testkit.ReadToEnd(), testkit.Send(manyBytes), testkit.Close()}
	case byUnread:
		return append(ends, testkit.AwaitQueued(1), testkit.Close()), other
	}
	return append(ends, testkit.Vanish()), other
}

// reason is the end reason that the program has to give, from what the two peers saw.
func (c cell) reason(o testkit.Outcome) string {
	ends, other := o.Client, o.Server
	if c.side == "backend" {
		ends, other = other, ends
	}
	switch {
	case other.End == testkit.EndFIN:
		return c.side + "_fin"
	case c.how != byVanishing:
		return c.side + "_reset"
	case other.Sent > ends.Received:
		return "stall_timeout"
	}
	return c.side + "_gone"
}

// TestCloseMatrix is T5 without the silent ends: what the peers see through the program is what they see over a direct
// connection, and the program counts each end as what it was.
func TestCloseMatrix(t *testing.T) {
	all := cells(byFIN, byRST, byHalfClose, byUnread)
	direct := playDirect(t, nil, all)
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			c := layCourse(t, nil, scriptsOf(all), relayIn(mode))
			judge(t, c, mode, all, direct)
		})
	}
}

func relayIn(mode string) string {
	return fmt.Sprintf("[relay]\nmode = %q\nbuffer_bytes = \"16KiB\"", mode)
}

func scriptsOf(all []cell) (scripts []testkit.Script) {
	for i, c := range all {
		scripts = append(scripts, c.script(i))
	}
	return scripts
}

// playDirect plays all cells over direct connections.
func playDirect(t *testing.T, h *testkit.Host, all []cell) []testkit.Outcome {
	t.Helper()
	var lanes []testkit.Lane
	for _, c := range all {
		lanes = append(lanes, testkit.DirectLane(t, h, c.ipv6))
	}
	outcomes := testkit.RunAll(t, lanes, scriptsOf(all))
	if t.Failed() {
		t.FailNow()
	}
	return outcomes
}

// judge plays all cells through the program and compares.
func judge(t *testing.T, c *course, mode string, all []cell, direct []testkit.Outcome) {
	t.Helper()
	began := time.Now()
	through, passages := c.play()
	for i, cell := range all {
		diffs := testkit.Differences(direct[i], through[i])
		diffs = append(diffs, passages[i].doubts(cell.reason(through[i]), through[i])...)
		if mode == "auto" && cell.when != beforeData && passages[i].Mode != "splice" {
			diffs = append(diffs, "the program did not go over to splicing")
		}
		if len(diffs) > 0 {
			t.Error(testkit.Explain(c.scripts[i], diffs))
		}
	}
	checkWay(t, c.program, mode)
	t.Logf("%d cells in %v", len(all), time.Since(began))
}

// checkWay looks whether the program relayed in the way that it was told to.
func checkWay(t *testing.T, p *program, mode string) {
	t.Helper()
	copied, spliced := p.metric("longsplice_relay_bytes_total", "copy"), p.metric("longsplice_relay_bytes_total", "splice")
	t.Logf("%.0f bytes were copied, %.0f spliced", copied, spliced)
	switch {
	case mode == "copy" && (copied == 0 || spliced > 0),
		mode == "splice" && spliced < copied,
		mode == "auto" && (copied == 0 || spliced == 0):
		t.Errorf("mode %s: %.0f bytes were copied, %.0f spliced", mode, copied, spliced)
	}
}
