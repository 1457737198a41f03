package simkernel

import (
	"math/rand/v2"
	"testing"
)

// FuzzSchedule lets the input be every choice of a simulation: what peers, network, kernel and faults do. A relay that is
// right is found right, and the machine keeps its books.
func FuzzSchedule(f *testing.F) {
	r := rand.NewChaCha8([32]byte{3})
	for n := 50; n <= 6400; n *= 2 {
		schedule := make([]byte, n)
		r.Read(schedule)
		f.Add(schedule)
	}
	f.Fuzz(func(t *testing.T, schedule []byte) {
		if len(schedule) > 20_000 {
			return
		}
		m := sim{k: New(0, simOptions)}
		m.k.Draw(&Script{Bytes: schedule})
		if why := m.run(0, none); why != "" {
			t.Fatalf("%s\n%s", why, m.k.Trace())
		}
	})
}
