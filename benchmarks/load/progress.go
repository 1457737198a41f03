package load

import "time"

// tellEvery is how often progress is told.
const tellEvery = 100 * time.Millisecond

// progress is what a run is doing, for people who wait for it.
type progress struct {
	doing string
	part  func() float64 // nil: not known
	told  time.Time
}

func (p *progress) begin(doing string, part func() float64) { p.doing, p.part = doing, part }

// during gives the stage's part, unless it has a better one; the stage before the measurement is the warming.
func (p *progress) during(part func() float64) {
	if p.doing != "measuring" && p.doing != "ending" {
		p.doing = "warming up"
	}
	p.part = part
}

func (p *progress) tell(to func(string, float64)) {
	if p.part == nil || time.Since(p.told) < tellEvery {
		return
	}
	p.told = time.Now()
	to(p.doing, min(max(p.part(), 0), 1))
}
