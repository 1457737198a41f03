package scale

import (
	"fmt"
	"math"
	"time"
)

const million = 1_000_000

// Sources of the kernel's figures.
const (
	fromGroup   = "what the balancers' memory cgroup is charged for"
	fromMachine = "half of what slab and TCP buffers of the whole machine grew, other programs' too"
)

// Forecast is what the lines say about a million sessions on a box in service, whose clients and backends are elsewhere.
type Forecast struct {
	Processes   int     `json:"processes"` // at this machine's limit of descriptors
	UserBytes   float64 `json:"user_bytes"`
	KernelBytes float64 `json:"kernel_bytes"`
	RestCPU     float64 `json:"rest_cpus"` // processors that the balancers use, nothing happening
	Trust       string  `json:"trust"`     // a sentence
}

// conclude draws the lines. The empty machine is not on them: first pages and caches would bend them.
func (r *run) conclude() {
	res := &r.res
	res.Took = time.Since(r.began)
	points := res.Steps
	if len(points) < 2 {
		points = append([]Measure{res.Base}, points...)
	}
	line := func(of func(Measure) float64) Line {
		var x, y []float64
		for _, m := range points {
			x, y = append(x, float64(m.Sessions)), append(y, of(m))
		}
		return fit(x, y)
	}
	res.User = line(func(m Measure) float64 { return float64(m.RSS) })
	res.Kernel, res.KernelFrom = line(func(m Measure) float64 { return float64(m.kernel()) }), fromMachine
	if r.group != nil {
		res.KernelFrom = fromGroup
	}
	res.Machine = line(func(m Measure) float64 { return float64(res.Base.Available - m.Available) })
	res.Rest = line(func(m Measure) float64 { return m.RestCPU / m.RestSeconds })
	each, err := perProcess()
	if err != nil {
		each = max(res.Sessions/res.Processes, 1)
	}
	res.Million = res.forecast(each)
}

// forecast gives each process the share of the line's intercept that one of ours has.
func (r *Result) forecast(each int) Forecast {
	f := Forecast{Processes: (million + each - 1) / each}
	f.UserBytes = r.User.Intercept/float64(r.Processes)*float64(f.Processes) + r.User.Slope*million
	f.KernelBytes = r.Kernel.Slope * million
	f.RestCPU = max(r.Rest.Slope, 0) * million
	worst := max(r.User.Residual, r.Kernel.Residual)
	switch {
	case len(r.Steps) < 3:
		f.Trust = fmt.Sprintf("%d steps say nothing of a curve", len(r.Steps))
	case worst > 0.1:
		f.Trust = fmt.Sprintf("a step is off its line by %.0f %% of the rise: others used the machine, or it is no line", 100*worst)
	default:
		f.Trust = fmt.Sprintf("no step is off its line by more than %.1f %% of the rise, up to %d sessions; a million is %.0f times that", 100*worst, r.Sessions, math.Ceil(float64(million)/float64(r.Sessions)))
	}
	return f
}
