package run

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/longsplice/longsplice/benchmarks/report"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/sys/unix"
)

// Progress shows how a run goes on: a bar with the time left on a terminal, elsewhere a line for each measurement.
type Progress struct {
	w         io.Writer
	bar       *progressbar.ProgressBar // nil: lines
	rounds    int
	cases     map[string]report.Case
	estimates map[string]int64 // ms, by case
	all, done int
	noisy     int
}

// NewProgress writes to f.
func NewProgress(f *os.File, cfg Config, rep *report.Report) *Progress {
	p := &Progress{w: f, rounds: cfg.Rounds, cases: map[string]report.Case{}, estimates: map[string]int64{}}
	for i := range cfg.Cases {
		p.cases[cfg.Cases[i].ID()] = rep.Cases[i]
		p.estimates[cfg.Cases[i].ID()] = cfg.Cases[i].Estimate().Milliseconds()
	}
	p.all = cfg.Rounds * len(cfg.Cases) * len(cfg.Targets)
	if IsTerminal(f) {
		// In milliseconds and not in measurements: what is left is told from what is done.
		p.bar = progressbar.NewOptions64(cfg.Estimate().Milliseconds(), progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(24),
			progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true), progressbar.OptionClearOnFinish(),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetDescription("measuring"))
	}
	return p
}

// Begins names what is being measured.
func (p *Progress) Begins(round int, caseID, target string) {
	if p.bar != nil {
		p.bar.Describe(fmt.Sprintf("round %d/%d %s %s", round, p.rounds, caseID, target))
	}
}

// Seen takes in the next measurement.
func (p *Progress) Seen(run report.Run) {
	p.done++
	if run.Foreign >= NoiseLimit {
		p.noisy++
	}
	line := p.line(run)
	if p.bar == nil {
		fmt.Fprintln(p.w, line)
		return
	}
	if !run.Sound() { // stays above the bar
		_ = p.bar.Clear()
		fmt.Fprintln(p.w, line)
	}
	_ = p.bar.Add64(p.estimates[run.Case])
}

func (p *Progress) line(run report.Run) string {
	line := fmt.Sprintf("%*d/%d  round %d  %-16s %-11s", len(fmt.Sprint(p.all)), p.done, p.all, run.Round, run.Case, run.Target)
	if run.Result != nil {
		shown := 0
		for _, m := range p.cases[run.Case].Metrics() {
			if v, ok := m.Of(run.Result); ok && shown < 3 {
				line += fmt.Sprintf("  %s %s", m.Name, m.Text(v))
				shown++
			}
		}
	}
	if run.Foreign >= NoiseLimit {
		line += fmt.Sprintf("  (noise: others used %.2f processors)", run.Foreign)
	}
	if !run.Sound() {
		line += "  NOT SOUND: " + run.Fault()
	}
	return line
}

// Close takes the bar away and says how quiet the machine was.
func (p *Progress) Close() {
	if p.bar != nil {
		_ = p.bar.Clear()
	}
	if p.noisy > 0 {
		fmt.Fprintf(p.w, "noise: during %d of %d measurements others used %.0f %% of a processor or more; a quiet machine says more\n", p.noisy, p.done, 100*NoiseLimit)
	}
}

// IsTerminal says whether a person looks on.
func IsTerminal(f *os.File) bool {
	if f == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
