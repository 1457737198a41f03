package report

import (
	"slices"

	"github.com/longsplice/longsplice/benchmarks/load"
)

// The workloads whose sessions are of several kinds, and the storm.
var (
	returnMetrics = []Metric{
		{"time to return", "s", Lower, "From the backend's death to the last cut client's first answer from another one.", returned(func(r *load.Return) (float64, bool) { return r.Seconds, true })},
		{"first answer p99", "ms", Lower, "One client in a hundred waited longer for its first answer after the backend's death.", returned(func(r *load.Return) (float64, bool) {
			v, ok := in(r.Answer, func(l *load.Latency) float64 { return l.P99 })
			return v / 1e3, ok
		})},
		{"last cut", "s", Lower, "From the backend's death to when the last client learnt of it.", returned(func(r *load.Return) (float64, bool) { return r.LastCut, r.LastCut > 0 })},
		{"attempts per return", "", Lower, "Connections begun for each client that came back; 1 is the least.", returned(func(r *load.Return) (float64, bool) {
			return over(float64(r.Attempts), float64(r.Returned))
		})},
		{"CPU ms per return", "", Lower, "Time of the balancer's processes during the storm for each client that came back.", returned(func(r *load.Return) (float64, bool) {
			return over(1e3*r.CPU, float64(r.Returned))
		})},
		{"others' p99", "µs", Lower, "Messages of the sessions that were not cut, while the others came back.", returned(func(r *load.Return) (float64, bool) {
			return in(r.Elsewhere, func(l *load.Latency) float64 { return l.P99 })
		})},
	}
)

// slowMetrics compare the fast streams' halves, without and beside the stalled ones.
var slowMetrics = []Metric{
	{"speed kept", "%", Higher, "Rate of the fast streams beside the stalled ones, as a share of their rate alone.", func(r *load.Result) (float64, bool) {
		v, ok := ratioOf(r, load.SlowBeside, load.SlowAlone, func(c *load.Class) (float64, bool) { return over(float64(c.Bytes), c.Seconds) })
		return 100 * v, ok
	}},
	{"RSS per stalled session", "B", Lower, "Growth of the balancer's resident memory for each stalled session.", slope(rss)},
	{"kernel memory per stalled session", "B", Lower, "Growth of the machine's slab and TCP memory for each stalled session: the bytes that wait in sockets and pipes are in it.", slope(kernel)},
}

// ratioOf is a figure of one class over that of another.
func ratioOf(r *load.Result, a, b string, of func(*load.Class) (float64, bool)) (float64, bool) {
	v, ok1 := class(a, of)(r)
	d, ok2 := class(b, of)(r)
	if !ok1 || !ok2 {
		return 0, false
	}
	return over(v, d)
}

func returned(of func(*load.Return) (float64, bool)) reading {
	return func(r *load.Result) (float64, bool) {
		if r.Return == nil {
			return 0, false
		}
		return of(r.Return)
	}
}

// classMetrics are the figures of each class of sessions that the results tell apart, in their order.
func classMetrics(results []*load.Result) (out []Metric) {
	var names []string
	for _, r := range results {
		for _, c := range r.Classes {
			if !slices.Contains(names, c.Name) {
				names = append(names, c.Name)
			}
		}
	}
	for _, n := range names {
		out = append(out,
			Metric{n + " p99.9", "µs", Lower, "Of the sessions called " + n + ".", class(n, func(c *load.Class) (float64, bool) { return in(c.Latency, p999) })},
			Metric{n + " p50", "µs", Lower, "Of the sessions called " + n + ".", class(n, func(c *load.Class) (float64, bool) { return in(c.Latency, p50) })},
			Metric{n + " messages per s", "1/s", Higher, "Of the sessions called " + n + ".", class(n, func(c *load.Class) (float64, bool) { return over(float64(c.Messages), c.Seconds) })},
			Metric{n + " MB per s", "MB/s", Higher, "Of the sessions called " + n + ".", class(n, func(c *load.Class) (float64, bool) { return over(float64(c.Bytes)/1e6, c.Seconds) })},
			Metric{n + " CPU s per GB", "s/GB", Lower, "While the sessions called " + n + " were measured.", class(n, func(c *load.Class) (float64, bool) { return over(c.CPU, float64(c.Bytes)/1e9) })},
		)
	}
	return out
}

func p999(l *load.Latency) float64 { return l.P999 }
func p50(l *load.Latency) float64  { return l.P50 }

// class finds the sessions of that name.
func class(name string, of func(*load.Class) (float64, bool)) reading {
	return func(r *load.Result) (float64, bool) {
		i := slices.IndexFunc(r.Classes, func(c load.Class) bool { return c.Name == name })
		if i < 0 {
			return 0, false
		}
		return of(&r.Classes[i])
	}
}
