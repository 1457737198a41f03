package load

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"golang.org/x/sys/unix"
)

// BulkConfig says that Streams streams together carry Bytes: down from a source, Up to a sink, or Both at once, half of them
// each way, with a server in mode both. The window is the whole run, from the first connect to the last byte confirmed, so
// that no byte in flight is counted twice or not at all.
type BulkConfig struct {
	Config
	Streams  int
	Bytes    uint64
	Up, Both bool
}

type bulkRun struct {
	*driver
	cfg   BulkConfig
	each  uint64 // bytes per stream and direction
	moved uint64 // bytes of all streams so far
}

// Bulk runs until every stream has ended.
func Bulk(cfg BulkConfig) (*Result, error) {
	parts := uint64(max(cfg.Streams, 0))
	if cfg.Both {
		parts *= 2
	}
	if parts == 0 || cfg.Bytes < parts {
		return nil, BadConfig("load bulk: needs streams >= 1 and at least one byte for each, and each way")
	}
	d, err := newDriver(cfg.Config, "bulk")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	r := &bulkRun{driver: d, cfg: cfg, each: cfg.Bytes / parts}
	m, err := r.startMeter()
	if err != nil {
		return nil, err
	}
	for i := range cfg.Streams {
		r.open(i)
	}
	d.stage.begin("measuring", func() float64 { return float64(r.moved) / float64(cfg.Bytes) })
	if err := r.finish(); err != nil {
		return nil, err
	}
	return d.res, m.stop(d.res)
}

// finish turns the loop until all streams have ended or none has moved for as long as patience lasts.
func (r *bulkRun) finish() error {
	for seen := ^uint64(0); seen != r.moved; {
		seen = r.moved
		if done, err := r.turnUntil(r.driver.cfg.Patience, func() bool { return r.live == 0 }); done || err != nil {
			return err
		}
	}
	r.res.Failed += uint64(r.live)
	r.note(fmt.Errorf("%d streams stood still for %s", r.live, r.driver.cfg.Patience))
	return nil
}

func (r *bulkRun) open(i int) {
	b := bulkStream{run: r, seed: pattern.Seed(i)}
	b.head = serve.Preface{Seed: b.seed, Length: r.each}.Append(nil)
	switch {
	case r.cfg.Both:
		s := &twoWay{bulkStream: b}
		r.dial(&s.session, s, unix.EPOLLOUT)
	case r.cfg.Up:
		s := &upload{bulkStream: b}
		r.dial(&s.session, s, unix.EPOLLOUT)
	default:
		s := &download{bulkStream: b}
		r.dial(&s.session, s, unix.EPOLLOUT)
	}
}

// bulkStream is level-triggered and moves one chunk per event.
type bulkStream struct {
	session
	run  *bulkRun
	seed uint64
	head []byte // what is left of the preface
	pos  uint64
}

// opened sends the preface and says whether it is out.
func (s *bulkStream) opened() bool {
	if len(s.head) > 0 {
		s.head = s.head[s.send(s.head):]
	}
	return len(s.head) == 0 && s.fd >= 0
}

func (s *bulkStream) want(events uint32) {
	if err := s.d.loop.Want(s.fd, events); err != nil {
		s.fail(err)
	}
}

type download struct{ bulkStream }

func (s *download) Ready(events uint32) {
	if !s.established(events) {
		return
	}
	if len(s.head) > 0 {
		if s.opened() {
			s.want(unix.EPOLLIN)
		}
		return
	}
	n, errno := epoll.Recv(s.fd, s.d.buf)
	switch {
	case errno == unix.EAGAIN:
	case errno != 0:
		s.fail(fmt.Errorf("receive: %w", errno))
	case n == 0 && s.pos == s.run.each:
		s.d.res.Bytes += s.pos
		s.end()
	case n == 0:
		s.fail(fmt.Errorf("receive: FIN after %d bytes of %d", s.pos, s.run.each))
	default:
		s.take(s.d.buf[:n])
	}
}

func (s *download) take(got []byte) {
	at := pattern.Check(s.seed, s.pos, got)
	if at < 0 && s.pos+uint64(len(got)) > s.run.each {
		at = int(s.run.each - s.pos)
	}
	if at >= 0 {
		s.wrong(s.pos + uint64(at))
		return
	}
	s.pos += uint64(len(got))
	s.run.moved += uint64(len(got))
}

type upload struct {
	bulkStream
	verdict []byte
}

func (s *upload) Ready(events uint32) {
	if !s.established(events) || !s.opened() {
		return
	}
	if s.pos < s.run.each {
		n := uint64(s.send(pattern.At(s.seed, s.pos, s.run.each-s.pos)))
		s.pos += n
		s.run.moved += n
		if s.pos == s.run.each {
			s.want(unix.EPOLLIN)
		}
		return
	}
	got, more := s.recv()
	if !more {
		return
	}
	if s.verdict = append(s.verdict, got...); len(s.verdict) >= serve.VerdictBytes {
		s.judge(serve.ParseVerdict(s.verdict))
	}
}

// judge ends the stream by what the sink says it received.
func (s *upload) judge(v serve.Verdict) {
	switch {
	case v.FirstWrong != serve.NoneWrong:
		s.wrong(v.FirstWrong)
	case v.Received != s.run.each || len(s.verdict) != serve.VerdictBytes:
		s.fail(fmt.Errorf("the sink received %d bytes of %d", v.Received, s.run.each))
	default:
		s.d.res.Bytes += s.pos
		s.end()
	}
}
