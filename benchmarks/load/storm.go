package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/proc"
	"golang.org/x/sys/unix"
)

// stormQuiet is how long no further session may have been cut before a storm whose size is not known counts as over.
const stormQuiet = 2 * time.Second

// StormConfig says that Sessions sessions over several backends talk at Rate when one backend dies, and that its clients
// all come back at once, without a pause between attempts: the worst that clients can do. For is
// the time before, Warm that before and after it.
type StormConfig struct {
	Config
	Sessions     int
	MessageBytes int
	Rate         float64       // messages per second of all sessions together
	Victim       Victim        // nil: somebody else kills, during For or within Limit after it
	Limit        time.Duration // for all to be back; 0: a minute
}

// Victim is the backend that dies.
type Victim interface {
	Held() (int, error) // sessions, those of other clients too
	Kill() error
}

// Process is a Victim that ends as by a crash.
type Process int

// Held counts what the process has accepted.
func (p Process) Held() (int, error) {
	held, err := proc.Accepted([]int{int(p)})
	if err == nil && held == 0 {
		err = fmt.Errorf("process %d holds no session: is it a backend?", p)
	}
	return held, err
}

// Kill sends SIGKILL.
func (p Process) Kill() error {
	if err := unix.Kill(int(p), unix.SIGKILL); err != nil {
		return fmt.Errorf("kill process %d: %w", p, err)
	}
	return nil
}

// stormRun: a session that ends once is cut and comes back; one that ends a second time, or before or after the storm,
// has failed.
type stormRun struct {
	*talk
	cfg                       StormConfig
	ret                       Return
	part                      stormPart
	zero                      int64 // when the storm began
	away                      int   // cut and not back
	pids                      []int // the target's processes
	cpu                       float64
	cut                       []bool
	before, answer, elsewhere histogram
}

type stormPart int

const (
	opening stormPart = iota
	calm              // before; what is lost begins the storm if nobody here does
	storming
	over
)

// Storm runs until every client has its answer, or until the limit.
func Storm(cfg StormConfig) (*Result, error) {
	if cfg.Sessions < 2 || cfg.MessageBytes < 1 || cfg.MessageBytes > pattern.MaxChunk || cfg.Rate <= 0 {
		return nil, errors.New("load storm: needs sessions >= 2, 1 <= message bytes <= 262144 and rate > 0")
	}
	if cfg.Limit == 0 {
		cfg.Limit = time.Minute
	}
	d, err := newDriver(cfg.Config, "storm")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &stormRun{cfg: cfg, cut: make([]bool, cfg.Sessions), before: newHistogram(), answer: newHistogram(), elsewhere: newHistogram()}
	r.talk = newTalk(d, r, cfg.Sessions, cfg.MessageBytes)
	if err := r.settle(); err != nil {
		return nil, err
	}
	if err := r.storm(); err != nil {
		return nil, err
	}
	r.part = over
	r.giveUp()
	if err := r.turnFor(cfg.Warm); err != nil {
		return nil, err
	}
	if err := r.finish(); err != nil {
		return nil, err
	}
	r.report()
	return d.res, nil
}

// settle opens the sessions, has each echo once, and lets them talk for a while.
func (r *stormRun) settle() error {
	if err := r.openAll(r.cfg.Sessions, func(i int) { r.speakers[i].begin() }); err != nil {
		return err
	}
	if _, err := r.turnUntil(r.driver.cfg.Patience, func() bool { return r.waiting() == 0 }); err != nil {
		return err
	}
	if err := r.count(); err != nil {
		return err
	}
	if err := r.talk.start(r.cfg.Rate); err != nil {
		return err
	}
	if err := r.turnFor(r.driver.cfg.Warm); err != nil {
		return err
	}
	r.part = calm
	_, err := r.turnUntil(r.cfg.For, func() bool { return r.live == 0 || r.part == storming })
	return err
}

// count asks the victim now, since the answer takes a while and nobody talks yet.
func (r *stormRun) count() (err error) {
	if r.cfg.Victim != nil {
		r.ret.Held, err = r.cfg.Victim.Held()
	}
	return err
}

func (r *stormRun) storm() error {
	m, err := r.startMeter()
	if err != nil {
		return err
	}
	r.pids = m.pids
	if r.cpu, err = proc.CPUSeconds(r.pids); err != nil {
		return err
	}
	if r.cfg.Victim != nil {
		r.part, r.zero = storming, r.now()
		if err := r.cfg.Victim.Kill(); err != nil {
			return err
		}
	}
	if _, err := r.turnUntil(r.cfg.Limit, r.passed); err != nil {
		return err
	}
	return m.stop(r.res)
}

// passed says that all who were cut are back, and that no more will be.
func (r *stormRun) passed() bool {
	if r.live == 0 {
		return true
	}
	if r.away > 0 || r.ret.Cut == 0 {
		return false
	}
	if r.ret.Held > 0 && r.ret.Cut >= r.ret.Held {
		return true
	}
	return r.now()-r.zero-int64(r.ret.LastCut*1e9) > int64(stormQuiet)
}

// giveUp fails those who are still away.
func (r *stormRun) giveUp() {
	for i := range r.speakers {
		if s := &r.speakers[i]; s.fd >= 0 && r.cut[i] && s.back == 0 {
			s.fail(fmt.Errorf("a client that was cut had no answer within %s", r.cfg.Limit))
		}
	}
}

func (r *stormRun) report() {
	switch {
	case r.ret.Cut == 0:
		r.res.Failed++
		r.note(fmt.Errorf("no session was cut within %s", r.cfg.Limit))
	case r.ret.Held > 0 && r.ret.Cut > r.ret.Held:
		r.res.Failed += uint64(r.ret.Cut - r.ret.Held)
		r.note(fmt.Errorf("%d sessions were cut, the backend held %d: others were disturbed", r.ret.Cut, r.ret.Held))
	case r.ret.Held > r.ret.Cut:
		r.res.note("the backend held %d sessions, %d were cut: the others were other clients', or learnt nothing of it", r.ret.Held, r.ret.Cut)
	}
	r.ret.Before, r.ret.Answer, r.ret.Elsewhere = r.before.summary(), r.answer.summary(), r.elsewhere.summary()
	r.res.Return, r.res.Sessions = &r.ret, uint64(r.ret.Returned)
}

func (r *stormRun) greeted(s *speaker) {
	if !r.cut[s.index] {
		return
	}
	ns := r.now() - r.zero
	r.answer.record(ns)
	r.ret.Returned++
	r.ret.Seconds = float64(ns) / 1e9
	if r.away--; r.away == 0 {
		r.readCPU()
	}
}

// readCPU is called whenever nobody is away: the last time counts.
func (r *stormRun) readCPU() {
	now, err := proc.CPUSeconds(r.pids)
	if err != nil {
		r.note(err)
		return
	}
	r.ret.CPU = now - r.cpu
}

func (r *stormRun) answered(s *speaker, ns int64) {
	switch {
	case r.part == calm:
		r.before.record(ns)
	case r.part == storming && !r.cut[s.index]:
		r.elsewhere.record(ns)
		r.res.Messages++
	}
}

// lost decides whether a session's end is the storm's, and if so sends the client back at once.
func (r *stormRun) lost(s *speaker, err error) {
	if r.part == calm && r.cfg.Victim == nil {
		r.part, r.zero = storming, r.now()
	}
	first := !r.cut[s.index]
	if r.part != storming || !first && s.back > 0 {
		s.fail(err)
		return
	}
	if first {
		r.cut[s.index] = true
		r.ret.Cut++
		r.away++
		r.ret.LastCut = float64(r.now()-r.zero) / 1e9
	} else {
		r.ret.Refused++
	}
	s.end()
	r.ret.Attempts++
	if s.begin(); s.fd < 0 {
		r.away-- // not even begun: counted as failed
	}
}
