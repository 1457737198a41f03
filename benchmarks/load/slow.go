package load

import (
	"errors"
	"fmt"
	"time"

	"github.com/longsplice/longsplice/benchmarks/proc"
	"golang.org/x/sys/unix"
)

// Classes of a Result of Slow.
const (
	SlowAlone   = "alone"   // the fast streams in the window's first half
	SlowBeside  = "beside"  // the fast streams in its second half, beside the stalled ones
	SlowStalled = "stalled" // the stalled ones, with the bytes that were left to be read at the end
)

const (
	slowTick = 10 * time.Millisecond  // between the reads of slow readers
	slowFill = 100 * time.Millisecond // nothing has come in for that long: buffers are full
)

// SlowConfig says that Fast streams run without a pause, alone for half of For, and then beside Stalled ones whose clients
// do not read. All come from a source (serve --mode source).
type SlowConfig struct {
	Config
	Fast, Stalled int
	FastBytes     uint64  // of a fast stream; when it has ended the next one takes its place
	StalledBytes  uint64  // of a stalled one: more than all buffers on its way hold
	ReadRate      float64 // bytes a second that each stalled client reads; 0: none
}

type slowRun struct {
	*driver
	cfg      SlowConfig
	stalled  []slowStream
	moved    uint64 // bytes of the fast streams so far
	drained  uint64 // bytes of the stalled ones
	stopping bool
	readAt   int64 // when the slow readers read last
}

// Slow runs until the second half has passed and every stream has ended with its last byte.
func Slow(cfg SlowConfig) (*Result, error) {
	if cfg.Fast < 1 || cfg.Stalled < 1 || cfg.FastBytes < 1 || cfg.StalledBytes < 1 || cfg.ReadRate < 0 {
		return nil, errors.New("load slow: needs fast >= 1, stalled >= 1, at least one byte for each, and read rate >= 0")
	}
	d, err := newDriver(cfg.Config, "slow")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &slowRun{driver: d, cfg: cfg, stalled: make([]slowStream, cfg.Stalled)}
	if err := r.openFast(); err != nil {
		return nil, err
	}
	m, err := r.startMeter()
	if err != nil {
		return nil, err
	}
	if err := r.halves(m.pids); err != nil {
		return nil, err
	}
	if err := m.stop(d.res); err != nil {
		return nil, err
	}
	return d.res, r.finish()
}

func (r *slowRun) openFast() error {
	err := r.openAll(r.cfg.Fast, func(int) {
		s := &slowStream{run: r, total: r.cfg.FastBytes, count: &r.moved}
		s.begin()
	})
	if err != nil {
		return err
	}
	return r.turnFor(r.driver.cfg.Warm)
}

// halves measures the fast streams without the stalled ones and with them.
func (r *slowRun) halves(pids []int) error {
	if err := r.half(SlowAlone, pids); err != nil {
		return err
	}
	if err := r.openStalled(); err != nil {
		return err
	}
	if err := r.half(SlowBeside, pids); err != nil {
		return err
	}
	r.res.Bytes = r.res.Classes[0].Bytes + r.res.Classes[1].Bytes
	return nil
}

func (r *slowRun) half(name string, pids []int) error {
	cpu, err := proc.CPUSeconds(pids)
	if err != nil {
		return err
	}
	began, moved := r.now(), r.moved
	if err := r.turnFor(r.cfg.For / 2); err != nil {
		return err
	}
	c := Class{Name: name, Sessions: r.cfg.Fast, Seconds: float64(r.now()-began) / 1e9, Bytes: r.moved - moved}
	end, err := proc.CPUSeconds(pids)
	if err != nil {
		return err
	}
	c.CPU = end - cpu
	r.res.Classes = append(r.res.Classes, c)
	f, err := r.footprint(r.live)
	r.res.Memory = append(r.res.Memory, f)
	r.notePressure(name, f.TCP)
	return err
}

// notePressure says when the streams shared less memory than they wanted: then the kernel slowed them, not the target.
func (r *slowRun) notePressure(name string, tcpBytes int64) {
	low, _, _, err := proc.TCPLimits()
	if err == nil && tcpBytes > low {
		r.res.note("%s: TCP buffers of this machine held %d bytes, net.ipv4.tcp_mem begins to press at %d: the kernel slows every stream, whatever the target does; stall fewer", name, tcpBytes, low)
	}
}

// openStalled returns when the buffers on the stalled streams' way are full, or have been filling as long as patience
// lasts.
func (r *slowRun) openStalled() error {
	err := r.openAll(r.cfg.Stalled, func(i int) {
		s := &r.stalled[i]
		s.run, s.total, s.count, s.slow = r, r.cfg.StalledBytes, &r.drained, true
		s.begin()
	})
	if err != nil {
		return err
	}
	if r.cfg.ReadRate > 0 {
		r.readAt = r.now()
		if err := r.tick(slowTick, r.readSlowly); err != nil {
			return err
		}
	}
	return r.fill()
}

// fill waits until nothing more comes in on the stalled streams; clients that read a little get the warm-up's time.
func (r *slowRun) fill() error {
	if r.cfg.ReadRate > 0 {
		return r.turnFor(r.driver.cfg.Warm)
	}
	deadline := r.now() + int64(r.driver.cfg.Patience)
	for last := -1; r.now() < deadline; {
		waits := r.waiting()
		if waits > 0 && waits == last {
			return nil
		}
		last = waits
		if err := r.turnFor(slowFill); err != nil {
			return err
		}
	}
	return nil
}

// waiting is how many bytes lie unread in the stalled clients' sockets.
func (r *slowRun) waiting() (sum int) {
	for i := range r.stalled {
		if s := &r.stalled[i]; s.fd >= 0 {
			n, _ := unix.IoctlGetInt(s.fd, unix.SIOCINQ)
			sum += n
		}
	}
	return sum
}

// readSlowly gives each slow reader what it may read since the last time.
func (r *slowRun) readSlowly() {
	now := r.now()
	bytes := r.cfg.ReadRate * float64(now-r.readAt) / 1e9
	r.readAt = now
	for i := range r.stalled {
		if s := &r.stalled[i]; s.fd >= 0 && s.slow && len(s.head) == 0 {
			s.allowed += bytes
			s.read(s.d.buf[:min(len(s.d.buf), int(s.allowed))])
		}
	}
}

// finish lets the fast streams end and the stalled ones read everything.
func (r *slowRun) finish() error {
	r.stopping = true
	before := r.drained
	for i := range r.stalled {
		r.stalled[i].resume()
	}
	for seen := ^uint64(0); seen != r.moved+r.drained && r.live > 0; {
		seen = r.moved + r.drained
		if _, err := r.turnUntil(r.driver.cfg.Patience, func() bool { return r.live == 0 }); err != nil {
			return err
		}
	}
	r.res.Classes = append(r.res.Classes, Class{Name: SlowStalled, Sessions: r.cfg.Stalled, Bytes: r.drained - before})
	if r.live > 0 {
		r.res.Failed += uint64(r.live)
		r.note(fmt.Errorf("%d streams stood still for %s", r.live, r.driver.cfg.Patience))
	}
	return nil
}
