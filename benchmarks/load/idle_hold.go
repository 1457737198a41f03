package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"golang.org/x/sys/unix"
)

// holdBytes is what each session sends at a check.
const holdBytes = 8

// HoldReport answers each command of Hold.
type HoldReport struct {
	Live       int     `json:"live"`              // sessions that stand
	Checked    int     `json:"checked,omitempty"` // those of them that have just echoed
	Seconds    float64 `json:"seconds"`           // that the command took
	Wrong      uint64  `json:"wrong"`
	Failed     uint64  `json:"failed"`
	FirstError string  `json:"first_error,omitempty"`
}

// holdRun keeps silent sessions for somebody who measures several processes at once.
type holdRun struct {
	*driver
	first    int // number of the first session: no two processes' sessions have the same seed
	sessions []*heldSession
	pending  int // connections that are neither up nor failed
	checks   int
	checked  int // sessions that have answered the last one
}

// Hold reads commands, a line each, and answers each with a HoldReport as a line of JSON: "open N" opens sessions until
// there are N, "check" has each echo some bytes. It returns at the end of in; then all sessions are reset, so that no port
// rests in TIME_WAIT.
func Hold(cfg Config, first int, in io.Reader, out io.Writer) error {
	d, err := newDriver(cfg, "hold")
	if err != nil {
		return err
	}
	defer d.loop.Close()
	r := &holdRun{driver: d, first: first}
	defer r.reset()
	for lines := bufio.NewScanner(in); lines.Scan(); {
		began := time.Now()
		if err := r.obey(lines.Text()); err != nil {
			return err
		}
		rep := HoldReport{
			Live: r.live, Checked: r.checked, Seconds: time.Since(began).Seconds(),
			Wrong: r.res.Wrong, Failed: r.res.Failed, FirstError: r.res.FirstError,
		}
		if err := json.NewEncoder(out).Encode(rep); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

func (r *holdRun) obey(line string) error {
	r.checked = 0
	var n int
	if _, err := fmt.Sscanf(line, "open %d", &n); err == nil {
		return r.growTo(n)
	}
	if line == "check" {
		r.checks++
		return r.check()
	}
	return fmt.Errorf("hold: unknown command %q; open N, check", line)
}

// growTo opens sessions, a few at a time, as long as any come about within the patience.
func (r *holdRun) growTo(n int) error {
	for r.dialled < n || r.pending > 0 {
		for r.dialled < n && r.pending < connectAtOnce {
			r.open()
		}
		before := r.pending
		done, err := r.turnUntil(r.cfg.Patience, func() bool { return before == 0 || r.pending < before })
		if err != nil {
			return err
		}
		if !done {
			r.giveUp(fmt.Errorf("no connection within %s", r.cfg.Patience), func(s *heldSession) bool { return !s.up })
			return nil
		}
	}
	return nil
}

func (r *holdRun) open() {
	s := &heldSession{run: r, seed: pattern.Seed(r.first + r.dialled)}
	r.sessions = append(r.sessions, s)
	if r.dial(&s.session, s, epoll.Both); s.fd >= 0 {
		r.pending++
	}
}

// check has every session echo, some sessions at a time. It ends early where nobody answers.
func (r *holdRun) check() error {
	for some := range slices.Chunk(r.sessions, connectAtOnce) {
		for _, s := range some {
			s.ask()
		}
		before := r.checked
		_, err := r.turnUntil(r.cfg.Patience, func() bool { return !slices.ContainsFunc(some, (*heldSession).waits) })
		if err != nil {
			return err
		}
		if r.checked == before {
			break
		}
	}
	r.giveUp(fmt.Errorf("no echo within %s", r.cfg.Patience), func(s *heldSession) bool { return s.waits() || s.asked != r.checks })
	return nil
}

// giveUp fails the sessions of which that is true.
func (r *holdRun) giveUp(err error, of func(*heldSession) bool) {
	for _, s := range r.sessions {
		if s.fd >= 0 && of(s) {
			s.fail(err)
		}
	}
	r.pending = 0
}

// reset ends every session by RST.
func (r *holdRun) reset() {
	for _, s := range r.sessions {
		if s.fd >= 0 {
			// Fails on a bad descriptor only; then close says nothing either.
			_ = unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			s.end()
		}
	}
}

type heldSession struct {
	session
	run            *holdRun
	seed           uint64
	sent, received uint64
	asked          int // number of the last check that it took part in
}

func (s *heldSession) waits() bool { return s.fd >= 0 && s.received < s.sent }

func (s *heldSession) ask() {
	if s.fd < 0 {
		return
	}
	s.asked = s.run.checks
	if n := s.send(pattern.At(s.seed, s.sent, holdBytes)); n != holdBytes && s.fd >= 0 {
		s.fail(errors.New("a silent session has no room for eight bytes"))
		return
	}
	s.sent += holdBytes
}

func (s *heldSession) Ready(events uint32) {
	connecting := s.fd >= 0 && !s.up
	stands := s.established(events)
	if connecting {
		s.run.pending--
	}
	if !stands || !readable(events) {
		return
	}
	got, more := s.recv()
	if !more {
		return
	}
	if at := pattern.Check(s.seed, s.received, got); at >= 0 || s.received+uint64(len(got)) > s.sent {
		s.wrong(s.received + uint64(max(at, 0)))
		return
	}
	if s.received += uint64(len(got)); s.received == s.sent {
		s.run.checked++
	}
}
