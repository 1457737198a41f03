package load

import (
	"time"

	"github.com/longsplice/longsplice/benchmarks/proc"
	"github.com/longsplice/longsplice/benchmarks/syscount"
	"golang.org/x/sys/unix"
)

// CPU is seconds of processor time within the window.
type CPU struct {
	Target float64   `json:"target"` // the measured process and its descendants
	Self   float64   `json:"self"`   // the load generator
	Busy   []float64 `json:"busy"`   // each processor, whoever used it: kernel threads and other programs too
}

// Footprint is what the measured processes hold, and the machine's kernel, while there are that many sessions. The
// kernel's share holds both ends of every connection on this machine, the load generator's and the backend's too.
type Footprint struct {
	Sessions int   `json:"sessions"`
	RSS      int64 `json:"rss_bytes"`
	FDs      int   `json:"fds,omitempty"`
	Pipes    int   `json:"pipe_fds,omitempty"` // of the fds, those that are ends of pipes
	Slab     int64 `json:"slab_bytes,omitempty"`
	TCP      int64 `json:"tcp_bytes,omitempty"`
	Sockets  int   `json:"sockets,omitempty"`
}

// footprint reads the target's memory and fds now; without a target the kernel's figures only.
func (d *driver) footprint(sessions int) (Footprint, error) {
	k, err := proc.ReadKernel()
	f := Footprint{Sessions: sessions, Slab: k.Slab, TCP: k.TCP, Sockets: k.Sockets}
	if err != nil || d.cfg.PID == 0 {
		return f, err
	}
	pids, err := proc.Tree(d.cfg.PID)
	if err != nil {
		return f, err
	}
	if f.RSS, err = proc.RSS(pids); err != nil {
		return f, err
	}
	f.FDs, f.Pipes, err = proc.FDs(pids)
	return f, err
}

// meter reads costs at the two ends of the window. A descendant that starts inside the window is not seen.
type meter struct {
	d     *driver
	pids  []int
	calls *syscount.Counter // nil: not counted
	at    time.Time
	start CPU
}

func (d *driver) startMeter() (*meter, error) {
	m := &meter{d: d}
	d.stage.begin("measuring", nil)
	if d.cfg.PID != 0 {
		pids, err := proc.Tree(d.cfg.PID)
		if err != nil {
			return nil, err
		}
		m.pids = pids
	}
	m.countCalls()
	start, err := m.read()
	m.start, m.at = start, time.Now()
	return m, err
}

// countCalls begins counting system calls if that was asked for; where it cannot, the result says so.
func (m *meter) countCalls() {
	if !m.d.cfg.Syscalls {
		return
	}
	if len(m.pids) == 0 {
		m.d.res.note("system calls are not counted: no process to measure was named")
		return
	}
	calls, err := syscount.Start(m.pids)
	if err != nil {
		m.d.res.note("system calls are not counted: %v", err)
		return
	}
	m.calls = calls
}

// stop writes the window's length and costs into the result, and who was the limit. The result's latency is there already.
func (m *meter) stop(res *Result) error {
	res.Seconds = time.Since(m.at).Seconds()
	m.d.stage.begin("ending", nil)
	end, err := m.read()
	if err != nil {
		return err
	}
	if err := m.stopCalls(res); err != nil {
		return err
	}
	res.CPU = CPU{Target: end.Target - m.start.Target, Self: end.Self - m.start.Self, Busy: make([]float64, len(end.Busy))}
	for i := range end.Busy {
		res.CPU.Busy[i] = end.Busy[i] - m.start.Busy[i]
	}
	held, err := m.d.footprint(m.d.live)
	if err != nil {
		return err
	}
	res.Held = &held
	res.judge(onlyCPU())
	return nil
}

func (m *meter) stopCalls(res *Result) (err error) {
	if m.calls == nil {
		return nil
	}
	res.Syscalls, err = m.calls.Read()
	if stopErr := m.calls.Stop(); err == nil {
		err = stopErr
	}
	m.calls = nil
	return err
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

// onlyCPU is the processor that this process is bound to, -1 if it may use several.
func onlyCPU() int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil || set.Count() != 1 {
		return -1
	}
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			return cpu
		}
	}
	return -1
}
