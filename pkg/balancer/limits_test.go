package balancer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// relayConfig is a configuration as far as limits look at it.
func relayConfig(maxSessions, maxPipes int) *config.Config {
	c := &config.Config{}
	c.Process.MaxSessions = maxSessions
	c.Relay.MaxPipes, c.Relay.BufferBytes, c.Relay.PipeBytes = maxPipes, 64<<10, 1<<20
	return c
}

func TestLimitsOfAHost(t *testing.T) {
	const gib = 1 << 30
	// Two workers with two listeners each: 4 + 6 + 64 descriptors are fixed.
	for _, c := range []struct {
		name                  string
		maxSessions, maxPipes int
		hard                  uint64
		memory, quota         int64
		sessions, pipes       int64
		table                 uint64
		bindsFirst            string
	}{
		{"few descriptors", 0, 0, 1024, 8 * gib, -1, 467, 8, 1024, "open files: RLIMIT_NOFILE 1024 (hard 1024): 2 a session, 90 for"},
		{"300 backends with checks", 0, 0, 1024, 8 * gib, -1, 317, 8, 1024, "open files: RLIMIT_NOFILE 1024 (hard 1024): 2 a session, 390 for"},
		{"the usual hard limit", 0, 0, 524288, 4 * gib, -1, 258011, 4096, 524288, "open files"},
		{"more descriptors than memory", 0, 0, 1 << 20, 4 * gib, -1, 262144, 4096, 2*262144 + 74 + 8192, "memory: 4096 MiB, 16 KiB a session"},
		{"a limit of a thousand million", 0, 0, 1 << 30, 4 * gib, -1, 262144, 4096, 2*262144 + 74 + 8192, "memory"},
		{"max_sessions far below the rest", 1000, 0, 1 << 20, 4 * gib, -1, 1000, 80, 2000 + 74 + 8192, "max_sessions: process.max_sessions"},
		{"max_sessions as far as can be", 300000, 0, 1 << 20, 8 * gib, -1, 300000, 4096, 600000 + 74 + 8192, "max_sessions"},
		{"max_sessions above the descriptors", 5000, 0, 4096, 4 * gib, -1, 1979, 32, 4096, "open files"},
		{"max_sessions above the memory", 1 << 20, 0, 1 << 22, 4 * gib, -1, 262144, 4096, 2<<20 + 74 + 8192, "memory"},
		{"a quota of pipes", 0, 0, 524288, 4 * gib, 62, 262045, 62, 524288, "open files"},
		{"a quota that is used up", 0, 0, 1024, 4 * gib, 0, 475, 0, 1024, "open files"},
		{"max_pipes", 0, 100, 1024, 4 * gib, -1, 375, 100, 1024, "open files"},
		{"max_pipes above the descriptors", 0, 100000, 1024, 4 * gib, -1, 219, 256, 1024, "open files"},
		{"max_pipes above the default", 100000, 20000, 1 << 20, 4 * gib, -1, 100000, 20000, 200000 + 74 + 40000, "max_sessions"},
		{"less than one session", 0, 0, 91, 4 * gib, -1, 0, 8, 91, "open files"},
		{"exactly one session", 0, 0, 92, 4 * gib, -1, 1, 8, 92, "open files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := relayConfig(c.maxSessions, c.maxPipes)
			cfg.Pools = []config.Pool{{Health: config.Health{Type: config.HealthNone}, Backends: make([]config.Backend, 50)}}
			if strings.Contains(c.name, "checks") {
				cfg.Pools = append(cfg.Pools, config.Pool{Health: config.Health{Type: config.HealthTCP}, Backends: make([]config.Backend, 300)})
			}
			h := host{checks: checkedBackends(cfg), hard: c.hard, memory: c.memory, pipeQuota: c.quota, sockets: 4, workers: 2}
			h.wanted = wantedFDs(cfg, &h)
			h.fds = min(c.hard, uint64(h.wanted))
			if c.hard == 1<<30 { // the soft limit was there already: it is not lowered
				h.fds = c.hard
			}
			l, err := h.limits(cfg)
			if (err != nil) != (c.sessions == 0) {
				t.Errorf("error %v with %d sessions", err, l.sessions)
			}
			if l.sessions != c.sessions || l.pipes != c.pipes || l.fdTableSize != c.table || !strings.HasPrefix(l.bindsFirst, c.bindsFirst) {
				t.Errorf("%d sessions, %d pipes, a table of %d, %q;\nwant %d, %d, %d, %q", l.sessions, l.pipes, l.fdTableSize, l.bindsFirst, c.sessions, c.pipes, c.table, c.bindsFirst)
			}
			if used := sessionFDs*l.sessions + pipeFDs*l.pipes + h.fixedFDs(); err == nil && used > l.fds {
				t.Errorf("%d descriptors may be in use, and the limit is %d", used, l.fds)
			}
			for i := 1; i < len(l.all); i++ {
				if l.all[i-1].Sessions > l.all[i].Sessions {
					t.Errorf("limits are not sorted: %+v", l.all)
				}
			}
		})
	}
}

func TestPipesOfLowMemory(t *testing.T) {
	c := relayConfig(0, 0)
	c.Relay.LowMemory = true
	if n := pipeBytes(c); n != 64<<10 {
		t.Errorf("pipes of %d bytes", n)
	}
	if c.Relay.PipeBytes = 4096; pipeBytes(c) != 4096 {
		t.Errorf("pipes of %d bytes", pipeBytes(c))
	}
}

// served says whether a connection was accepted and is relayed: its byte comes back.
func served(c net.Conn, within time.Duration) bool {
	if _, err := c.Write([]byte{'x'}); err != nil {
		return false
	}
	c.SetReadDeadline(time.Now().Add(within))
	_, err := io.ReadFull(c, make([]byte, 1))
	return err == nil
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// At its limit a balancer leaves connections in the kernel's queue, and lets each in as soon as another has ended.
func TestMaxSessions(t *testing.T) {
	testkit.LeakCheck(t)
	const most = 10
	at, echo := fmt.Sprintf("127.0.0.1:%d", freePort(t)), echoBackend(t)
	b := start(t, "%s", strings.ReplaceAll(frontendAt(at, fmt.Sprintf("max_sessions = %d", most), ""), "127.0.0.1:9", echo.Addr().String()))
	var in []net.Conn
	for range most {
		c := dial(t, at)
		if !served(c, testkit.Bound) {
			t.Fatal("a session below the limit was not served")
		}
		in = append(in, c)
	}
	waiting := dial(t, at)
	if _, err := waiting.Write([]byte{'y'}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "accept_paused", func() bool { return recent(b, "accept_paused") != nil })
	s := b.Status()
	if s.Sessions.Held != most || s.Sessions.Limit != most || s.Sessions.Peak != most || !strings.HasPrefix(s.BindsFirst, "max_sessions") {
		t.Errorf("sessions %+v, %s", s.Sessions, s.BindsFirst)
	}
	if f := b.Frontends()[0]; f.Accepted != most || f.AcceptQueue != 1 || f.Active != most {
		t.Errorf("%d accepted, %d active, %d in the queue; want %d, %d and 1", f.Accepted, f.Active, f.AcceptQueue, most, most)
	}
	in[0].Close()
	waiting.SetReadDeadline(time.Now().Add(testkit.Bound))
	if _, err := io.ReadFull(waiting, make([]byte, 1)); err != nil {
		t.Errorf("a place was free and the one who waited was not let in: %v", err)
	}
	eventually(t, "the pause counted", func() bool {
		var paused float64
		for _, w := range b.Workers() {
			paused += w.PausedNoRoomS
		}
		return paused > 0
	})
}

// recent is the last event of a name, nil if there was none.
func recent(b *Balancer, name string) *Event {
	var last *Event
	for _, e := range b.Recent() {
		if e.Name == name {
			last = &e
		}
	}
	return last
}

// childServe serves until its input, after the first line, ends; then it says what it held.
func childServe() {
	c := childConfig()
	childLimit()
	b, err := Start(context.Background(), Options{Config: c})
	if err != nil {
		childFail(err)
	}
	stop := make(chan struct{})
	most := int64(0)
	go func() {
		defer close(stop)
		in := bufio.NewScanner(childControl())
		for in.Scan() {
			s := b.Status()
			most = max(most, s.FDs.Held)
			fmt.Printf("held %d limit %d fds %d of %d\n", s.Sessions.Held, s.Sessions.Limit, most, s.FDs.Limit)
		}
	}()
	fmt.Printf("held 0 limit %d fds 0 of %d\n", b.limits.sessions, b.limits.fds)
	<-stop
	b.Shutdown(context.Background())
}

// A process with few descriptors takes as many sessions as it said and no more, stays alive, and keeps its reserve.
func TestFewDescriptors(t *testing.T) {
	const descriptors = 300
	at, echo := fmt.Sprintf("127.0.0.1:%d", freePort(t)), echoBackend(t)
	ask, held := serve(t, strings.ReplaceAll(frontendAt(at, "", ""), "127.0.0.1:9", echo.Addr().String()), fmt.Sprintf("NOFILE=%d", descriptors))
	limit := held.limit
	if limit < 50 || limit > descriptors/2 {
		t.Fatalf("%d sessions with %d descriptors", limit, descriptors)
	}
	var in []net.Conn
	for i := range limit {
		c := dial(t, at)
		if !served(c, testkit.Bound) {
			t.Fatalf("session %d of %d was not served", i, limit)
		}
		in = append(in, c)
	}
	var out []net.Conn
	for range 20 {
		c := dial(t, at)
		if _, err := c.Write([]byte{'y'}); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	now := ask()
	if now.held != limit || now.fds > descriptors-reserveFDs+20 {
		t.Errorf("%+v: want %d held, and most of a reserve of %d descriptors", now, limit, reserveFDs)
	}
	for i := range out {
		in[i].Close()
	}
	for i, c := range out { // whichever worker's queue they are in
		c.SetReadDeadline(time.Now().Add(testkit.Bound))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatalf("the %d. who waited was not let in: %v", i, err)
		}
	}
	if now := ask(); now.held > limit {
		t.Errorf("%+v: more than the limit", now)
	}
	for i, c := range in[20:] {
		if !served(c, testkit.Bound) {
			t.Errorf("session %d did not live through the shortage", i)
		}
	}
}

// held is what a serving child says of itself.
type heldNow struct{ held, limit, fds, most int }

// serve runs childServe; ask asks it once more.
func serve(t *testing.T, configuration string, settings ...string) (ask func() heldNow, first heldNow) {
	t.Helper()
	cmd := child(t, "serve", configuration, settings...)
	control, stdout := childPipe(t), childOutput(t, cmd)
	cmd.ExtraFiles = append(cmd.ExtraFiles, control.read)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	control.read.Close()
	t.Cleanup(func() {
		control.write.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("child: %v\n%s", err, cmd.Stderr)
		}
	})
	line := func() (h heldNow) {
		if !stdout.Scan() {
			t.Fatalf("the child said nothing: %s", cmd.Stderr)
		}
		if _, err := fmt.Sscanf(stdout.Text(), "held %d limit %d fds %d of %d", &h.held, &h.limit, &h.fds, &h.most); err != nil {
			t.Fatalf("the child said %q", stdout.Text())
		}
		return h
	}
	first = line()
	return func() heldNow {
		fmt.Fprintln(control.write)
		return line()
	}, first
}

// An unprivileged user's pipes become useless above a quota: no more than that are made.
func TestPipesOfAnUnprivilegedProcess(t *testing.T) {
	testkit.Privileged(t, "root")
	soft := sys.ReadInt("/proc/sys/fs/pipe-user-pages-soft", 0)
	if soft == 0 {
		t.Skip("there is no quota of pipes here")
	}
	text := frontendAt(fmt.Sprintf("127.0.0.1:%d", freePort(t)), "", "[relay]\nmax_pipes = 500")
	quota := max(soft*4096/(1<<20)-2, 0)
	privileged := int64(500)
	if sys.PipeLimit(1<<20) >= 0 { // root without CAP_SYS_RESOURCE, as in many containers
		privileged = quota
	}
	for who, most := range map[string]int64{"65534": quota, "": privileged} {
		out := output(t, child(t, "start", text, "UID_WANTED="+who))
		var sessions, pipes int64
		if n, err := fmt.Sscanf(out, "sessions %d pipes %d", &sessions, &pipes); n != 2 || pipes != most {
			t.Errorf("user %q: %q (%v), want %d pipes", who, out, err, most)
		}
	}
}
