package matrix

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// readSize is relay.buffer_bytes: an ordinary read takes so much at most, and what a read just misses is what relays lose.
const readSize = 64 << 10

func relayUrgent(mode string) string {
	return fmt.Sprintf("[relay]\nmode = %q\nbuffer_bytes = \"64KiB\"", mode)
}

// What follows the urgent byte.
var urgentEnds = []string{"more data", "FIN", "RST", "RST when it has arrived"}

// urgentCase is a connection with one urgent byte.
type urgentCase struct {
	at    int64 // ordinary bytes before it
	side  string
	end   string
	apart bool // it is sent when what goes before has been passed on, perhaps; else while that waits
	ipv6  bool
}

// urgentCases are every multiple of the read size and its neighbours, the first bytes and random places, from both sides,
// with every end. The rest alternates.
func urgentCases() (all []urgentCase) {
	places := []int64{0, 1}
	for k := int64(1); k <= 4; k++ {
		places = append(places, k*readSize-1, k*readSize, k*readSize+1)
	}
	r := rand.New(rand.NewPCG(4, 4))
	for range 6 {
		places = append(places, r.Int64N(6*readSize))
	}
	for i, at := range places {
		for j, side := range sides {
			for k, end := range urgentEnds {
				all = append(all, urgentCase{at, side, end, (i+j+k)%2 == 0, (i/2+k)%2 == 0})
			}
		}
	}
	return all
}

func (c urgentCase) script(seed int) testkit.Script {
	sends, reads := steps{testkit.Send(c.at)}, steps{testkit.AwaitQueued(min(c.at, 1)), testkit.ReadToEnd(), testkit.Close()}
	if c.apart {
		sends, reads = append(sends, testkit.Pause(3*time.Millisecond)), reads[1:]
	}
	sends = append(sends, testkit.Urgent())
	switch c.end {
	case "more data":
		sends = append(sends, testkit.Send(readSize), testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close())
	case "FIN":
		sends = append(sends, testkit.Close())
	case "RST":
		sends = append(sends, testkit.Reset())
	default:
		sends = append(sends, testkit.Meet(), testkit.ResetFlushed())
		reads = steps{testkit.AwaitUrgent(), testkit.Meet(), testkit.ReadToEnd(), testkit.Close()}
	}
	s := testkit.Script{Name: fmt.Sprintf("%+v", c), Seed: uint64(seed), IPv6: c.ipv6, Client: sends, Server: reads}
	if c.side == "backend" {
		s.Client, s.Server = reads, sends
	}
	return s
}

// reason is what the program has to call the end.
func (c urgentCase) reason() string {
	if c.end == "more data" || c.end == "FIN" {
		return c.side + "_fin"
	}
	return c.side + "_reset"
}

// TestUrgentByte is T4 with one urgent byte in a connection: behind it a direction never splices again, so that only the
// first one meets a relay in its stride.
func TestUrgentByte(t *testing.T) {
	all := urgentCases()
	var scripts []testkit.Script
	for i, c := range all {
		scripts = append(scripts, c.script(i))
	}
	direct := playAll(t, connectDirect(t, nil, scripts))
	inEveryMode(t, func(t *testing.T, mode string) {
		c := layCourse(t, nil, scripts, relayUrgent(mode))
		through := playAll(t, c.pairs)
		arrived := 0
		for i, p := range c.passages() {
			diffs := append(testkit.Differences(direct[i], through[i]), p.doubts(all[i].reason(), through[i])...)
			if len(diffs) > 0 {
				t.Error(testkit.Explain(scripts[i], diffs))
			}
			arrived += len(through[i].Client.Urgent) + len(through[i].Server.Urgent)
		}
		t.Logf("%d connections, %d urgent bytes arrived; the others were overtaken by a RST", len(all), arrived)
	})
}

// TestManyUrgentBytes is T4 with urgent bytes at every multiple of the read size and around it, both ways at once.
func TestManyUrgentBytes(t *testing.T) {
	scripts := []testkit.Script{manyUrgent(1, false), manyUrgent(2, true)}
	direct := playAll(t, connectDirect(t, nil, scripts))
	inEveryMode(t, func(t *testing.T, mode string) {
		c := layCourse(t, nil, scripts, relayUrgent(mode))
		through := playAll(t, c.pairs)
		for i := range c.passages() {
			if diffs := testkit.Differences(direct[i], through[i]); len(diffs) > 0 {
				t.Error(testkit.Explain(scripts[i], diffs))
			}
		}
		t.Logf("%d urgent bytes each way", len(through[0].Server.Urgent))
	})
}

// manyUrgent sends the next urgent byte when both sides have the last one: Linux keeps one at a time.
func manyUrgent(seed uint64, ipv6 bool) testkit.Script {
	both := steps{testkit.StartReading()}
	urgent := func(after int64) {
		both = append(both, testkit.Send(after), testkit.Urgent(), testkit.AwaitUrgent(), testkit.Meet())
	}
	urgent(0)
	urgent(readSize - 1)
	for range 12 { // just before a multiple now
		urgent(1)
		urgent(1)
		urgent(readSize - 2)
	}
	both = append(both, testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close())
	return testkit.Script{Name: "many urgent bytes", Seed: seed, IPv6: ipv6, Client: both, Server: both}
}

// TestRestAfterUrgentByte is T4's last word: with urgent bytes passed, passed behind others, or waiting for a reader that has
// stopped, and with nothing more to do, the program sleeps.
func TestRestAfterUrgentByte(t *testing.T) {
	inEveryMode(t, func(t *testing.T, mode string) {
		measured := make(chan struct{})
		var scripts []testkit.Script
		for i := range 24 {
			scripts = append(scripts, restingScript(i, measured))
		}
		c := layCourse(t, nil, scripts, relayUrgent(mode))
		played := make(chan []testkit.Outcome)
		go func() { played <- testkit.PlayAll(t, c.pairs) }()
		c.await("everything to be passed on that can be", c.stopped)
		rested := false
		for try := 0; try < 10 && !rested; try++ { // one that spins never does; one that waits for a busy processor does at last
			rested = c.rests()
		}
		close(measured)
		if !rested {
			t.Error("the program does not rest")
		}
		for i, o := range <-played {
			if o.Server.End != testkit.EndFIN || len(o.Server.Urgent) != 1 || o.Server.Received != o.Client.Sent {
				t.Errorf("%v\n%v", scripts[i], o)
			}
		}
	})
}

// restingScript holds a connection just after its urgent byte: taken by the reader, with or without bytes behind it, or not
// taken by a reader that has stopped, with or without more behind it than the program can pass on.
func restingScript(i int, measured <-chan struct{}) testkit.Script {
	sends := steps{testkit.Send(3 * readSize), testkit.Pause(time.Duration(i/4) * time.Millisecond), testkit.Urgent()}
	reads := steps{testkit.AwaitUrgent()}
	switch i % 4 {
	case 1:
		sends = append(sends, testkit.Send(10))
	case 2:
		sends, reads = append(steps{testkit.Send(readSize / 2)}, sends[1:]...), nil
	case 3:
		sends, reads = append(steps{testkit.Send(readSize / 2)}, append(sends[1:], testkit.Send(16<<20))...), nil
	}
	sends = append(sends, testkit.Hold(measured), testkit.HalfClose(), testkit.ReadToEnd(), testkit.Close())
	reads = append(reads, testkit.Hold(measured), testkit.ReadToEnd(), testkit.Close())
	return testkit.Script{Name: "resting", Seed: uint64(i), IPv6: i%3 == 0, Client: sends, Server: reads}
}

// stopped says whether every session has passed something on, and none has passed on more for a while.
func (c *course) stopped() bool {
	before := c.moved()
	time.Sleep(300 * time.Millisecond)
	return c.moved() == before && before >= uint64(len(c.scripts))*readSize/2
}

// moved is the bytes that have been passed on.
func (p *program) moved() (n uint64) {
	for _, f := range p.frontends() {
		n += f.ToBackend + f.ToClient
	}
	return n
}

// Bounds of rests. A loop that spins makes 10^5 turns a second, and its thread is never asleep.
const (
	looks        = 100
	mostTurns    = 500
	mostRunnings = looks / 2
)

// rests watches the program for a second in which it has nothing to do. Beside its turns it looks at its threads, since turns
// without an event are not counted.
func (p *program) rests() bool {
	turns, switches, cpu := p.turns(), p.switches(), p.cpu()
	running := 0
	for range looks {
		time.Sleep(10 * time.Millisecond)
		if p.runs() {
			running++
		}
	}
	turns, switches, cpu = p.turns()-turns, p.switches()-switches, p.cpu()-cpu
	p.t.Logf("an idle second: %v of processor time, %d turns with events, %d sleeps, running at %d of %d looks", cpu, turns, switches, running, looks)
	return turns <= mostTurns && running <= mostRunnings
}

// runs says whether a thread of the program is running now, or wants to. However busy the machine is, a thread that sleeps
// does neither.
func (p *program) runs() bool {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.pid()))
	for _, path := range tasks {
		text, _ := os.ReadFile(path)
		if _, after, _ := strings.Cut(string(text), ") "); strings.HasPrefix(after, "R") {
			return true
		}
	}
	return false
}
