package load

import (
	"time"

	"github.com/longsplice/longsplice/benchmarks/proc"
)

// CPU is seconds of processor time within the window.
type CPU struct {
	Target float64   `json:"target"` // the measured process and its descendants
	Self   float64   `json:"self"`   // the load generator
	Busy   []float64 `json:"busy"`   // each processor, whoever used it: kernel threads and other programs too
}

// Footprint is the measured process's resident memory while it holds that many sessions.
type Footprint struct {
	Sessions int   `json:"sessions"`
	RSS      int64 `json:"rss_bytes"`
}

// meter reads costs at the two ends of the window. A descendant that starts inside the window is not seen.
type meter struct {
	pids  []int
	at    time.Time
	start CPU
}

func (d *driver) startMeter() (*meter, error) {
	m := &meter{}
	if d.cfg.PID != 0 {
		pids, err := proc.Tree(d.cfg.PID)
		if err != nil {
			return nil, err
		}
		m.pids = pids
	}
	start, err := m.read()
	m.start, m.at = start, time.Now()
	return m, err
}

// stop writes the window's length and costs into the result.
func (m *meter) stop(res *Result) error {
	res.Seconds = time.Since(m.at).Seconds()
	end, err := m.read()
	if err != nil {
		return err
	}
	res.CPU = CPU{Target: end.Target - m.start.Target, Self: end.Self - m.start.Self, Busy: make([]float64, len(end.Busy))}
	for i := range end.Busy {
		res.CPU.Busy[i] = end.Busy[i] - m.start.Busy[i]
	}
	return nil
}

func (m *meter) read() (c CPU, err error) {
	if c.Target, err = proc.CPUSeconds(m.pids); err != nil {
		return c, err
	}
	if c.Self, err = proc.SelfCPUSeconds(); err != nil {
		return c, err
	}
	c.Busy, err = proc.Busy()
	return c, err
}
