package matrix

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// T15: clients read 1 KB/s from backends that send as fast as they can: 500 with low_memory, where the kernel's memory for
// a session that waits for its reader stays below 512 KiB, and 100 without, where it stays below what the kernel's own
// limits of a buffer allow. Streams that are read fast go on beside them. The stall timeout cuts clients that take nothing,
// and none that takes bytes.
func TestSlowReaders(t *testing.T) {
	const bufferLimits = 10 << 20 // a new namespace's tcp_rmem and tcp_wmem, their largest
	for _, c := range []struct {
		name, relay string
		clients     int
		perSession  int64
	}{
		{"low memory", "low_memory = true", 500, 512 << 10},
		{"usual memory", "low_memory = false", 100, bufferLimits},
	} {
		t.Run(c.name, func(t *testing.T) {
			host := testkit.NewHost(t, "slow")
			slow, watched, fast := newFlood(t, host), newFlood(t, host), newFlood(t, host)
			p := run(t, setup{host: host, config: relayMode("auto", c.relay) + slow.config("slow") + fast.config("fast") +
				watched.config("watched", "[frontend.timeouts]", fmt.Sprintf("stall = %q", shortStall))})
			quick := fast.readers(2, 0, 0, sockets{})
			alone := rates(quick)
			slow.readers(scaled(c.clients), 1024/4, time.Second/4, tight)
			takers := watched.readers(scaled(40), 16<<10/4, time.Second/4, tight)
			none := watched.silent(scaled(20))
			beside := watch(t, p, slow, quick, c.perSession)
			p.await("the silent ones to be cut", func() bool { return p.endReasons()["stall_timeout"] >= uint64(len(none)) })
			if n, excused := p.endReasons()["stall_timeout"], late(takers); n > uint64(len(none)+excused) {
				t.Errorf("%d sessions were cut for taking nothing, want %d", n, len(none))
			}
			slow.leave()
			watched.leave()
			p.await("the slow ones to leave", func() bool { return p.status().Sessions.Held == int64(len(quick)) })
			compareRates(t, beside, append(alone, rates(quick)...))
			fast.leave()
		})
	}
}

// shortStall is a stall timeout that is still longer than the kernel of a client that reads 16 KB/s needs to say so: it
// opens a window that was closed only when a good part of the buffer is free.
const shortStall = 3 * time.Second

// tight is a client with a small window, in small segments: it shows what is taken early.
var tight = sockets{mss: 536, receiveBuffer: 4 << 10}

// flood is a backend that sends without end, and its clients.
type flood struct {
	t              testing.TB
	host           *testkit.Host
	front, address string
	conns          []*reader
}

func newFlood(t testing.TB, host *testkit.Host) *flood {
	f := &flood{t: t, host: host, front: freeAddress(t, "127.0.0.1"), address: freeAddress(t, "127.0.0.1")}
	err := host.Do(func() error {
		config := net.ListenConfig{Control: sockets{sendBuffer: 128 << 10}.control}
		l, err := config.Listen(t.Context(), "tcp", f.address)
		if err == nil {
			t.Cleanup(func() { l.Close() })
			go f.serve(l)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *flood) config(name string, lines ...string) string {
	return frontend(name, f.front, name, lines...) + pool(name, []string{f.address}, noChecks)
}

// serve is the backend.
func (f *flood) serve(l net.Listener) {
	pattern := make([]byte, 256<<10)
	testkit.FillPattern(pattern, 15, 0)
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			for err == nil {
				_, err = c.Write(pattern)
			}
		}()
	}
}

// reader is a client.
type reader struct {
	conn    net.Conn
	taken   atomic.Int64
	longest atomic.Int64 // nanoseconds between two reads, for which the client itself is to blame
}

// dial brings n clients in.
func (f *flood) dial(n int, o sockets) []*reader {
	f.t.Helper()
	all := make([]*reader, n)
	errs := inParallel(n, func(i int) error {
		return f.host.Do(func() error {
			c, err := (&net.Dialer{Timeout: patience, Control: o.control}).DialContext(f.t.Context(), "tcp", f.front)
			all[i] = &reader{conn: c}
			return err
		})
	})
	if n, first := failures(errs); n > 0 {
		f.t.Fatalf("%d clients could not connect: %v", n, first)
	}
	f.conns = append(f.conns, all...)
	f.t.Cleanup(f.leave)
	return all
}

// readers brings n clients in that read so many bytes once in so long, or for 0 as fast as they can.
func (f *flood) readers(n, bytes int, every time.Duration, o sockets) []*reader {
	f.t.Helper()
	all := f.dial(n, o)
	for _, r := range all {
		if every > 0 {
			go r.sip(bytes, every)
		} else {
			go r.drink()
		}
	}
	return all
}

// silent brings n clients in that read nothing.
func (f *flood) silent(n int) []*reader { return f.dial(n, tight) }

func (f *flood) leave() {
	for _, r := range f.conns {
		r.conn.Close()
	}
	f.conns = nil
}

// sip reads a little, again and again.
func (r *reader) sip(bytes int, every time.Duration) {
	buf := make([]byte, bytes)
	for last := time.Now(); ; {
		r.longest.Store(max(r.longest.Load(), int64(time.Since(last))))
		n, err := r.conn.Read(buf)
		last = time.Now()
		r.taken.Add(int64(n))
		if err != nil {
			return
		}
		time.Sleep(every)
	}
}

// drink reads as fast as it can.
func (r *reader) drink() {
	buf := make([]byte, 256<<10)
	for {
		n, err := r.conn.Read(buf)
		r.taken.Add(int64(n))
		if err != nil {
			return
		}
	}
}

// late counts the clients that a busy machine has kept from reading in time.
func late(all []*reader) (n int) {
	for _, r := range all {
		if time.Duration(r.longest.Load()) > shortStall/4 {
			n++
		}
	}
	return n
}

// watch looks at the kernel's memory for the slow sessions, and returns how fast the others are meanwhile.
func watch(t *testing.T, p *program, slow *flood, quick []*reader, perSession int64) (fast []float64) {
	t.Helper()
	most, host := int64(0), 0.0
	before := quick[0].taken.Load()
	for began := time.Now(); time.Since(began) < 2*shortStall; {
		fast = append(fast, rates(quick)...)
		most, host = max(most, slow.kernelMemory()), max(host, p.metric("longsplice_host_tcp_memory_bytes"))
	}
	n := int64(len(slow.conns))
	t.Logf("%d slow sessions: %d KiB of kernel memory each; %.0f MiB of TCP memory on the host at most", n, most/n>>10, host/(1<<20))
	if most > n*perSession {
		t.Errorf("the kernel holds %d KiB for each slow session, want at most %d", most/n>>10, perSession>>10)
	}
	p.await("the fast ones to get 64 MiB beside the slow", func() bool { return quick[0].taken.Load()-before > 64<<20 })
	return fast
}

// kernelMemory is what the sockets of the program hold for the flood's sessions: bytes received, sent and set aside.
func (f *flood) kernelMemory() (sum int64) {
	out, err := f.host.Command(testkit.NeedProgram(f.t, "ss"), "-tmnHO").Output()
	if err != nil {
		f.t.Fatalf("ask ss for the sockets' memory: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 6 || words[3] != f.front && words[4] != f.address {
			continue
		}
		for _, part := range strings.FieldsFunc(words[5], func(r rune) bool { return strings.ContainsRune("(),", r) }) {
			var n int64
			if i := strings.IndexAny(part, "0123456789"); i == 1 && strings.Contains("rwf", part[:1]) {
				_, _ = fmt.Sscan(part[1:], &n)
			}
			sum += n
		}
	}
	return sum
}

// rates is three looks at how many MB/s the readers get together.
func rates(all []*reader) (found []float64) {
	taken := func() (n int64) {
		for _, r := range all {
			n += r.taken.Load()
		}
		return n
	}
	for range 3 {
		before, began := taken(), time.Now()
		time.Sleep(300 * time.Millisecond)
		found = append(found, float64(taken()-before)/1e6/time.Since(began).Seconds())
	}
	return found
}

// compareRates holds the rates beside the slow ones against those without: on a quiet machine alone, since others use it too.
func compareRates(t *testing.T, with, without []float64) {
	t.Helper()
	slices.Sort(with)
	slices.Sort(without)
	a, b := with[len(with)/2], without[len(without)/2]
	t.Logf("fast streams: %.0f MB/s beside the slow ones, %.0f MB/s without, ratio %.2f", a, b, a/b)
	if os.Getenv("LONGSPLICE_QUIET") == "1" && a < 0.95*b {
		t.Errorf("fast streams keep %.0f %% of their throughput beside slow ones, want 95 %%", 100*a/b)
	}
}
