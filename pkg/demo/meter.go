package demo

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// meter shows numbers while the story runs.
type meter struct {
	d       *demo
	quit    chan struct{}
	running sync.WaitGroup
	last    sample
}

// sample is what has been moved until a moment.
type sample struct {
	at              time.Time
	messages        int64
	copied, spliced uint64
}

// How often numbers are shown: where they replace each other, and where they do not.
const (
	liveEvery = time.Second
	lineEvery = 5 * time.Second
)

func startMeter(d *demo) *meter {
	m := &meter{d: d, quit: make(chan struct{}), last: d.sample()}
	every := lineEvery
	if d.screen.terminal {
		every = liveEvery
	}
	m.running.Go(func() { m.run(every) })
	return m
}

func (m *meter) stop() {
	close(m.quit)
	m.running.Wait()
}

func (m *meter) run(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-m.quit:
			return
		case <-tick.C:
			m.show()
		}
	}
}

func (m *meter) show() {
	now := m.d.sample()
	was := m.last
	m.last = now
	seconds := now.at.Sub(was.at).Seconds()
	if seconds <= 0 {
		return
	}
	moved := now.copied - was.copied + now.spliced - was.spliced
	percent := uint64(0)
	if moved > 0 {
		percent = (now.spliced - was.spliced) * 100 / moved
	}
	text := fmt.Sprintf("%d held, %.0f messages/s, %s/s, %d %% spliced", m.d.bal.Status().Sessions.Held,
		float64(now.messages-was.messages)/seconds, size(int64(float64(moved)/seconds)), percent)
	m.d.screen.status(text + m.d.perBackend())
}

// perBackend is the sessions of each backend, where they fit into a line.
func (d *demo) perBackend() string {
	const most = 4
	if d.Backends > most {
		return ""
	}
	var b strings.Builder
	for _, x := range d.backends {
		if x.alive() {
			fmt.Fprintf(&b, "  %s %d", x.name, x.now().book.open.Load())
		} else {
			fmt.Fprintf(&b, "  %s dead", x.name)
		}
	}
	return "  " + b.String()
}

func (d *demo) sample() sample {
	s := sample{at: time.Now()}
	for _, x := range d.lives() {
		s.messages += x.book.returned.messages.Load()
	}
	for _, w := range d.bal.Workers() {
		s.copied += w.CopiedBytes
		s.spliced += w.SplicedBytes
	}
	return s
}
