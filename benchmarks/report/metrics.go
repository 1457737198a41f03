package report

import (
	"strings"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// Direction says which side of 1 is the good one.
type Direction int

// The directions.
const (
	Lower   Direction = iota // less is better
	Higher                   // more is better
	Neither                  // context: how busy the balancer was
)

func (d Direction) String() string {
	return [...]string{"lower is better", "higher is better", ""}[d]
}

// Metric is one figure that is read out of a measurement. Its name tells it from the others of its workload, also in a
// comparison of two reports.
type Metric struct {
	Name   string
	Unit   string // as an axis shows it
	Better Direction
	About  string // a sentence
	// Of reads it; ok is false where it has no meaning, such as a balancer's CPU time without a balancer.
	Of func(r *load.Result) (v float64, ok bool)
}

// Text writes a value as the tables show it, without its unit.
func (m Metric) Text(v float64) string { return number(v) }

// Label is the name with its unit, where the name alone does not say it.
func (m Metric) Label() string {
	if m.Unit == "" || strings.Contains(m.Name, " per ") && m.Unit != "B" {
		return m.Name
	}
	return m.Name + ", " + m.Unit
}

// Metrics are the figures of a workload; the first one is the one to compare. An unknown workload has those that any has.
func Metrics(workload string) []Metric {
	switch workload {
	case "bulk":
		return join(costsPerGB, only(gigabytesPerSecond), only(callsPerGB), held, howBusy)
	case "echo":
		return join(costsPerMessage, only(messagesPerSecond), latencies, only(callsPerMessage), held, howBusy)
	case "push", paced:
		return join(latencies, costsPerMessage, only(callsPerMessage), held, howBusy)
	case "churn":
		return join(costsPerSession, only(sessionsPerSecond), latencies, only(callsPerSession), held, howBusy)
	case "idle":
		return idleMetrics
	case "storm":
		return join(returnMetrics, held, howBusy)
	case "mixed": // the figures of its classes come first
		return join(held, howBusy)
	case "slow":
		return join(slowMetrics, costsPerGB, held, howBusy)
	}
	return join(latencies, held, howBusy)
}

// paced is a workload whose messages are sent on a fixed schedule: there latency is what is compared, and the rate given.
const paced = "paced"

// Metrics are those of the case's workload; a load with a rate is judged by its latency.
func (c Case) Metrics() []Metric { return Metrics(c.kind()) }

// kind is the workload, or paced.
func (c Case) kind() string {
	if c.Workload == "echo" && c.paced() {
		return paced
	}
	return c.Workload
}

func (c Case) paced() bool {
	for word := range strings.FieldsSeq(c.Command) {
		if word == "--rate" || strings.HasPrefix(word, "--rate=") {
			return true
		}
	}
	return false
}

func join(lists ...[]Metric) (out []Metric) {
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

func only(one Metric) []Metric { return []Metric{one} }

const (
	aboutCPU   = "User and system time of the balancer's processes in the window."
	aboutCalls = "System calls of the balancer's processes but epoll_wait; counting them costs, so it is off unless asked for."
	aboutAll   = "Time of all processors, kernel threads, load generator and backend included."
)

var (
	costsPerGB = []Metric{
		{"CPU s per GB", "s/GB", Lower, aboutCPU + " 1 GB = 10^9 bytes of payload, counted once.", cost(target, gigabytes)},
		{"all CPUs' s per GB", "s/GB", Lower, aboutAll, cost(machine, gigabytes)},
	}
	costsPerMessage = []Metric{
		{"messages per CPU s", "1/s", Higher, aboutCPU + " A message counts once, there and back.", yield(messages, target)},
		{"messages per all CPUs' s", "1/s", Higher, aboutAll, yield(messages, machine)},
	}
	costsPerSession = []Metric{
		{"sessions per CPU s", "1/s", Higher, aboutCPU + " A session is connect, one message there and back, close.", yield(sessions, target)},
		{"sessions per all CPUs' s", "1/s", Higher, aboutAll, yield(sessions, machine)},
	}

	gigabytesPerSecond = Metric{"GB per s", "GB/s", Higher, "Payload that arrived. On loopback the load side is often the limit: see balancer busy.", perSecond(gigabytes)}
	messagesPerSecond  = Metric{"messages per s", "1/s", Higher, "Messages that came back. On loopback the load side is often the limit: see balancer busy.", perSecond(messages)}
	sessionsPerSecond  = Metric{"sessions per s", "1/s", Higher, "Sessions that were completed. On loopback the load side is often the limit: see balancer busy.", perSecond(sessions)}

	latencies = []Metric{
		{"p99.9", "µs", Lower, "One message in a thousand took longer.", latency(p999)},
		{"p99", "µs", Lower, "One message in a hundred took longer.", latency(func(l *load.Latency) float64 { return l.P99 })},
		{"p90", "µs", Lower, "One message in ten took longer.", latency(func(l *load.Latency) float64 { return l.P90 })},
		{"p50", "µs", Lower, "Half of the messages took longer.", latency(p50)},
	}
	callsPerGB      = Metric{"system calls per MB", "1/MB", Lower, aboutCalls, cost(calls, func(r *load.Result) float64 { return float64(r.Bytes) / 1e6 })}
	callsPerMessage = Metric{"system calls per message", "", Lower, aboutCalls, cost(calls, messages)}
	callsPerSession = Metric{"system calls per session", "", Lower, aboutCalls, cost(calls, sessions)}

	held = []Metric{
		{"RSS under load", "MB", Lower, "Resident memory of the balancer's processes at the end of the window.", holds(rss, 1e6)},
		{"fds under load", "", Lower, "File descriptors of the balancer's processes at the end of the window.", holds(fds, 1)},
	}
	howBusy = []Metric{
		{"balancer busy", "%", Neither, "Share of one processor that the balancer used. Well below 100, something else was the limit, and rates per second say less than costs.", busy},
	}
	idleMetrics = []Metric{
		{"RSS per session", "B", Lower, "Slope of the resident memory of the balancer's processes over its sessions, from the first step to the last.", slope(rss)},
		{"kernel memory per session", "B", Lower, "Slope of the machine's slab and TCP memory. Both ends of every connection are on this machine, so load generator and backend are in it: two sockets of theirs a session.", slope(kernel)},
		{"fds per session", "", Lower, "Slope of the open file descriptors of the balancer's processes.", slope(fds)},
		{"RSS at the top", "MB", Lower, "Resident memory of the balancer's processes with all sessions.", top(rss, 1e6)},
		{"CPU at rest", "%", Lower, "Share of one processor that the balancer used while nothing happened.", atRest},
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

// yield is units for a second of processor time, cost the other way up.
func yield(units, time func(*load.Result) float64) reading {
	return func(r *load.Result) (float64, bool) { return over(units(r), time(r)) }
}

func cost(time, units func(*load.Result) float64) reading {
	return func(r *load.Result) (float64, bool) { return over(time(r), units(r)) }
}

// over is a/b, where both are above zero: nothing was counted otherwise.
func over(a, b float64) (float64, bool) {
	if a <= 0 || b <= 0 {
		return 0, false
	}
	return a / b, true
}

func perSecond(units func(*load.Result) float64) reading {
	return func(r *load.Result) (float64, bool) { return over(units(r), r.Seconds) }
}

func latency(of func(*load.Latency) float64) reading {
	return func(r *load.Result) (float64, bool) { return in(r.Latency, of) }
}

// in reads a latency that may not be there.
func in(l *load.Latency, of func(*load.Latency) float64) (float64, bool) {
	if l == nil || l.Count == 0 {
		return 0, false
	}
	return of(l), true
}

func rss(f load.Footprint) int64    { return f.RSS }
func fds(f load.Footprint) int64    { return int64(f.FDs) }
func kernel(f load.Footprint) int64 { return f.Slab + f.TCP }

// calls leaves out the waits for events: how many sessions share one is the load's doing.
func calls(r *load.Result) float64 {
	if r.Syscalls == nil {
		return 0
	}
	n := r.Syscalls.Total
	for _, wait := range []string{"epoll_wait", "epoll_pwait", "epoll_pwait2"} {
		n -= r.Syscalls.Calls[wait]
	}
	return float64(n)
}

// holds is what the balancer held at the end of the window.
func holds(of func(load.Footprint) int64, unit float64) reading {
	return func(r *load.Result) (float64, bool) {
		if r.Held == nil || of(*r.Held) == 0 {
			return 0, false
		}
		return float64(of(*r.Held)) / unit, true
	}
}

// slope is the growth per session from the first step to the last.
func slope(of func(load.Footprint) int64) reading {
	return func(r *load.Result) (float64, bool) {
		if len(r.Memory) < 2 {
			return 0, false
		}
		a, b := r.Memory[0], r.Memory[len(r.Memory)-1]
		if a.Sessions >= b.Sessions || of(b) == 0 {
			return 0, false
		}
		return float64(of(b)-of(a)) / float64(b.Sessions-a.Sessions), true
	}
}

// top is the last step's figure in that unit.
func top(of func(load.Footprint) int64, unit float64) reading {
	return func(r *load.Result) (float64, bool) {
		if len(r.Memory) == 0 || of(r.Memory[len(r.Memory)-1]) == 0 {
			return 0, false
		}
		return float64(of(r.Memory[len(r.Memory)-1])) / unit, true
	}
}

// busy needs a balancer whose time was read.
func busy(r *load.Result) (float64, bool) {
	v, ok := over(r.CPU.Target, r.Seconds)
	return 100 * v, ok
}

// atRest may well be zero.
func atRest(r *load.Result) (float64, bool) {
	if len(r.Memory) == 0 || r.Memory[0].RSS == 0 || r.Seconds <= 0 {
		return 0, false
	}
	return 100 * r.CPU.Target / r.Seconds, true
}
