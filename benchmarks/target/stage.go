package target

import (
	"net/netip"
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// sourceCount is how many addresses short sessions come from: enough that no port has to rest while it is wanted.
const sourceCount = 8

// Stage is where one measurement takes place.
type Stage struct {
	// Backends are addresses to serve on: several, so that the balancer's local ports do not run out while short sessions
	// sit in TIME_WAIT.
	Backends []netip.Addr
	// Sources are addresses to connect from where a case wants several.
	Sources []netip.Addr

	t     *Target
	space *space
}

// Prepare makes the surroundings of a measurement with that many backend addresses.
func (t *Target) Prepare(backends int) (*Stage, error) {
	s := &Stage{t: t}
	at := func(net byte) func(host int) netip.Addr {
		return func(host int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, net, byte(host)}) }
	}
	backend, source := at(0), at(1)
	if t.kind == dnat {
		space, err := openSpace(backends)
		if err != nil {
			return nil, err
		}
		s.space = space
		backend, source = space.addr, func(host int) netip.Addr { return space.addr(firstSource + host) }
	}
	for i := range backends {
		s.Backends = append(s.Backends, backend(2+i))
	}
	for i := range sourceCount {
		s.Sources = append(s.Sources, source(1+i))
	}
	return s, nil
}

// Close takes the surroundings away. What runs in them is to be stopped before.
func (s *Stage) Close() {
	if s.space != nil {
		s.space.close()
	}
}
