package balancer

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/longsplice/longsplice/bpf"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// FeatureSteering is the program that chooses the worker of a new connection.
const FeatureSteering = "steering by BPF (sk_reuseport)"

// SelfTest tries what longsplice would like of this kernel: sys.Probe, and the programs of package bpf.
func SelfTest(pipeBytes int) []sys.Feature {
	s, err := bpf.Load(2)
	if err == nil {
		s.Close()
	}
	return append(sys.Probe(pipeBytes), steeringFeature(err))
}

func steeringFeature(err error) sys.Feature {
	f := sys.Feature{
		Name: FeatureSteering, Tried: true, Present: err == nil, Since: bpf.Since,
		Fallback: "the kernel spreads new connections over the workers by a hash",
	}
	if err != nil {
		f.Value, f.Denied = err.Error(), errors.Is(err, fs.ErrPermission)
	}
	return f
}

// loadSteering brings the program into the kernel. Without it the kernel's hash serves, and nothing else is different.
func (b *Balancer) loadSteering() sys.Feature {
	load := b.loadBPF
	if load == nil {
		load = bpf.Load
	}
	s, err := load(b.workerCount)
	if err != nil {
		b.notSteered = err.Error()
	}
	b.steering = s
	return steeringFeature(err)
}

// steer puts the program in front of every address that has a listener for each worker: all of them, or none. The sockets
// listen already, and nobody accepts yet.
func (b *Balancer) steer() {
	if b.steering == nil {
		return
	}
	steered := 0
	for i := range b.listeners {
		l := &b.listeners[i]
		if l.config.Shared { // a program belongs to all sockets of an address, also to those of other processes
			b.doNotSteer(l.address.String() + " is shared with other processes")
			return
		}
		if len(l.fds) < 2 {
			continue
		}
		if err := b.steering.Attach(l.fds); err != nil {
			b.doNotSteer(fmt.Sprintf("%s: %v", l.address, err))
			b.Emit(Event{Name: "degraded", Level: "info", Subject: FeatureSteering, Message: b.notSteered + "; instead: " + steeringFeature(nil).Fallback})
			return
		}
		steered++
	}
	if steered == 0 {
		b.doNotSteer("no address has more than one listener")
	}
}

// doNotSteer gives the program up, before there are workers.
func (b *Balancer) doNotSteer(why string) {
	b.steering.Detach()
	b.steering.Close()
	b.steering, b.notSteered = nil, why
}

// steeringStatus is what chooses the workers of new connections, and how often it did.
func (b *Balancer) steeringStatus(sum *stats.Copy) Steering {
	if b.steering != nil {
		c := b.steering.Counts()
		return Steering{How: "bpf", ByCPU: c.ByCPU, LeastLoaded: c.LeastLoaded, ByKernel: c.ByKernel}
	}
	s := Steering{How: "kernel", Why: b.notSteered}
	for _, f := range b.snap.Load().Frontends {
		s.ByKernel += sum.Value(stats.Frontend, int(f.Number), stats.Accepted)
		for r := range stats.NumRefusals {
			s.ByKernel += sum.Value(stats.Frontend, int(f.Number), stats.RefusedBase+int(r))
		}
	}
	return s
}
