package matrix

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
)

// TestSilentFloodMakesRoom is T16: silent clients fill the process up to max_sessions. With first_byte set, clients who
// speak are served all the same, each in the place of the silent one who has waited longest. Nobody who has ever said a
// byte has to go, however many silent ones come.
func TestSilentFloodMakesRoom(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d workers", workers), func(t *testing.T) { silentFlood(t, workers) })
	}
}

func silentFlood(t *testing.T, workers int) {
	room, talkers := scaled(1000), scaled(250)
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{process: fmt.Sprintf("workers = %d\nmax_sessions = %d", workers, room), config: frontend("front", front, "pool",
		"[frontend.timeouts]", `first_byte = "1h"`) + pool("pool", backends)})
	residents := gather(t, front, talkers)
	silent := p.fillWithSilent(t, front, room, talkers)
	before := p.endReasons()
	if before["evicted"] > 0 {
		t.Errorf("evicted while there was room: %v", before)
	}

	comers := gather(t, front, talkers)
	p.await("as many silent clients to be sent away", func() bool { return p.endReasons()["evicted"] == uint64(talkers) })
	if workers == 1 { // each worker keeps its own order
		wantEvicted(t, silent, talkers)
	}
	silentCallers(t, front, room) // more than are left: some of these have to go themselves
	p.await("the flood to be over", func() bool { return p.endReasons()["evicted"] == uint64(talkers+room) })
	s := p.status()
	if s.Sessions.Held != int64(room) || s.Pipes.Used+s.Pipes.Idle > 0 {
		t.Errorf("%d sessions held and pipes %+v, want %d and none", s.Sessions.Held, s.Pipes, room)
	}
	wantNone(t, "sessions of clients who speak were cut", slices.Concat(residents, comers).say(100))
	before["evicted"] = uint64(talkers + room)
	if ends := p.endReasons(); !maps.Equal(ends, before) {
		t.Errorf("ended %v, want %v: none but the evicted", ends, before)
	}
	p.wantNoFailures()
}

// fillWithSilent lets silent clients take every place that is left, at least so many of them at each worker. A worker
// evicts only its own, and one that did not get to run while they came has few: then those leave, and others come.
func (p *program) fillWithSilent(t *testing.T, front string, room, each int) crowd {
	t.Helper()
	held := func(n int) func() bool { return func() bool { return p.status().Sessions.Held == int64(n) } }
	before := p.workers()
	taken := int(p.status().Sessions.Held)
	for {
		silent := silentCallers(t, front, room-taken)
		p.await("every place to be taken", held(room))
		if !slices.ContainsFunc(p.workers(), func(w balancer.WorkerStatus) bool { return w.Sessions < before[w.ID].Sessions+int64(each) }) {
			return silent
		}
		silent.leave()
		p.await("those who came to one worker to leave", held(taken))
	}
}

// wantEvicted wants the first n of a crowd to have been reset and nobody else.
func wantEvicted(t *testing.T, c crowd, n int) {
	t.Helper()
	for i, v := range c[:n] {
		if err := v.endOf(); !isReset(err) {
			t.Fatalf("the silent client %d of %d: %v, want a RST", i, n, err)
		}
	}
	for i, v := range c[n:] {
		_ = v.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := v.conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("the silent client %d: %v, want only the oldest %d to go", n+i, err, n)
		}
	}
}

// TestSilentClientsMayStay is T16 without first_byte: a client who has said nothing is a client like any other. Nobody has
// to go, and who finds no room waits for it.
func TestSilentClientsMayStay(t *testing.T) {
	const room, outside = 100, 20
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{process: fmt.Sprintf("max_sessions = %d", room), config: frontend("front", front, "pool") + pool("pool", backends)})
	silent := silentCallers(t, front, room)
	p.await("every place to be taken", func() bool { return p.status().Sessions.Held == room })
	comers := assemble(t, front, outside)
	p.await("the newcomers to be in the kernel's queue", func() bool { return p.frontends()[0].AcceptQueue == outside })
	p.rest("full of silent clients")
	if n := comers.in.Load(); n > 0 || len(p.endReasons()) > 0 {
		t.Errorf("%d newcomers came in and %v ended, want none", n, p.endReasons())
	}
	silent[:outside].leave()
	p.await("a newcomer to come in for each who left", func() bool { return comers.in.Load() == outside })
	wantNone(t, "silent clients cannot speak any more", silent[outside:].say(10))
	wantNone(t, "newcomers not served", comers.disperse())
}

// TestSilentClientsTimeOut is T16's first_byte by itself: who has said nothing for so long is reset. Who has said a byte may
// be silent for as long as idle allows. None of that is a backend's fault.
func TestSilentClientsTimeOut(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool", "[frontend.timeouts]", `first_byte = "3s"`) + pool("pool", backends)})
	spoken := gather(t, front, 100)
	silent := silentCallers(t, front, 200)
	for i, v := range silent {
		if err := v.endOf(); !isReset(err) {
			t.Fatalf("the silent client %d: %v, want a RST", i, err)
		}
	}
	p.await("the silent ones to be counted", func() bool { return p.endReasons()["idle_timeout"] == uint64(len(silent)) })
	if f := p.frontends()[0]; f.Active != int64(len(spoken)) || f.ZeroByte != uint64(len(silent)) {
		t.Errorf("%d active, %d ended without a byte, want %d and %d", f.Active, f.ZeroByte, len(spoken), len(silent))
	}
	wantNone(t, "clients who had spoken were cut", spoken.say(10))
	p.wantNoFailures()
}

// TestLookersAreNoFailures is T16 for those who only look whether the port is open, as scanners and health checks of others
// do: they are counted apart, and neither the log nor a backend's health notices.
func TestLookersAreNoFailures(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", backends)})
	n := scaled(1000)
	for i, v := range silentCallers(t, front, n) {
		if i%2 == 0 {
			_ = v.conn.SetLinger(0) // leaves by RST
		}
		v.leave()
	}
	p.await("all of them to be gone", func() bool { return p.frontends()[0].ZeroByte == uint64(n) })
	p.wantNoFailures()
	for _, word := range []string{"backend_ejected", "backend_unhealthy"} {
		if e := p.events(word); len(e) > 0 {
			t.Errorf("%s: %v", word, e)
		}
	}
}

// TestIdleSessionsAreSmall is T16's memory: what the whole program takes for each session between 1,000 and 4,000 of them
// that are idle. They hold no pipe.
func TestIdleSessionsAreSmall(t *testing.T) {
	_, backends := echoBackends(t, "127.0.0.1", 2)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", backends, noChecks)})
	few, many := scaled(1000), scaled(4000)
	all := gather(t, front, few)
	before := p.procStatus("RssAnon:") << 10
	all = append(all, gather(t, front, many-few)...)
	slope := float64(p.procStatus("RssAnon:")<<10-before) / float64(many-few)
	t.Logf("%.0f bytes of user memory for an idle session, %d KiB resident with %d", slope, p.rss()>>10, len(all))
	if slope > 512 && !underRace() {
		t.Errorf("%.0f bytes of user memory for an idle session, want at most 256 and what the runtime takes meanwhile", slope)
	}
	if s := p.status().Pipes; s.Used+s.Idle > 0 {
		t.Errorf("pipes of sessions that never had more than a byte: %+v", s)
	}
}
