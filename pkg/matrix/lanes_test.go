package matrix

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// modes are the values of relay.mode. What they move may be large against 16 KiB: "auto" then begins by copying and goes
// over to splicing in the middle of a stream.
var modes = []string{"copy", "splice", "auto"}

// inEveryMode runs a test in each mode until one fails: a script that hangs costs its whole bound.
func inEveryMode(t *testing.T, test func(t *testing.T, mode string)) {
	for _, mode := range modes {
		if !t.Run(mode, func(t *testing.T) { test(t, mode) }) {
			return
		}
	}
}

// course is a running program with a frontend, a pool and a lane for each script: what the program counts for a frontend is
// what it made of that script.
type course struct {
	*program
	log     string // the path of its access log
	scripts []testkit.Script
	pairs   []*testkit.Pair
}

// layCourse starts the program and connects a pair through it for each script. With a host, clients and backends live there.
func layCourse(t testing.TB, h *testkit.Host, scripts []testkit.Script, config ...string) *course {
	t.Helper()
	c := &course{log: filepath.Join(t.TempDir(), "access.log"), scripts: scripts}
	lanes := make([]testkit.Lane, len(scripts))
	for i, s := range scripts {
		lane, err := newLane(t, h, s.IPv6)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(lane.Backend.Close)
		lanes[i] = lane
		config = append(config,
			frontend(laneName(i), lane.Front.String(), laneName(i)), pool(laneName(i), []string{lane.Backend.Addr().String()}, noChecks))
	}
	c.program = run(t, setup{process: fmt.Sprintf("access_log = %q", c.log), config: strings.Join(config, "\n")})
	for i, lane := range lanes {
		pair, err := lane.Connect(scripts[i])
		if err != nil {
			t.Fatalf("%v\n%v", scripts[i], err)
		}
		t.Cleanup(pair.Close)
		c.pairs = append(c.pairs, pair)
	}
	c.await("every session to be relayed", c.established)
	return c
}

// connectDirect connects a pair for each script without the program.
func connectDirect(t testing.TB, h *testkit.Host, scripts []testkit.Script) (pairs []*testkit.Pair) {
	t.Helper()
	for _, s := range scripts {
		pair, err := testkit.DirectLane(t, h, s.IPv6).Connect(s)
		if err != nil {
			t.Fatalf("%v\n%v", s, err)
		}
		t.Cleanup(pair.Close)
		pairs = append(pairs, pair)
	}
	return pairs
}

// playAll is testkit.PlayAll; a script that cannot be played ends the test.
func playAll(t testing.TB, pairs []*testkit.Pair) []testkit.Outcome {
	t.Helper()
	outcomes := testkit.PlayAll(t, pairs)
	if t.Failed() {
		t.FailNow()
	}
	return outcomes
}

func laneName(i int) string { return fmt.Sprintf("lane%d", i) }

// newLane finds the addresses of a lane: over the loopback device, or between the test's end of a host's cable and the host.
func newLane(t testing.TB, h *testkit.Host, ipv6 bool) (testkit.Lane, error) {
	front, back := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.AddrFrom4([4]byte{127, 0, 0, 1})
	switch {
	case h == nil && ipv6:
		front, back = netip.IPv6Loopback(), netip.IPv6Loopback()
	case h != nil && ipv6:
		front, back = h.Here6(), h.Addr6()
	case h != nil:
		front, back = h.Here4(), h.Addr4()
	}
	lane := testkit.Lane{From: h, Front: netip.MustParseAddrPort(freeAddress(t, front.String()))}
	var err error
	lane.Backend, err = h.Listen(netip.AddrPortFrom(back, 0))
	return lane, err
}

// established says whether the program knows that each of its connects has succeeded. A reset before that would by rights
// be a failed connect, which no direct connection has.
func (c *course) established() bool {
	for _, p := range c.pools() {
		var connects uint64
		for _, n := range p.Connect.Counts {
			connects += n
		}
		if connects == 0 {
			return false
		}
	}
	return true
}

// passage is what the program says of the one session of a lane.
type passage struct {
	Reason    string
	Errno     string
	Mode      string
	ToBackend int64 `json:"to_backend_bytes"`
	ToClient  int64 `json:"to_client_bytes"`

	counted balancer.FrontendStatus
	cause   map[string]uint64
}

// passages waits until the program has ended, counted and logged all sessions, and returns what it says, by script.
func (c *course) passages() []passage {
	c.t.Helper()
	var logged map[string]passage
	var frontends []balancer.FrontendStatus
	c.await("every session to be counted and logged", func() bool {
		logged, frontends = c.logLines(), c.frontends()
		return len(logged) == len(c.scripts) && !slices.ContainsFunc(frontends, func(f balancer.FrontendStatus) bool { return f.Active > 0 })
	})
	pools := c.pools()
	passages := make([]passage, len(c.scripts))
	for i := range passages {
		name := laneName(i)
		f := slices.IndexFunc(frontends, func(f balancer.FrontendStatus) bool { return f.Name == name })
		p := slices.IndexFunc(pools, func(p balancer.PoolStatus) bool { return p.Name == name })
		passages[i] = logged[name]
		passages[i].counted, passages[i].cause = frontends[f], pools[p].Backends[0].Ended
	}
	return passages
}

// logLines is what the access log holds, by frontend.
func (c *course) logLines() map[string]passage {
	text, _ := os.ReadFile(c.log)
	lines := map[string]passage{}
	for line := range strings.Lines(string(text)) {
		var entry struct {
			Frontend string
			passage
		}
		if json.Unmarshal([]byte(line), &entry) == nil {
			lines[entry.Frontend] = entry.passage
		}
	}
	return lines
}

// doubts is where what the program says of a session does not agree with what the peers saw, or with itself.
func (p passage) doubts(reason string, o testkit.Outcome) (doubts []string) {
	add := func(format string, args ...any) {
		doubts = append(doubts, "the program: "+fmt.Sprintf(format, args...))
	}
	if p.Reason != reason {
		add("it ended as %s (%s), want %s", p.Reason, p.Errno, reason)
	}
	if p.counted.Accepted != 1 || p.counted.Active != 0 || p.counted.Ended[p.Reason] != 1 || p.cause[causeOf(reason)] != 1 {
		add("accepted %d, active %d, ended %v, by cause %v", p.counted.Accepted, p.counted.Active, p.counted.Ended, p.cause)
	}
	if uint64(p.ToBackend) != p.counted.ToBackend || uint64(p.ToClient) != p.counted.ToClient {
		add("%d and %d bytes logged, %d and %d counted", p.ToBackend, p.ToClient, p.counted.ToBackend, p.counted.ToClient)
	}
	if silent := p.ToBackend+p.ToClient == 0; silent != (p.counted.ZeroByte == 1) {
		add("%d sessions without a byte, after %d bytes", p.counted.ZeroByte, p.ToBackend+p.ToClient)
	}
	for _, d := range []struct {
		name           string
		moved          int64
		sender, reader testkit.Transcript
	}{{"backend", p.ToBackend, o.Client, o.Server}, {"client", p.ToClient, o.Server, o.Client}} {
		least, most := d.reader.Received+int64(len(d.reader.Urgent)), d.sender.Sent+int64(d.sender.UrgentSent)
		if d.sender.Flushed && d.reader.End == testkit.EndFIN {
			least = most
		}
		if d.moved < least || d.moved > most {
			add("%d bytes moved to the %s, want %d to %d", d.moved, d.name, least, most)
		}
	}
	return doubts
}

// causeOf is how a backend's counters sort an end reason.
func causeOf(reason string) string {
	whose, what, _ := strings.Cut(reason, "_")
	switch what {
	case "fin":
		return "normal"
	case "timeout":
		return "timeout"
	}
	return whose
}
