package sys

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// lacking is Linux but for the calls that a test replaces.
type lacking struct {
	Real
	splice    func(from, to, n int) (int, Errno)
	pipe      func(size int) (Pipe, Errno)
	wait      func(events []Event, n int) int // may change what a wait has brought
	send      func(fd int, p []byte, flags int) (int, Errno)
	atMark    func(fd int) (bool, Errno)
	reset     func(fd int) Errno
	unsent    func(fd int) (int, Errno)
	setOption func(level, name int) Errno // instead of setting it; 0: it is set
	info      func(*TCPInfo)
	socket    func(family int) Errno // 0: it is made
}

func (l *lacking) Splice(from, to, n int) (int, Errno) {
	if l.splice != nil {
		return l.splice(from, to, n)
	}
	return l.Real.Splice(from, to, n)
}

func (l *lacking) Pipe(size int) (Pipe, Errno) {
	if l.pipe != nil {
		return l.pipe(size)
	}
	return l.Real.Pipe(size)
}

func (l *lacking) EpollWait(epfd int, events []Event, timeoutMs int) (int, Errno) {
	n, errno := l.Real.EpollWait(epfd, events, timeoutMs)
	if l.wait != nil {
		n = l.wait(events, n)
	}
	return n, errno
}

func (l *lacking) Send(fd int, p []byte, flags int) (int, Errno) {
	if l.send != nil {
		return l.send(fd, p, flags)
	}
	return l.Real.Send(fd, p, flags)
}

func (l *lacking) AtMark(fd int) (bool, Errno) {
	if l.atMark != nil {
		return l.atMark(fd)
	}
	return l.Real.AtMark(fd)
}

func (l *lacking) Reset(fd int) Errno {
	if l.reset != nil {
		return l.reset(fd)
	}
	return l.Real.Reset(fd)
}

func (l *lacking) Unsent(fd int) (int, Errno) {
	if l.unsent != nil {
		return l.unsent(fd)
	}
	return l.Real.Unsent(fd)
}

func (l *lacking) SetOption(fd, level, name, value int) Errno {
	if l.setOption != nil {
		if errno := l.setOption(level, name); errno != 0 {
			return errno
		}
	}
	return l.Real.SetOption(fd, level, name, value)
}

func (l *lacking) TCPInfo(fd int) (TCPInfo, Errno) {
	i, errno := l.Real.TCPInfo(fd)
	if l.info != nil {
		l.info(&i)
	}
	return i, errno
}

func (l *lacking) Socket(family int) (int, Errno) {
	if l.socket != nil {
		if errno := l.socket(family); errno != 0 {
			return -1, errno
		}
	}
	return l.Real.Socket(family)
}

// unknownOption is a kernel that has never heard of an option.
func unknownOption(level, name int) *lacking {
	return &lacking{setOption: func(l, n int) Errno {
		if l == level && n == name {
			return unix.ENOPROTOOPT
		}
		return 0
	}}
}

// deaf is a kernel whose events lack some bits, from the nth event that has them on.
func deaf(bits uint32, from int) *lacking {
	seen := 0
	return &lacking{wait: func(events []Event, n int) int {
		for i := range events[:n] {
			if events[i].Events&bits == 0 {
				continue
			}
			if seen++; seen >= from {
				events[i].Events &^= bits
			}
		}
		return n
	}}
}

func TestTheSelfTestFindsWhatIsThere(t *testing.T) {
	before := OpenFDs()
	began := time.Now()
	all := Probe(1 << 20)
	t.Logf("the self-test took %s", time.Since(began))
	if after := OpenFDs(); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
	names := map[string]bool{}
	for _, f := range all {
		t.Logf("%-48s present %-5t since %-7s %s", f.Name, f.Present, f.Since, f.Value)
		if names[f.Name] {
			t.Errorf("%s comes twice", f.Name)
		}
		names[f.Name] = true
		if f.Fallback == "" || f.Since == "" {
			t.Errorf("%s does not say what is done without it, or who has it", f.Name)
		}
		if needed := f.Used && f.Name != "count of open descriptors"; needed && (!f.Present || !f.Tried) {
			t.Errorf("%s is not found: %s; every supported kernel has it", f.Name, f.Value)
		}
	}
	for _, name := range []string{FeatureSplice, FeatureInherit, FeatureReusePort, FeatureUserTimeout} {
		if !names[name] {
			t.Errorf("nothing tries %s", name)
		}
	}
}

func TestTheSelfTestFindsWhatIsMissing(t *testing.T) {
	zero := func(int, int, int) (int, Errno) { return 0, 0 }
	for _, c := range []struct {
		what, feature string
		kernel        *lacking
		change        func(*prober)
		says          string
	}{
		{"a sandbox without splice", FeatureSplice, &lacking{splice: func(_, _, _ int) (int, Errno) { return 0, ENOSYS }}, nil, "function not implemented"},
		{"splice of sockets is refused", FeatureSplice, &lacking{splice: func(_, _, _ int) (int, Errno) { return 0, EINVAL }}, nil, "invalid argument"},
		{"an empty socket looks like an ended one", FeatureSplice, &lacking{splice: zero}, nil, "without bytes: 0 bytes"},
		{"the kernel gives two slots", "pipes", &lacking{pipe: func(int) (Pipe, Errno) {
			p, errno := Real{}.Pipe(8 << 10)
			return p, errno
		}}, nil, "8 KiB, 2 slots where 1 MiB was asked for"},
		{"the second arrival makes no edge", "wake-ups by edge", deaf(EPOLLIN, 2), nil, "no event for arrival 2"},
		{"an end makes no EPOLLRDHUP", "EPOLLRDHUP", deaf(EPOLLRDHUP, 1), nil, "the end of a stream"},
		{"an urgent byte is sent as an ordinary one", "urgent byte", &lacking{send: func(fd int, p []byte, flags int) (int, Errno) {
			return Real{}.Send(fd, p, flags&^MSG_OOB)
		}}, nil, "no EPOLLPRI"},
		{"the mark is not told", "urgent byte", &lacking{atMark: func(int) (bool, Errno) { return false, 0 }}, nil, "SIOCATMARK says false"},
		{"a reset is a FIN", "reset by SO_LINGER", &lacking{reset: Real{}.Close}, nil, "the peer's recv: 0 bytes"},
		{"nothing is ever unsent", "SIOCOUTQ", &lacking{unsent: func(int) (int, Errno) { return 0, 0 }}, nil, "of a full socket: 0 bytes"},
		{"no TCP_USER_TIMEOUT", FeatureUserTimeout, unknownOption(IPPROTO_TCP, TCP_USER_TIMEOUT), nil, "protocol not available"},
		{"TCP_USER_TIMEOUT is not kept", FeatureUserTimeout, &lacking{}, func(p *prober) { p.option = zero }, "is 0"},
		{"accepted sockets begin anew", FeatureInherit, &lacking{}, func(p *prober) { p.option = zero }, "TCP_NODELAY, SO_KEEPALIVE, TCP_KEEPIDLE"},
		{"no SO_REUSEPORT", FeatureReusePort, &lacking{}, func(p *prober) {
			p.listen = func(at netip.AddrPort, o ListenOptions) (int, error) {
				if o.ReusePort {
					return -1, unix.ENOPROTOOPT
				}
				return ListenTCP(at, o)
			}
		}, "protocol not available"},
		{"an older struct tcp_info", "TCP_INFO", &lacking{info: func(i *TCPInfo) { i.NotSent, i.RTTUs = 0, 0 }}, nil, "not filled: rtt, not_sent"},
		{"no IPv6", "IPv6", &lacking{socket: func(family int) Errno {
			if family == AF_INET6 {
				return unix.EAFNOSUPPORT
			}
			return 0
		}}, nil, "address family not supported"},
		{"no IP_BIND_ADDRESS_NO_PORT", "IP_BIND_ADDRESS_NO_PORT", unknownOption(unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT), nil, "protocol not available"},
		{"no IP_LOCAL_PORT_RANGE", "IP_LOCAL_PORT_RANGE", unknownOption(unix.IPPROTO_IP, ipLocalPortRange), nil, "protocol not available"},
		{"no tcp_migrate_req", "tcp_migrate_req", &lacking{}, func(p *prober) { p.settings = t.TempDir() + "/" }, "there is no net.ipv4.tcp_migrate_req"},
		{"no tcp_tw_reuse", "tcp_tw_reuse", &lacking{}, func(p *prober) { p.settings = t.TempDir() + "/" }, "there is no net.ipv4.tcp_tw_reuse"},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel() // most of the time is waiting for what does not come
			p := linux(1 << 20)
			p.k = c.kernel
			if c.change != nil {
				c.change(&p)
			}
			f := p.feature(trialOf(t, c.feature))
			if f.Present || !strings.Contains(f.Value, c.says) {
				t.Errorf("%s: present %t, %q; want it missing, and %q", f.Name, f.Present, f.Value, c.says)
			}
		})
	}
}

func trialOf(t *testing.T, name string) *trial {
	t.Helper()
	for i := range trials {
		if trials[i].name == name {
			return &trials[i]
		}
	}
	t.Fatalf("there is no trial of %s", name)
	return nil
}

// A shortage of the moment, or a host without loopback, must not take splice away for the life of the process.
func TestWhatCouldNotBeTriedCountsAsThere(t *testing.T) {
	out := errors.Join(EMFILE)
	for _, c := range []struct {
		what   string
		change func(*prober)
	}{
		{"no descriptor for a socket", func(p *prober) { p.k = &lacking{socket: func(int) Errno { return EMFILE }} }},
		{"no descriptor for a pipe", func(p *prober) { p.k = &lacking{pipe: func(int) (Pipe, Errno) { return Pipe{}, ENFILE }} }},
		{"no listener", func(p *prober) {
			p.listen = func(netip.AddrPort, ListenOptions) (int, error) { return -1, out }
		}},
	} {
		p := linux(1 << 20)
		c.change(&p)
		if f := p.feature(trialOf(t, FeatureSplice)); !f.Present || f.Tried || !strings.HasPrefix(f.Value, "not tried: ") {
			t.Errorf("%s: present %t, tried %t, %q", c.what, f.Present, f.Tried, f.Value)
		}
	}
}
