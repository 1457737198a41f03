// Package load is the benchmarks' load generator: echo, bulk, churn and idle sessions against any address.
//
// One goroutine runs one loop and owns everything here. Every byte that comes back is compared with the pattern;
// what was wrong or lost is counted in the Result, never dropped silently.
package load

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"golang.org/x/sys/unix"
)

const (
	connectAtOnce = 64               // connections under way while sessions are opened: below any accept queue's length
	connectLimit  = 15 * time.Second // for all sessions to be there
	patience      = 5 * time.Second  // Config.Patience's default
)

// Config is what all workloads need.
type Config struct {
	To      []netip.AddrPort // used in turn, one per session
	Sources []netip.Addr     // local addresses used in turn; none: the kernel chooses
	PID     int              // process whose tree's costs are measured; 0: none
	Warm    time.Duration    // load before the window
	For     time.Duration    // the window, for workloads that have one
	// WebSocket opens every session with RFC 6455's handshake and sends each message as a frame; echo, push and churn know it.
	WebSocket bool
	Path      string // of the handshake's request; "": "/"
	// Syscalls asks for the target's system calls to be counted, which needs privileges and costs every call something.
	Syscalls bool
	// Patience is how long answers may take at the end, and streams may stand still, before that counts as failure;
	// 0: five seconds.
	Patience time.Duration
	// Stop, when it is closed, ends the run with ErrStopped; nil: nothing does.
	Stop <-chan struct{}
	// Progress is told now and then what is being done and which part of it (0..1) is; nil: nobody is.
	Progress func(doing string, part float64)
}

// BadConfig is the error of a configuration that cannot be run, whatever answers.
type BadConfig string

func (e BadConfig) Error() string { return string(e) }

// ErrStopped says that Config.Stop ended the run.
var ErrStopped = errors.New("stopped before the end")

// driver holds what the workloads share: the loop, the clock, the opening of connections, the account of faults.
type driver struct {
	cfg     Config
	loop    *epoll.Loop
	res     *Result
	began   time.Time
	buf     []byte
	dialled int // connections begun
	up      int // sessions that are or were established
	live    int // sessions that have not ended
	stage   progress
}

func newDriver(cfg Config, workload string) (*driver, error) {
	if len(cfg.To) == 0 {
		return nil, BadConfig("load " + workload + ": no address to connect to")
	}
	cfg.Patience, cfg.Path = cmp.Or(cfg.Patience, patience), cmp.Or(cfg.Path, "/")
	loop, err := epoll.New()
	if err != nil {
		return nil, err
	}
	return &driver{cfg: cfg, loop: loop, res: &Result{Workload: workload}, began: time.Now(), buf: make([]byte, 256<<10)}, nil
}

// now is nanoseconds since the driver was made.
func (d *driver) now() int64 { return int64(time.Since(d.began)) }

// dial begins the next connection; s is its place in the account of sessions. A connection that cannot even be begun
// counts as a failed session.
func (d *driver) dial(s *session, h epoll.Handler, events uint32) {
	i := d.dialled
	d.dialled++
	var source netip.Addr
	if n := len(d.cfg.Sources); n > 0 {
		source = d.cfg.Sources[i%n]
	}
	*s = session{d: d, fd: -1}
	to := d.cfg.To[i%len(d.cfg.To)]
	if d.cfg.WebSocket {
		s.web = newWebSocket(to.String(), d.cfg.Path)
	}
	fd, err := epoll.Connect(to, source)
	if err == nil {
		if err = d.loop.Add(fd, events, h); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		d.res.Failed++
		d.note(err)
		return
	}
	s.fd = fd
	d.live++
}

// openAll opens n sessions, a few at a time, and returns when each is established or has failed.
func (d *driver) openAll(n int, open func(i int)) error {
	opened, before := 0, d.up+int(d.res.Failed)
	pending := func() int { return opened - (d.up + int(d.res.Failed) - before) }
	deadline := time.Now().Add(connectLimit)
	d.stage.begin("opening sessions", func() float64 { return float64(opened-pending()) / float64(n) })
	for opened < n || pending() > 0 {
		for opened < n && pending() < connectAtOnce {
			open(opened)
			opened++
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("open %d sessions: %d not established within %s", n, n-opened+pending(), connectLimit)
		}
		if err := d.turn(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// turn hands out one batch of events.
func (d *driver) turn(wait time.Duration) error {
	select {
	case <-d.cfg.Stop:
		return ErrStopped
	default:
	}
	if d.cfg.Progress != nil {
		d.stage.tell(d.cfg.Progress)
	}
	return d.loop.Turn(wait)
}

// turnUntil runs the loop until done or until the limit has passed; it returns whether done came first.
func (d *driver) turnUntil(limit time.Duration, done func() bool) (bool, error) {
	deadline := time.Now().Add(limit)
	for !done() {
		left := time.Until(deadline)
		if left <= 0 {
			return false, nil
		}
		if err := d.turn(min(left, 50*time.Millisecond)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// turnFor runs the loop for that long, or until no session is left.
func (d *driver) turnFor(t time.Duration) error {
	began := time.Now()
	d.stage.during(func() float64 { return float64(time.Since(began)) / float64(t) })
	_, err := d.turnUntil(t, func() bool { return d.live == 0 })
	return err
}

func (d *driver) note(err error) {
	if d.res.FirstError == "" {
		d.res.FirstError = err.Error()
	}
}

// session is one connection's place in the account; workloads embed it.
type session struct {
	d   *driver
	fd  int // -1: ended
	up  bool
	web *webSocket // nil: bytes without framing
}

// established is to be called at every event: the first one tells how connect ended, and those after it move WebSocket's
// handshake on. True: the session may send and receive.
func (s *session) established(events uint32) bool {
	if s.fd < 0 {
		return false
	}
	if s.up {
		return s.web == nil || s.web.open || s.shake(events)
	}
	if events&(unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		code, _ := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		s.fail(fmt.Errorf("connect: %w", unix.Errno(code)))
		return false
	}
	s.up = true
	if s.web != nil {
		return s.shake(events)
	}
	s.d.up++
	return true
}

// fail ends the session as failed.
func (s *session) fail(err error) {
	s.d.res.Failed++
	s.d.note(err)
	s.end()
}

// wrong ends the session because the byte at pos was not what was sent.
func (s *session) wrong(pos uint64) {
	s.d.res.Wrong++
	s.d.note(fmt.Errorf("wrong byte at position %d of a stream", pos))
	s.end()
}

// end closes the session; ending twice is the same as once.
func (s *session) end() {
	if s.fd < 0 {
		return
	}
	s.d.loop.Drop(s.fd)
	s.fd = -1
	s.d.live--
}

// readable says whether an event gives a reason to recv.
func readable(events uint32) bool { return events&(unix.EPOLLIN|epoll.Hangup) != 0 }

// recv reads into the driver's buffer. More is false if there is nothing, or the session has ended: with an error, or
// with a FIN, which is a fault here too.
func (s *session) recv() (got []byte, more bool) {
	if w := s.web; w != nil && len(w.answer) > 0 { // came with the handshake's answer
		got, w.answer = w.answer, nil
		return got, true
	}
	return s.received(epoll.Recv(s.fd, s.d.buf))
}

// received judges what a recv into the driver's buffer brought.
func (s *session) received(n int, errno unix.Errno) (got []byte, more bool) {
	switch {
	case errno == unix.EAGAIN:
		return nil, false
	case errno != 0:
		s.fail(fmt.Errorf("receive: %w", errno))
		return nil, false
	case n == 0:
		s.fail(fmt.Errorf("receive: the stream ended early"))
		return nil, false
	}
	return s.d.buf[:n], true
}

// send writes what the kernel takes of p; 0 also if the session ended with an error.
func (s *session) send(p []byte) int {
	n, errno := epoll.Send(s.fd, p)
	if errno != 0 && errno != unix.EAGAIN {
		s.fail(fmt.Errorf("send: %w", errno))
	}
	return n
}

// allEnd waits for the sessions' ends; those that do not end within the patience have failed, and why says it.
func (d *driver) allEnd(why string) error {
	_, err := d.turnUntil(d.cfg.Patience, func() bool { return d.live == 0 })
	if d.live > 0 {
		d.res.Failed += uint64(d.live)
		d.note(errors.New(why))
	}
	return err
}
