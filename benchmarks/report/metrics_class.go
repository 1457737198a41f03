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
		{"CPU ms per return", "ms", Lower, "Time of the balancer's processes during the storm for each client that came back.", returned(func(r *load.Return) (float64, bool) {
			return over(1e3*r.CPU, float64(r.Returned))
		})},
		{"others' p99", "µs", Lower, "Messages of the sessions that were not cut, while the others came back.", returned(func(r *load.Return) (float64, bool) {
			return in(r.Elsewhere, func(l *load.Latency) float64 { return l.P99 })
		})},
	}
	slowMetrics  []Metric
	mixedMetrics []Metric
)

func returned(of func(*load.Return) (float64, bool)) reading {
	return func(r *load.Result) (float64, bool) {
		if r.Return == nil {
			return 0, false
		}
		return of(r.Return)
	}
}

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
