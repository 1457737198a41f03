package matrix

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// The pause is longer than the gap between two turns that the program takes for a standstill (5 s), and longer than what
// sessions may be idle. The rest of the limit is what the test has for everything that it does before and after it.
const (
	pauseIdle = 6 * time.Second
	pauseFor  = 6500 * time.Millisecond
)

// TestPauseExpiresNobody is T22: the program stands still, as in a virtual machine that is paused, for longer than its
// sessions may be idle. Time in which nobody could have spoken does not count: no session ends of it, silent or not, and
// no backend fails. Those that really say nothing afterwards end as idle.
func TestPauseExpiresNobody(t *testing.T) {
	const tries = 5
	for range tries {
		if pauseOnce(t) {
			return
		}
	}
	t.Errorf("in %d tries the test itself took so long that sessions were idle for %v without the pause", tries, pauseIdle)
}

// pauseOnce returns false if it has shown nothing, since the machine was too slow for it.
func pauseOnce(t *testing.T) bool {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front, kept, fresh := freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1")
	idle := fmt.Sprintf("[frontend.timeouts]\nidle = %q\n", pauseIdle)
	p := run(t, setup{process: "workers = 2", config: frontend("front", front, "pool", idle) +
		frontend("kept", kept, "pool", idle, `keepalive = "1s"`, `keepalive_interval = "1s"`, "keepalive_probes = 2") +
		frontend("fresh", fresh, "pool", fmt.Sprintf("[frontend.timeouts]\nfirst_byte = %q", pauseIdle)) +
		pool("pool", backends)})
	silent, talking, probed := gather(t, front, scaled(200)), gather(t, front, scaled(200)), gather(t, kept, scaled(100))

	began := time.Now() // of the time in which somebody could have spoken
	callers := silentCallers(t, fresh, 20)
	all := len(silent) + len(talking) + len(probed) + len(callers)
	p.await("every session to stand", func() bool { return p.status().Sessions.Held == int64(all) })
	tell(t, "before the pause", silent, talking, probed)
	p.signal(syscall.SIGSTOP)
	ran := time.Since(began)
	time.Sleep(pauseFor)
	went := time.Now()
	p.signal(syscall.SIGCONT)
	errs := append(talking.say(100), probed.say(100)...)
	held, ended := p.status().Sessions.Held, p.endReasons()
	if ran += time.Since(went); ran > pauseIdle*9/10 {
		t.Logf("%v passed beside the pause: tries again", ran)
		leaveAll(p, silent, talking, probed, callers)
		return false
	}
	if n, first := failures(errs); n > 0 {
		t.Errorf("%d of %d sessions failed after the pause: %v", n, len(errs), first)
	}
	if held != int64(all) || len(ended) > 0 {
		t.Errorf("after the pause %d sessions are held and ended %v, want all %d", held, ended, all)
	}
	if e := p.events("backend_unhealthy"); len(e) > 0 {
		t.Errorf("a backend failed of the pause: %v", e)
	}
	p.await("every session to end as idle", func() bool { return p.endReasons()["idle_timeout"] == uint64(all) })
	t.Logf("%d sessions through a pause of %v, %v beside it; they ended %v after it", all, pauseFor, ran, time.Since(went))
	return true
}

// silentCallers connects n clients that say nothing.
func silentCallers(t *testing.T, address string, n int) crowd {
	t.Helper()
	all := make(crowd, n)
	t.Cleanup(all.leave)
	for i := range all {
		c, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			t.Fatalf("client %d of %d did not get in: %v", i, n, err)
		}
		all[i] = &visitor{conn: c.(*net.TCPConn)}
	}
	return all
}

// tell lets all crowds say something, and ends the test if that fails.
func tell(t *testing.T, when string, crowds ...crowd) {
	t.Helper()
	for _, c := range crowds {
		if n, first := failures(c.say(100)); n > 0 {
			t.Fatalf("%s: %d of %d sessions failed: %v", when, n, len(c), first)
		}
	}
}

func leaveAll(p *program, crowds ...crowd) {
	for _, c := range crowds {
		c.leave()
	}
	p.await("every session to end", func() bool { return p.status().Sessions.Held == 0 })
}

// TestDateDoesNotMatter is T22: the date jumps an hour ahead and two hours back. Nothing ends early, what is idle does end,
// durations stay what they were, health checks go on. The program alone sees another date: see shiftDate.
func TestDateDoesNotMatter(t *testing.T) {
	dateJumps(t, func(p *program) func(time.Duration) { return shiftDate(t, p) })
}

// TestHostDateDoesNotMatter is T22 with the machine's own clock. A process of its own puts it back if the test dies.
func TestHostDateDoesNotMatter(t *testing.T) {
	if os.Getenv("LONGSPLICE_HOST_TESTS") != "1" {
		t.Skip("LONGSPLICE_HOST_TESTS=1 lets a test change this machine's clock")
	}
	testkit.Privileged(t, "root: set the clock")
	dateJumps(t, func(*program) func(time.Duration) { return shiftHostDate(t) })
}

func dateJumps(t *testing.T, shifter func(*program) func(time.Duration)) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	long, short := freeAddress(t, "127.0.0.1"), freeAddress(t, "127.0.0.1")
	p := run(t, setup{process: `access_log = "stdout"`, config: frontend("long", long, "pool", `[frontend.timeouts]`, `idle = "30m"`) +
		frontend("short", short, "pool", "[frontend.timeouts]", `idle = "1s"`) +
		pool("pool", backends, "[pool.health]", `interval = "100ms"`)})
	shift := shifter(p)
	began, all := time.Now(), gather(t, long, scaled(100))
	ended := uint64(0)
	for i, off := range []time.Duration{time.Hour, -time.Hour, 0} {
		brief := silentCallers(t, short, 20)
		shift(off)
		tell(t, fmt.Sprintf("with a date %v off", off), all)
		ended += uint64(len(brief))
		p.await("the sessions that are idle to end", func() bool { return p.endReasons()["idle_timeout"] == ended })
		checks := p.metric("longsplice_health_checks_total")
		p.await("health checks to go on", func() bool { return p.metric("longsplice_health_checks_total") > checks+4 })
		all[0].leave()
		all = all[1:]
		p.nthEnd("client_fin", i+1).judge(t, began, off)
	}
	if e := p.events("backend_unhealthy"); len(e) > 0 {
		t.Errorf("a backend failed of the date: %v", e)
	}
	p.await("the last end to be counted", func() bool { return p.endReasons()["client_fin"] == 3 })
	if got := p.endReasons(); got["idle_timeout"] != ended || len(got) != 2 {
		t.Errorf("sessions ended %v, want 3 by the client and %d idle", got, ended)
	}
}

// logLine is what the test reads of a line of the access log.
type logLine struct {
	Time     time.Time `json:"time"`
	Reason   string    `json:"reason"`
	Duration float64   `json:"duration_s"`
}

// nthEnd waits for the line of the nth session that ended for a reason.
func (p *program) nthEnd(reason string, n int) (last logLine) {
	p.await("a line in the access log", func() bool {
		found := 0
		for text := range strings.Lines(p.logged.String()) {
			var l logLine
			if json.Unmarshal([]byte(text), &l) == nil && l.Reason == reason {
				last = l
				found++
			}
		}
		return found == n
	})
	return last
}

// judge wants the line to carry a date that is off, which proves that the program sees it, and a true duration.
func (l logLine) judge(t *testing.T, began time.Time, off time.Duration) {
	t.Helper()
	lasted := time.Since(began) // by the monotonic clock
	if date := began.Round(0).Add(lasted + off); l.Time.Sub(date).Abs() > 30*time.Minute {
		t.Errorf("with a date %v off the program wrote %v, want about %v", off, l.Time, date)
	}
	if l.Duration < 0 || l.Duration > lasted.Seconds() {
		t.Errorf("with a date %v off a session lasted %v s, want 0 to %v", off, l.Duration, lasted)
	}
}
