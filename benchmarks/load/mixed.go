package load

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/longsplice/longsplice/benchmarks/pattern"
)

// Classes of a Result of Mixed.
const (
	MixedIdle   = "idle"
	MixedChatty = "chatty"
	MixedBulk   = "bulk"
)

const (
	mixedGreeting = 8                     // bytes of the message of silent sessions, one at the start and one at the end
	mixedTick     = 10 * time.Millisecond // how often bulk that keeps to a rate gets its share
)

// MixedConfig says that Sessions sessions share a balancer as they do in life: 90 in a hundred silent, 9 that talk on a
// schedule, 1 that moves bulk, up and down at once (through an echo).
type MixedConfig struct {
	Config
	Sessions     int
	MessageBytes int     // of the chatty
	Rate         float64 // messages a second of all chatty sessions together
	BulkRate     float64 // bytes a second of all bulk sessions together, each way; 0: as fast as they can
}

type mixedRun struct {
	*driver
	cfg       MixedConfig
	silent    *talk // never on schedule
	chatty    *talk
	bulk      []mixedStream
	latency   histogram
	messages  uint64
	measuring bool
	flowing   bool
	flowsAt   int64  // when bulk began
	moved     uint64 // bulk bytes that are back
}

// Mixed opens the population, reads what it costs while all are silent, and lets those talk and stream who do.
func Mixed(cfg MixedConfig) (*Result, error) {
	if cfg.Sessions < 3 || cfg.MessageBytes < 1 || cfg.MessageBytes > pattern.MaxChunk || cfg.Rate <= 0 || cfg.BulkRate < 0 {
		return nil, errors.New("load mixed: needs sessions >= 3, 1 <= message bytes <= 262144, rate > 0 and bulk rate >= 0")
	}
	d, err := newDriver(cfg.Config, "mixed")
	if err != nil {
		return nil, err
	}
	defer d.loop.Close()
	bulk, chatty := max(cfg.Sessions/100, 1), max(cfg.Sessions*9/100, 1)
	r := &mixedRun{driver: d, cfg: cfg, latency: newHistogram(), bulk: make([]mixedStream, bulk)}
	r.chatty = newTalk(d, r, chatty, cfg.MessageBytes)
	r.silent = newTalk(d, r, cfg.Sessions-chatty-bulk, mixedGreeting)
	for _, part := range []func() error{r.open, r.begin, r.window, r.finish} {
		if err := part(); err != nil {
			return nil, err
		}
	}
	return d.res, nil
}

// open connects the sessions in an order that mixes the classes, so that every backend gets some of each, and has each
// echo once.
func (r *mixedRun) open() error {
	order := rand.New(rand.NewPCG(1, 2)).Perm(r.cfg.Sessions)
	bulk, chatty := len(r.bulk), len(r.chatty.speakers)
	err := r.openAll(r.cfg.Sessions, func(i int) {
		switch k := order[i]; {
		case k < bulk:
			r.bulk[k].begin(r)
		case k < bulk+chatty:
			r.chatty.speakers[k-bulk].begin()
		default:
			r.silent.speakers[k-bulk-chatty].begin()
		}
	})
	if err != nil {
		return err
	}
	_, err = r.turnUntil(r.driver.cfg.Patience, func() bool { return r.silent.waiting()+r.chatty.waiting() == 0 })
	if err != nil {
		return err
	}
	f, err := r.footprint(r.live)
	r.res.Memory = append(r.res.Memory, f)
	return err
}

// begin lets them talk and stream.
func (r *mixedRun) begin() error {
	r.flowing, r.flowsAt = true, r.now()
	if err := r.tick(mixedTick, r.pump); err != nil {
		return err
	}
	r.pump()
	if err := r.chatty.start(r.cfg.Rate); err != nil {
		return err
	}
	return r.turnFor(r.driver.cfg.Warm)
}

func (r *mixedRun) window() error {
	m, err := r.startMeter()
	if err != nil {
		return err
	}
	r.measuring = true
	began, moved := r.now(), r.moved
	if err := r.turnFor(r.cfg.For); err != nil {
		return err
	}
	r.measuring = false
	seconds := float64(r.now()-began) / 1e9
	r.res.Sessions, r.res.Messages, r.res.Bytes = uint64(r.live), r.messages, r.moved-moved
	r.res.Latency = r.latency.summary()
	r.res.Classes = []Class{
		{Name: MixedIdle, Sessions: len(r.silent.speakers)},
		{
			Name: MixedChatty, Sessions: len(r.chatty.speakers), Seconds: seconds,
			Messages: r.messages, Bytes: r.messages * r.chatty.messageBytes, Latency: r.res.Latency,
		},
		{Name: MixedBulk, Sessions: len(r.bulk), Seconds: seconds, Bytes: r.res.Bytes},
	}
	return m.stop(r.res)
}

// finish waits for what is under way, and then for one more answer from each silent session.
func (r *mixedRun) finish() error {
	r.flowing = false
	if err := r.chatty.finish(); err != nil {
		return err
	}
	if err := r.land(); err != nil {
		return err
	}
	for i := range r.silent.speakers {
		if s := &r.silent.speakers[i]; s.fd >= 0 {
			s.due++
			s.flush()
		}
	}
	return r.silent.finish()
}

// land waits for the bulk bytes that are still on their way, as long as any come.
func (r *mixedRun) land() error {
	for seen := ^uint64(0); seen != r.moved && r.flying() > 0; {
		seen = r.moved
		if _, err := r.turnUntil(r.driver.cfg.Patience, func() bool { return r.flying() == 0 }); err != nil {
			return err
		}
	}
	if n := r.flying(); n > 0 {
		r.res.Failed += uint64(n)
		r.note(fmt.Errorf("%d bulk streams stood still for %s", n, r.driver.cfg.Patience))
	}
	return nil
}

// flying counts the bulk streams with bytes on their way.
func (r *mixedRun) flying() (n int) {
	for i := range r.bulk {
		if s := &r.bulk[i]; s.fd >= 0 && s.received < s.sent {
			n++
		}
	}
	return n
}

func (r *mixedRun) greeted(*speaker) {}

func (r *mixedRun) answered(s *speaker, ns int64) {
	if r.measuring && s.talk == r.chatty {
		r.latency.record(ns)
		r.messages++
	}
}

func (r *mixedRun) lost(s *speaker, err error) { s.fail(err) }
