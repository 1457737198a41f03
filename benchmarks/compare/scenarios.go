package compare

import (
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
)

// Scenario is one kind of load and what is read from it.
type Scenario struct {
	Name    string
	About   string
	Mode    serve.Mode
	Load    []string // arguments of the load command
	Metrics []Metric // the first one is the figure to compare
	Spread  bool     // connect from several addresses, for short sessions
	Full    bool     // only in the full set
	Silent  int      // idle sessions at the top; a target that needs more fds than there are gets fewer
}

// Metric reads one figure out of a run; ok is false where it has no meaning, such as a balancer's CPU without one.
type Metric struct {
	Name   string
	Format string // fmt verb
	Of     func(r *load.Result) (v float64, ok bool)
}

// Scenarios returns all of them; windowMs is the length of a timed measurement (the tail of a latency needs twice that),
// bulkBytes the bytes of a bulk one (200 streams: twice, or socket buffers would hold most of it).
func Scenarios(windowMs int, bulkBytes uint64) []Scenario {
	bytes, twice := fmt.Sprint(bulkBytes), fmt.Sprint(2*bulkBytes)
	timed := func(args ...string) []string {
		return append(args, "--warm", "300ms", "--for", fmt.Sprintf("%dms", windowMs))
	}
	return []Scenario{
		{
			Name: "bulk-1", About: "1 stream, server to client", Mode: serve.Source, Metrics: bulkMetrics,
			Load: []string{"bulk", "--streams", "1", "--bytes", bytes},
		},
		{
			Name: "bulk-200", About: "200 streams, server to client", Mode: serve.Source, Metrics: bulkMetrics,
			Load: []string{"bulk", "--streams", "200", "--bytes", twice},
		},
		{
			Name: "bulk-up-20", About: "20 streams, client to server", Mode: serve.Sink, Metrics: bulkMetrics, Full: true,
			Load: []string{"bulk", "--up", "--streams", "20", "--bytes", bytes},
		},
		{
			Name: "echo", About: "64 B messages, 200 sessions, closed loop", Mode: serve.Echo, Metrics: echoMetrics,
			Load: timed("echo", "--sessions", "200", "--message", "64"),
		},
		{
			Name: "echo-4k", About: "4 KiB messages, 200 sessions, closed loop", Mode: serve.Echo, Metrics: echoMetrics, Full: true,
			Load: timed("echo", "--sessions", "200", "--message", "4096"),
		},
		{
			Name: "latency", About: "64 B messages, 200 sessions, 10,000 a second on a fixed schedule", Mode: serve.Echo, Metrics: latencyMetrics,
			Load: []string{"echo", "--sessions", "200", "--message", "64", "--rate", "10000", "--warm", "300ms", "--for", fmt.Sprintf("%dms", 2*windowMs)},
		},
		{
			Name: "churn", About: "connect, 64 B echo, close; 50 at once", Mode: serve.Echo, Metrics: churnMetrics, Spread: true,
			Load: timed("churn", "--at-once", "50", "--message", "64"),
		},
		{
			Name: "idle", About: "4,000 silent sessions; memory is (RSS at 4,000 - RSS at 1,000) / 3,000", Mode: serve.Echo, Metrics: idleMetrics,
			Load: []string{"idle", "--for", "1s"}, Silent: 4000,
		},
	}
}

// silentSteps are the numbers of idle sessions for a target, within the fd limit: RLIMIT_NOFILE less a reserve.
func (sc *Scenario) silentSteps(t Target, fdLimit int) []string {
	if sc.Silent == 0 {
		return nil
	}
	top := min(sc.Silent, (fdLimit-500)/max(t.fdsPerSession, 1)/100*100)
	return []string{"--sessions", fmt.Sprint(min(1000, top/2)), "--sessions", fmt.Sprint(top)}
}

var (
	bulkMetrics = []Metric{
		{"CPU s per GB", "%.3f", perGB(target)},
		{"all CPUs' s per GB", "%.3f", perGB(machine)},
		{"GB per s", "%.2f", perSecond(gigabytes)},
		{"balancer busy %", "%.0f", busy},
	}
	echoMetrics = []Metric{
		{"messages per CPU s", "%.0f", per(messages, target)},
		{"messages per all CPUs' s", "%.0f", per(messages, machine)},
		{"messages per s", "%.0f", perSecond(messages)},
		{"balancer busy %", "%.0f", busy},
	}
	churnMetrics = []Metric{
		{"sessions per CPU s", "%.0f", per(sessions, target)},
		{"sessions per all CPUs' s", "%.0f", per(sessions, machine)},
		{"sessions per s", "%.0f", perSecond(sessions)},
		{"balancer busy %", "%.0f", busy},
	}
	latencyMetrics = []Metric{
		{"p99.9 us", "%.0f", latency(func(l *load.Latency) float64 { return l.P999 })},
		{"p99 us", "%.0f", latency(func(l *load.Latency) float64 { return l.P99 })},
		{"p50 us", "%.0f", latency(func(l *load.Latency) float64 { return l.P50 })},
		{"messages per CPU s", "%.0f", per(messages, target)},
	}
	idleMetrics = []Metric{
		{"bytes per session", "%.0f", slope},
		{"RSS at the top, MB", "%.1f", lastRSS},
		{"CPU % at rest", "%.1f", atRest},
	}
)

func messages(r *load.Result) float64  { return float64(r.Messages) }
func sessions(r *load.Result) float64  { return float64(r.Sessions) }
func gigabytes(r *load.Result) float64 { return float64(r.Bytes) / 1e9 }
func target(r *load.Result) float64    { return r.CPU.Target }

// machine is the time of all processors, kernel threads and unrelated programs included.
func machine(r *load.Result) (sum float64) {
	for _, s := range r.CPU.Busy {
		sum += s
	}
	return sum
}

type reading func(r *load.Result) (float64, bool)

func per(units, cost func(*load.Result) float64) reading {
	return func(r *load.Result) (float64, bool) {
		c := cost(r)
		return units(r) / c, c > 0
	}
}

func perGB(cost func(*load.Result) float64) reading {
	return func(r *load.Result) (float64, bool) {
		c := cost(r)
		return c / gigabytes(r), c > 0 && r.Bytes > 0
	}
}

func perSecond(units func(*load.Result) float64) reading {
	return func(r *load.Result) (float64, bool) { return units(r) / r.Seconds, r.Seconds > 0 }
}

func latency(of func(*load.Latency) float64) reading {
	return func(r *load.Result) (float64, bool) {
		if r.Latency == nil || r.Latency.Count == 0 {
			return 0, false
		}
		return of(r.Latency), true
	}
}

func slope(r *load.Result) (float64, bool) {
	if len(r.Memory) < 2 {
		return 0, false
	}
	a, b := r.Memory[0], r.Memory[len(r.Memory)-1]
	return float64(b.RSS-a.RSS) / float64(b.Sessions-a.Sessions), true
}

func lastRSS(r *load.Result) (float64, bool) {
	if len(r.Memory) == 0 {
		return 0, false
	}
	return float64(r.Memory[len(r.Memory)-1].RSS) / 1e6, true
}

// busy is the share of one processor that the balancer used. Below about 90 the load side was the bottleneck, and rates
// per second say less about the balancer than costs do.
func busy(r *load.Result) (float64, bool) {
	return 100 * r.CPU.Target / r.Seconds, r.CPU.Target > 0
}

func atRest(r *load.Result) (float64, bool) {
	return 100 * r.CPU.Target / r.Seconds, len(r.Memory) > 0
}
