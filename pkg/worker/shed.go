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
	active       bool
	beganMs      int64
	total, ended int64
	cursor       uint32 // the next slot to look at
}

// Shed begins to close sessions; a shedding that is under way is replaced.
func (w *Worker) Shed(s Shedding) {
	w.shed = shedding{Shedding: s, active: true, beganMs: w.nowMs}
	for slot := range w.slots.used {
		if w.shed.takes(w.slots.at(slot)) {
			w.shed.total++
		}
	}
	if s.Part > 0 {
		w.shed.total = (w.shed.total + s.Part - 1) / s.Part
	}
}

func (s *shedding) takes(x *session) bool {
	return x.state != free && x.state != dead && (s.Backend == backend.NoBackend || x.backend == s.Backend)
}

// runShedding closes as many sessions as are due by now.
func (w *Worker) runShedding() {
	s := &w.shed
	if !s.active {
		return
	}
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
	s.active = s.ended < s.total && s.cursor < w.slots.used
}
