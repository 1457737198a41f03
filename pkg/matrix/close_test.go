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
	byRST       = "RST" // when everything has been acknowledged: nothing may be lost
	byCut       = "RST over unsent data"
	byHalfClose = "half-close"
	byUnread    = "close with unread data"
	byVanishing = "vanishing"
	byStalling  = "vanishing with bytes on their way to it"

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

// tooMuch is more than a send buffer (4 MiB, tcp_wmem) and a pipe hold: behind a slow reader, the program has bytes that it
// has not read when the end comes.
const tooMuch = 8 << 20

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
	if c.when == duringData && (c.how == byFIN || c.how == byRST) {
		s.Buffers = 64 << 10 // the peers' own hold little: it is the program that has to keep it
	}
	s.Client, s.Server = c.steps()
	if c.side == "backend" {
		s.Client, s.Server = s.Server, s.Client
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
	case byCut:
		ends = steps{testkit.Reset()}
	case byHalfClose:
		ends = steps{testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close()}
		other = steps{testkit.ReadToEnd(), testkit.Send(1000), testkit.Close()}
	case byUnread:
		ends = steps{testkit.AwaitQueued(1), testkit.Close()}
		other = steps{testkit.Send(1000), testkit.ReadToEnd(), testkit.Close()}
	case byVanishing:
		ends = steps{testkit.Vanish()}
	case byStalling:
		ends = steps{testkit.Vanish(), testkit.Meet()}
		other = steps{testkit.Meet(), testkit.Send(1000), testkit.ReadToEnd()}
	}
	return ends, other
}

// busySteps end a connection with much on its way: towards the other peer, and where the end cuts it anyway, both ways.
func (c cell) busySteps() (ends, other steps) {
	ends = steps{testkit.Send(manyBytes)}
	full, slowly := steps{testkit.Send(tooMuch)}, steps{testkit.ReadSlowly(tooMuch, 64<<10, time.Millisecond), testkit.ReadToEnd(), testkit.Close()}
	other = steps{testkit.StartReading(), testkit.Send(endless), testkit.ReadToEnd(), testkit.Close()}
	switch c.how {
	case byFIN:
		return append(full, testkit.Close()), slowly
	case byRST:
		return append(full, testkit.ResetFlushed()), slowly
	case byCut:
		return steps{testkit.StartReading(), testkit.Send(manyBytes), testkit.Reset()}, other
	case byHalfClose:
		ends = steps{testkit.StartReading(), testkit.Send(manyBytes), testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close()}
		return ends, steps{testkit.StartReading(), testkit.Send(2 * manyBytes), testkit.ReadToEnd(), testkit.Send(manyBytes), testkit.Close()}
	case byUnread:
		return append(ends, testkit.AwaitQueued(1), testkit.Close()), other
	case byVanishing:
		other = steps{testkit.ReadToEnd()}
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
	case c.how != byVanishing && c.how != byStalling:
		return c.side + "_reset"
	case other.Sent > ends.Received:
		return "stall_timeout"
	}
	return c.side + "_gone"
}

// TestCloseMatrix is T5 without the silent ends: what the peers see through the program is what they see over a direct
// connection, and the program counts each end as what it was.
func TestCloseMatrix(t *testing.T) {
	all := cells(byFIN, byRST, byCut, byHalfClose, byUnread)
	direct := playAll(t, connectDirect(t, nil, scriptsOf(all)))
	inEveryMode(t, func(t *testing.T, mode string) {
		c := layCourse(t, nil, scriptsOf(all), relayIn(mode))
		began := time.Now()
		judge(t, c, mode, all, direct, playAll(t, c.pairs))
		t.Logf("%d cells in %v", len(all), time.Since(began))
	})
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

// judge holds what the peers of all cells saw through the program against what they saw without it, and what the program
// says against both.
func judge(t *testing.T, c *course, mode string, all []cell, direct, through []testkit.Outcome) {
	t.Helper()
	passages := c.passages()
	for i, cell := range all {
		diffs := testkit.Differences(direct[i], through[i])
		diffs = append(diffs, passages[i].doubts(cell.reason(through[i]), through[i])...)
		if p := passages[i]; mode == "auto" && max(p.ToBackend, p.ToClient) >= manyBytes && p.Mode != "splice" {
			diffs = append(diffs, "the program did not go over to splicing")
		}
		if len(diffs) > 0 {
			t.Error(testkit.Explain(c.scripts[i], diffs))
		}
	}
	checkWay(t, c.program, mode)
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
