package scale

import (
	"time"

	"github.com/longsplice/longsplice/benchmarks/proc"
)

const (
	quietWindow = time.Second // or Rest, if that is shorter
	quietCPU    = 0.01        // processors for each balancer: what a process uses that merely turns round now and then
)

// measure waits for the balancers to come to rest, watches them for a while, and reads everything.
func (r *run) measure(sessions int) (m Measure, err error) {
	if err := r.settle(); err != nil {
		return m, err
	}
	m.Sessions = sessions
	if m.RestCPU, m.RestSeconds, err = r.use(r.cfg.Rest); err != nil {
		return m, err
	}
	if m.RSS, err = proc.RSS(r.balancers); err != nil {
		return m, err
	}
	if m.FDs, _, err = proc.FDs(r.balancers); err != nil {
		return m, err
	}
	k, err := proc.ReadKernel()
	if err != nil {
		return m, err
	}
	m.Slab, m.TCP, m.Sockets = k.Slab, k.TCP, k.Sockets
	if r.group != nil {
		if m.Kernel, err = r.group.bytes(); err != nil {
			return m, err
		}
	}
	m.Available, err = proc.Available()
	return m, err
}

// kernel is the kernel's memory for the balancers: two of the four sockets that a session has here.
func (m Measure) kernel() int64 {
	if m.Kernel > 0 {
		return m.Kernel
	}
	return (m.Slab + m.TCP) / 2
}

// settle returns when the balancers use next to nothing, or no less than in the window before. The options that a session gets
// a second after its start are set by then.
func (r *run) settle() error {
	last := -1.0
	for deadline := time.Now().Add(quietLimit); time.Now().Before(deadline); {
		cpu, seconds, err := r.use(min(quietWindow, r.cfg.Rest))
		if err != nil {
			return err
		}
		share := cpu / seconds
		if share < quietCPU*float64(len(r.balancers)) || last >= 0 && share > 0.9*last {
			return nil
		}
		last = share
	}
	return nil
}

// use is what the balancers use of the processors in a time, in seconds, and how long that was.
func (r *run) use(d time.Duration) (cpu, seconds float64, err error) {
	before, err := proc.CPUSeconds(r.balancers)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	select {
	case <-r.ctx.Done():
		return 0, 0, r.ctx.Err()
	case <-time.After(d):
	}
	after, err := proc.CPUSeconds(r.balancers)
	return after - before, time.Since(began).Seconds(), err
}
