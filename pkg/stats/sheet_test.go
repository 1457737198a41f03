package stats

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
)

// A span is a run of counters in a row; rows must be spans one after the other, or counters would share a place.
type span struct {
	name      string
	base, len int
}

func TestCountersOfARowDoNotOverlap(t *testing.T) {
	rows := []struct {
		name  string
		width int
		spans []span
	}{
		{"frontend", FrontendWidth, []span{
			{"accepted", Accepted, 1},
			{"refused", RefusedBase, int(NumRefusals)},
			{"ended", EndedBase, int(NumReasons)},
			{"to backend", ToBackend, 1},
			{"to client", ToClient, 1},
			{"zero byte", ZeroByte, 1},
			{"duration", DurationBase, len(DurationBounds) + 2},
		}},
		{"backend", BackendWidth, []span{
			{"to backend", BackendToBackend, 1},
			{"to client", BackendToClient, 1},
			{"causes", CauseBase, int(NumCauses)},
			{"failures", FailureBase, int(NumConnectFailures)},
		}},
		{"pool", PoolWidth, []span{{"retries", Retries, 1}, {"begun", DialBegun, 1}, {"ended", DialEnded, 1}, {"connect", ConnectBase, len(ConnectBounds) + 2}}},
		{"worker's own, its end", WorkerWidth, []span{{"all before", 0, TurnBase}, {"turns", TurnBase, len(TurnBounds) + 2}}},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			next := 0
			for _, s := range r.spans {
				if s.base != next {
					t.Errorf("%s begins at %d, want %d", s.name, s.base, next)
				}
				next = s.base + s.len
			}
			if next != r.width {
				t.Errorf("width %d, want %d", r.width, next)
			}
		})
	}
}

func TestNothingShowsBeforePublish(t *testing.T) {
	s := NewSheet()
	s.Grow(Frontend, 1)
	s.Row(Frontend, 0).Add(Accepted, 3)
	if got := copyOf(s).Value(Frontend, 0, Accepted); got != 0 {
		t.Errorf("%d shows before Publish", got)
	}
	s.Publish()
	s.Row(Frontend, 0).Add(Accepted, 1)
	s.Row(Own, 0).Put(PipesIdle, 9)
	if got := copyOf(s).Value(Frontend, 0, Accepted); got != 3 {
		t.Errorf("%d shows, want the 3 that were published", got)
	}
	s.Publish()
	s.Row(Own, 0).Put(PipesIdle, 4)
	s.Publish()
	if got := copyOf(s); got.Value(Frontend, 0, Accepted) != 4 || got.Value(Own, 0, PipesIdle) != 4 {
		t.Errorf("accepted %d, idle pipes %d; want 4 and 4", got.Value(Frontend, 0, Accepted), got.Value(Own, 0, PipesIdle))
	}
}

func copyOf(sheets ...*Sheet) *Copy {
	var c Copy
	for _, s := range sheets {
		s.AddTo(&c)
	}
	return &c
}

func TestSheetsOfDifferentSizeAddUp(t *testing.T) {
	a, b := NewSheet(), NewSheet()
	a.Grow(Backend, 1)
	b.Grow(Backend, 3)
	a.Row(Backend, 0).Add(BackendToBackend, 1)
	b.Row(Backend, 0).Add(BackendToBackend, 2)
	b.Row(Backend, 2).Add(BackendToBackend, 5)
	a.Publish()
	b.Publish()
	for _, order := range [][]*Sheet{{a, b}, {b, a}} {
		sum := copyOf(order...)
		for number, want := range []uint64{3, 0, 5, 0} {
			if got := sum.Value(Backend, number, BackendToBackend); got != want {
				t.Errorf("backend %d: %d, want %d", number, got, want)
			}
		}
	}
}

func TestGrowKeepsRows(t *testing.T) {
	s := NewSheet()
	s.Grow(Pool, 1)
	first := s.Row(Pool, 0)
	first.Add(Retries, 2) // not published yet: what is dirty survives, too
	s.Grow(Pool, 3)
	s.Grow(Pool, 2)
	if s.Row(Pool, 0) != first {
		t.Error("a row was replaced")
	}
	s.Row(Pool, 2).Add(Retries, 7)
	s.Publish()
	if c := copyOf(s); c.Value(Pool, 0, Retries) != 2 || c.Value(Pool, 2, Retries) != 7 {
		t.Errorf("%d and %d retries, want 2 and 7", c.Value(Pool, 0, Retries), c.Value(Pool, 2, Retries))
	}
}

func TestObserve(t *testing.T) {
	cases := []struct {
		name    string
		seconds float64
		bucket  int
	}{
		{"nothing", 0, 0},
		{"a bound belongs to its bucket", 0.01, 0},
		{"just above", 0.010001, 1},
		{"the last bound", 24 * 3600, len(DurationBounds) - 1},
		{"beyond all", 1e6, len(DurationBounds)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := NewSheet()
			s.Grow(Frontend, 1)
			s.Row(Frontend, 0).Observe(DurationBase, DurationBounds[:], c.seconds)
			s.Publish()
			sum := copyOf(s)
			for i := range len(DurationBounds) + 1 {
				want := uint64(0)
				if i == c.bucket {
					want = 1
				}
				if got := sum.Value(Frontend, 0, DurationBase+i); got != want {
					t.Errorf("bucket %d holds %d, want %d", i, got, want)
				}
			}
			if got, want := sum.Value(Frontend, 0, DurationBase+len(DurationBounds)+1), uint64(c.seconds*1e6); got != want {
				t.Errorf("sum %d us, want %d", got, want)
			}
		})
	}
}

func TestHistogramAddsUp(t *testing.T) {
	const observations = 10_000
	s, rng, us := NewSheet(), rand.New(rand.NewPCG(7, 7)), uint64(0)
	for range observations {
		seconds := rng.ExpFloat64() * 0.01
		s.Row(Own, 0).Observe(TurnBase, TurnBounds[:], seconds)
		us += uint64(seconds * 1e6)
	}
	s.Publish()
	c, count := copyOf(s), uint64(0)
	for i := range len(TurnBounds) + 1 {
		count += c.Value(Own, 0, TurnBase+i)
	}
	if got := c.Value(Own, 0, TurnBase+len(TurnBounds)+1); count != observations || got != us {
		t.Errorf("%d observations of %d us, want %d of %d", count, got, observations, us)
	}
}

// Whatever is true at every Publish is true in every copy: over counters, rows and kinds, while rows are added.
func TestCopiesAreOneMoment(t *testing.T) {
	const steps, frontends = 20_000, 4
	s := NewSheet()
	s.Grow(Frontend, 1)
	s.Grow(Backend, 1)
	var over atomic.Bool
	go func() {
		defer over.Store(true)
		for i := range steps {
			if i%(steps/frontends) == 0 {
				s.Grow(Frontend, i*frontends/steps+1)
			}
			number := i % len(*s.rows[Frontend].Load())
			s.Row(Frontend, number).Add(Accepted, 2)
			s.Row(Backend, 0).Add(BackendToBackend, 1)
			s.Row(Frontend, number).Add(EndedBase+int(ClientFIN), 1)
			s.Row(Own, 0).Add(CopiedBytes, 100)
			s.Publish()
		}
	}()
	copies, last := 0, uint64(0)
	for done := false; !done; copies++ {
		done = over.Load()
		c := copyOf(s)
		accepted, ended := uint64(0), uint64(0)
		for number := range frontends {
			accepted += c.Value(Frontend, number, Accepted)
			ended += c.Value(Frontend, number, EndedBase+int(ClientFIN))
		}
		relayed, bytes := c.Value(Backend, 0, BackendToBackend), c.Value(Own, 0, CopiedBytes)
		if accepted != 2*ended || relayed != ended || bytes != 100*ended || ended < last {
			t.Fatalf("copy %d: accepted %d, ended %d (before: %d), relayed %d, %d bytes", copies, accepted, ended, last, relayed, bytes)
		}
		last = ended
	}
	t.Logf("%d copies during %d publishes", copies, steps)
	if last != steps {
		t.Errorf("the last copy shows %d, want %d", last, steps)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	s := NewSheet()
	s.Grow(Frontend, 8)
	s.Grow(Backend, 8)
	n := testing.AllocsPerRun(100, func() {
		for i := range 8 {
			s.Row(Frontend, i).Add(Accepted, 1)
			s.Row(Backend, i).Add(BackendToBackend, 1)
		}
		s.Row(Own, 0).Observe(TurnBase, TurnBounds[:], 0.001)
		s.Publish()
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
