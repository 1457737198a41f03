package sys

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Feature is one thing that longsplice would like of a kernel, and what came of trying it.
type Feature struct {
	Name     string
	Present  bool   // it works here; also where it could not be tried
	Tried    bool   // false: Value says why
	Value    string // what was measured, or what went wrong
	Since    string // the first Linux that has it
	Fallback string // what is done without it
	Used     bool   // something is slower, less exact or not told today if it is missing
	Denied   bool   // it may be there, but not for this process
}

// Names of the features that decide something; the others are for people.
const (
	FeatureSplice      = "splice"
	FeatureInherit     = "options of a listener pass to its sockets"
	FeatureReusePort   = "SO_REUSEPORT"
	FeatureUserTimeout = "TCP_USER_TIMEOUT"
)

// trial is how a feature is tried: the value is what was measured, an error what was found instead.
type trial struct {
	name, since, fallback string
	used                  bool
	try                   func(*prober) (value string, err error)
}

// trials are in the order of the table: what moves bytes, what ends them, what tells of them, what waits for its use.
var trials = []trial{
	{FeatureSplice, "2.6.17", "every direction is copied by recv and send", true, (*prober).splice},
	{"pipes", "2.6.35", "smaller pipes, and copying below 64 KiB: see fs.pipe-max-size and fs.pipe-user-pages-soft", true, (*prober).pipes},
	{"wake-ups by edge", "2.6", "none, sessions stall: see with bpftool(8) whether another program has put our sockets into a map", true, (*prober).edges},
	{"EPOLLRDHUP", "2.6.17", "an end is found by reading alone", true, (*prober).hangUp},
	{"urgent byte", "2.6", "an urgent byte is lost, or comes as an ordinary one", true, (*prober).urgent},
	{"reset by SO_LINGER", "2.6", "a stream that is cut may look complete to its peer", true, (*prober).reset},
	{"SIOCOUTQ", "2.6", "what the kernel has yet to send counts as nothing: a stalled reader is seen once our own bytes wait", true, (*prober).unsent},
	{FeatureUserTimeout, "2.6.37", "keepalive and the stall timeout alone find dead peers", true, (*prober).userTimeout},
	{FeatureInherit, "2.6", "they are set on each accepted socket, at the cost of some calls for every session", true, (*prober).inherit},
	{FeatureReusePort, "3.9", "the workers share one socket for each address", true, (*prober).reusePort},
	{"TCP_INFO", "4.6", "listings show 0 for what is missing", true, (*prober).info},
	{"counters of a listener (SO_MEMINFO, TCP_INFO)", "4.12", "accept_queue or listen_drops stays 0", true, (*prober).listenerCounters},
	{"count of open descriptors", "6.2", "fds_open is worked out from sessions and pipes", true, (*prober).openFDs},
	{"IPv6", "2.6", "IPv6 addresses can be neither served nor reached", false, (*prober).ip6},
	{"IP_BIND_ADDRESS_NO_PORT", "4.2", "no source addresses of our own without ports of our own", false, (*prober).addressNoPort},
	{"IP_LOCAL_PORT_RANGE", "6.3", "local ports come out of the whole ip_local_port_range", false, (*prober).localPortRange},
	{"tcp_migrate_req", "5.14", "what waits at a listener is lost when it is closed: none is while its address is configured", false, (*prober).migrate},
	{"tcp_tw_reuse", "2.6", "a local port rests for a minute after its connection to a backend", false, (*prober).timeWait},
}

// Probe tries what longsplice would like of this kernel, on the loopback interface and with pipes of pipeBytes. Whatever
// it opens it closes. It takes some milliseconds; a kernel that leaves a trial waiting costs patience each time.
func Probe(pipeBytes int) []Feature {
	p := linux(pipeBytes)
	return p.run()
}

// prober tries things on one kernel; tests give it kernels that lack something.
type prober struct {
	k         Kernel
	listen    func(netip.AddrPort, ListenOptions) (fd int, err error)
	option    func(fd, level, name int) (value int, errno Errno)
	settings  string // the folder of net.ipv4
	pipeBytes int
}

func linux(pipeBytes int) prober {
	return prober{k: Real{}, listen: ListenTCP, option: getOption, settings: "/proc/sys/net/ipv4/", pipeBytes: pipeBytes}
}

func (p *prober) run() []Feature {
	all := make([]Feature, 0, len(trials))
	for i := range trials {
		all = append(all, p.feature(&trials[i]))
	}
	return all
}

// feature carries out one trial.
func (p *prober) feature(t *trial) Feature {
	f := Feature{Name: t.name, Since: t.since, Fallback: t.fallback, Used: t.used, Tried: true}
	value, err := t.try(p)
	switch {
	case err == nil:
		f.Present, f.Value = true, value
	case saysNothing(err):
		f.Present, f.Tried, f.Value = true, false, "not tried: "+err.Error()
	default:
		f.Value = err.Error()
	}
	return f
}

// setUpError is a trial that did not begin: there is no connection to try anything on.
type setUpError struct{ err error }

func (e *setUpError) Error() string { return e.err.Error() }
func (e *setUpError) Unwrap() error { return e.err }

// saysNothing tells whether an error is about this process or host at the moment and not about what its kernel can do.
func saysNothing(err error) bool {
	if errors.As(err, new(*setUpError)) {
		return true
	}
	for _, shortage := range []Errno{EMFILE, ENFILE, ENOMEM, ENOBUFS} {
		if errors.Is(err, shortage) {
			return true
		}
	}
	return false
}

// patience is how long a trial waits for what happens at once on an idle machine.
const patience = time.Second

// within asks until done or patience is over.
func within(done func() bool) bool {
	for end := time.Now().Add(patience); !done(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// unexpected is the error of a call that should have gone well, or have moved so many bytes.
func unexpected(what string, n int, errno Errno) error {
	if errno != 0 {
		return fmt.Errorf("%s: %w", what, errno)
	}
	return fmt.Errorf("%s: %d bytes", what, n)
}

// sizeText is a size in the largest binary unit that divides it.
func sizeText(n int) string {
	switch {
	case n > 0 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n > 0 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
