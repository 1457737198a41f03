package matrix

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// harbour is a program on a host of some sources, with ports between each of them and each backend.
type harbour struct {
	portsRig
	host     *testkit.Host
	sources  int
	backends []string // here, on the test's side
}

// The ports of a harbour lie outside the kernel's range; in kernel mode they are that range.
const firstPort = 12_000

// portMode is who chooses the ports of a harbour.
type portMode struct {
	name   string
	kernel bool
}

var portModes = []portMode{{"ports of ours", false}, {"ports of the kernel", true}}

// newHarbour starts a program with two workers. sysctls are NAME=VALUE.
func newHarbour(t *testing.T, m portMode, sources, backends, ports int, sysctls ...string) *harbour {
	t.Helper()
	h := &harbour{host: testkit.NewHost(t, "sources"), sources: sources}
	h.ports = sources * backends * ports
	span := fmt.Sprintf("%d-%d", firstPort, firstPort+ports-1)
	lines := []string{fmt.Sprintf("source_addresses = [%s]", h.addSources()), "connect_retries = 0"}
	if m.kernel {
		h.host.Sysctl("net.ipv4.ip_local_port_range", strings.ReplaceAll(span, "-", " "))
	} else {
		lines = append(lines, fmt.Sprintf("local_ports = %q", span))
	}
	for _, s := range sysctls {
		name, value, _ := strings.Cut(s, "=")
		h.host.Sysctl(name, value)
	}
	for range backends {
		address := freeAddress(t, h.host.Here4().String())
		spawn(t, nil, "echo", address)
		h.backends = append(h.backends, address)
	}
	h.fronts[0] = freeAddressOn(h.host, 0)
	h.p = run(t, setup{host: h.host, process: "workers = 2", config: h.frontend() +
		pool("one", h.backends, append(lines, "[pool.health]", `interval = "1s"`)...)})
	return h
}

// doors is how many addresses the program listens at: with one the clients of a soak would run out of ports of their own.
const doors = 8

func (h *harbour) frontend() string {
	var listen []string
	for i := range doors {
		listen = append(listen, fmt.Sprintf("%q", freeAddressOn(h.host, i)))
	}
	return fmt.Sprintf("[[frontend]]\nname = \"one\"\nlisten = [%s]\npool = \"one\"\n", strings.Join(listen, ", "))
}

// addSources gives the host its sources, four at most, out of 10.0.0.0/8: the same block that its own address has in
// 198.18.0.0/15. It returns them as the configuration writes them.
func (h *harbour) addSources() string {
	a := h.host.Addr4().As4()
	var names []string
	for i := range h.sources {
		source := netip.AddrFrom4([4]byte{10, 180 + a[1], a[2], a[3]&^3 + byte(i)})
		h.host.AddAddr(source)
		names = append(names, fmt.Sprintf("%q", source))
	}
	return strings.Join(names, ", ")
}

// sum adds something of the ports up over the backends.
func (h *harbour) sum(metric string) int { return int(h.p.metric("longsplice_" + metric)) }

// TestEveryPortHoldsASession is T14 with sources: each of them holds as many sessions to each backend as there are ports,
// with two workers, and not one more: the rest is refused at once. It was said before; the backends stay healthy, and
// other programs on the host connect as ever.
func TestEveryPortHoldsASession(t *testing.T) {
	ours, kernels := portModes[0], portModes[1]
	for _, c := range []struct {
		portMode
		sources, backends int
	}{{ours, 1, 1}, {ours, 4, 1}, {ours, 4, 2}, {kernels, 1, 1}, {kernels, 4, 2}} {
		t.Run(fmt.Sprintf("%s, %d sources, %d backends", c.name, c.sources, c.backends), func(t *testing.T) {
			everyPortHoldsASession(t, newHarbour(t, c.portMode, c.sources, c.backends, 2*scaled(500)))
		})
	}
}

func everyPortHoldsASession(t *testing.T, h *harbour) {
	early := h.ports * 92 / 100
	all, refused := h.come(h.fronts[0], early)
	h.p.await("a warning", func() bool { return len(h.p.events("ports_low")) >= len(h.backends) })
	more, late := h.come(h.fronts[0], h.ports-early)
	all = append(all, more...)
	if n := refused.failed() + late.failed(); n > 0 {
		t.Errorf("%d of %d clients refused while there were ports", n, h.ports)
	}
	if used, limit := h.sum("ports_used"), h.sum("ports_limit"); used != len(all) || limit != h.ports {
		t.Errorf("%d of %d ports in use, want %d of %d", used, limit, len(all), h.ports)
	}
	over, beyond := h.come(h.fronts[0], scaled(400))
	if len(over) > 0 {
		t.Errorf("%d sessions more than ports", len(over))
	}
	t.Logf("%d sessions; %d more refused, 99 %% of them within %v; connected before: 99 %% within %v", len(all), beyond.failed(), beyond.p99(true), refused.p99(false))
	atMost(t, "refused in, 99th percentile", beyond.p99(true), 5*time.Millisecond)
	h.p.await("every refusal to be counted", func() bool { return h.p.endReasons()["no_ports"] == uint64(beyond.failed()) })
	if h.sources == 1 {
		h.p.rest("without ports")
	}
	h.othersConnect()
	wantNone(t, "sessions went wrong", all.say(10))
	h.p.wantHealthy()
	h.p.wantNoFailures()
	all.leave()
	h.p.await("every port to come back", func() bool { return h.sum("ports_used") == 0 })
}

// othersConnect is another program on the host that connects to the backends, and to somebody else.
func (h *harbour) othersConnect() {
	h.p.t.Helper()
	for range 20 {
		for _, b := range h.backends {
			other, err := h.host.Dial(netip.MustParseAddrPort(b))
			if err != nil {
				h.p.t.Errorf("another program connects: %v", err)
				return
			}
			other.Close()
		}
	}
}

// churn lets n clients come, say a byte and go, a few at a time, and returns how many were refused. By RST nothing of them
// remains; by FIN our end is the one that goes into TIME_WAIT.
func (h *harbour) churn(n int, byRST bool) (refused int) {
	errs := inParallel(n, func(i int) error {
		v, err := visit(freeAddressOn(h.host, i%doors))
		if err != nil {
			return err
		}
		if byRST {
			_ = v.conn.SetLinger(0)
		}
		v.leave()
		return nil
	})
	for _, err := range errs {
		if err != nil && !isReset(err) {
			h.p.t.Fatalf("a client ended with %v, want a session or a RST", err)
		}
	}
	refused, _ = failures(errs)
	return refused
}

// TestConnectCostsTheSameWhilePortsGo is T14: the CPU time of a session is much the same whether 5 % or 95 % of the ports
// are in use.
func TestConnectCostsTheSameWhilePortsGo(t *testing.T) {
	for _, m := range portModes {
		t.Run(m.name, func(t *testing.T) {
			h := newHarbour(t, m, 1, 1, 4000) // a twentieth of them has to be enough for those who come at a time
			var all crowd
			cost := func(percent int) time.Duration {
				more, refused := h.come(h.fronts[0], h.ports*percent/100-len(all))
				if all = append(all, more...); refused.failed() > 0 {
					t.Errorf("%d clients refused while there were ports", refused.failed())
				}
				const n = 4000
				before := h.p.cpu()
				if r := h.churn(scaled(n), true); r > 0 {
					t.Errorf("%d clients refused at %d %% of the ports", r, percent)
				}
				return (h.p.cpu() - before) / time.Duration(scaled(n))
			}
			cost(1) // warm
			few, many := cost(5), cost(95)
			ratio := float64(many) / float64(few)
			t.Logf("CPU of a session: %v at 5 %% of the ports, %v at 95 %%: %.2f times", few, many, ratio)
			if quiet() && ratio > 1.5 { // with ports of the kernel's only from Linux 6.8 on
				t.Errorf("a session costs %.2f times as much at 95 %% of the ports as at 5 %%, want at most 1.5", ratio)
			}
			all.leave()
		})
	}
}

// soakFor is how long a test goes on: LONGSPLICE_SOAK says it for a soak.
func soakFor(usual time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv("LONGSPLICE_SOAK")); err == nil {
		return d
	}
	return usual
}

// TestShortSessionsUseEveryPortAgain is T14: many more short sessions than ports. With TCP timestamps a port in TIME_WAIT
// serves again at once, and no connect fails; without them the ports rest, and the shortage is told as what it is.
func TestShortSessionsUseEveryPortAgain(t *testing.T) {
	t.Run("with timestamps", func(t *testing.T) {
		h := newHarbour(t, portModes[0], 1, 1, 2000, "net.ipv4.tcp_timestamps=1")
		began, n := time.Now(), 0
		for time.Since(began) < soakFor(4*time.Second) || n < 3*h.ports {
			if refused := h.churn(1000, false); refused > 0 {
				t.Fatalf("%d clients refused after %d sessions: %v", refused, n, h.p.endReasons())
			}
			n += 1000
		}
		t.Logf("%d sessions through %d ports in %v", n, h.ports, time.Since(began))
		if f := h.p.pools()[0].Backends[0].Failures; f["local"] > 0 {
			t.Errorf("connects failed: %v", f)
		}
		h.p.wantNoFailures()
	})
	t.Run("without timestamps", func(t *testing.T) {
		h := newHarbour(t, portModes[0], 1, 1, 2*scaled(1000), "net.ipv4.tcp_timestamps=0")
		if refused := h.churn(h.ports, false); refused > 0 {
			t.Errorf("%d clients refused while there were fresh ports", refused)
		}
		h.p.await("the sessions to end", func() bool { return h.p.status().Sessions.Held == 0 })
		refused := h.churn(h.ports, false)
		if refused == 0 {
			t.Errorf("no client refused on ports in TIME_WAIT")
		}
		h.p.await("the refusals to be counted", func() bool { return h.p.endReasons()["no_ports"] == uint64(refused) })
		h.p.await("a warning", func() bool { return len(h.p.events("ports_low")) > 0 })
		used, resting := h.sum("ports_used"), h.sum("ports_resting")
		t.Logf("%d of %d clients refused, %d ports rest, %d in use", refused, h.ports, resting, used)
		if resting < h.ports*9/10 {
			t.Errorf("%d of %d ports rest, want nearly all", resting, h.ports)
		}
		h.othersConnect()
		h.p.wantNoFailures()
		h.p.wantHealthy()
	})
}

// TestWhatTheHostCannotGiveIsRefused is T14 before the start: a source that the host does not have, and ports that would
// be taken from every other program. `run` does not start; it names the line and what would help, and so does `check
// --live`.
func TestWhatTheHostCannotGiveIsRefused(t *testing.T) {
	host := testkit.NewHost(t, "lacking")
	for _, c := range []struct {
		name  string
		line  string
		wants []string
	}{
		{"a source that is not there", `source_addresses = ["10.9.9.9-10.9.9.15"]`, []string{"pool.one.source_addresses: 10.9.9.9, 10.9.9.10,", "and 3 more", "longsplice tune apply"}},
		{"ports of the kernel's", `local_ports = "30000-40000"`, []string{"pool.one.local_ports: 30000-40000 overlaps net.ipv4.ip_local_port_range, 32768-60999", "longsplice tune plan"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			text := fmt.Sprintf("[process]\nadmin = \"%s/admin.sock\"\n", dir) + frontend("one", freeAddressOn(host, 0), "one") + pool("one", []string{"10.0.0.1:80"}, c.line)
			path := write(t, dir, text)
			for _, words := range [][]string{{"run", "-c", path}, {"check", "--live", "-c", path}} {
				words = append([]string{"20", programPath}, words...) // or it would serve for ever
				out, err := host.Command(testkit.NeedProgram(t, "timeout"), words...).CombinedOutput()
				if !errors.As(err, new(*exec.ExitError)) {
					t.Fatalf("%s: %v: %s", words[2], err, out)
				}
				for _, want := range append(c.wants, path+":10: ") {
					if !strings.Contains(string(out), want) {
						t.Errorf("%s says:\n%s\nwithout %q", words[2], out, want)
					}
				}
			}
		})
	}
}

func write(t *testing.T, dir, text string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "longsplice.toml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
