package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/stats"
)

// Shedding closes established sessions on purpose, spread evenly over a time.
type Shedding struct {
	Reason  stats.Reason
	Backend backend.Number // only the sessions of this one; NoBackend: all
	OverMs  int64
	Part    int64 // one of so many sessions; 0: all
}

// shedding is one of them under way.
type shedding struct {
	Shedding
	beganMs      int64
	total, ended int64
	cursor       uint32 // the next slot to look at
}

// Shed begins to close sessions. Those that are under way go on beside it: the drain of the whole process must not end
// because one backend fails meanwhile.
func (w *Worker) Shed(s Shedding) {
	x := shedding{Shedding: s, beganMs: w.nowMs}
	for slot := range w.slots.used {
		if x.takes(w.slots.at(slot)) {
			x.total++
		}
	}
	if s.Part > 0 {
		x.total = (x.total + s.Part - 1) / s.Part
	}
	w.sheds = append(w.sheds, x)
}

func (s *shedding) takes(x *session) bool {
	return x.state != free && x.state != dead && (s.Backend == backend.NoBackend || x.backend == s.Backend)
}

// runSheddings closes as many sessions as are due by now, and forgets what is done.
func (w *Worker) runSheddings() {
	going := w.sheds[:0]
	for i := range w.sheds {
		if s := &w.sheds[i]; !w.runShedding(s) {
			going = append(going, *s)
		}
	}
	w.sheds = going
}

// runShedding does it for one and returns whether that is done.
func (w *Worker) runShedding(s *shedding) bool {
	due := s.total
	if elapsed := w.nowMs - s.beganMs; elapsed < s.OverMs {
		due = s.total * elapsed / s.OverMs
	}
	for s.ended < due && s.cursor < w.slots.used {
		if x := w.slots.at(s.cursor); s.takes(x) {
			w.cut(s.cursor, x, s.Reason)
			s.ended++
		}
		s.cursor++
	}
	return s.ended >= s.total || s.cursor >= w.slots.used
}
