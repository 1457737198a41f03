package worker

import (
	"math/rand/v2"
	"testing"

	"github.com/longsplice/longsplice/pkg/simkernel"
)

// FuzzSimulation is TestSimulation with the input as the source of every choice, so that coverage leads to schedules that
// a seed finds by luck alone.
func FuzzSimulation(f *testing.F) {
	r := rand.NewChaCha8([32]byte{4})
	for n := 100; n <= 12_800; n *= 2 {
		schedule := make([]byte, n)
		r.Read(schedule)
		f.Add(schedule)
	}
	f.Fuzz(func(t *testing.T, schedule []byte) {
		if len(schedule) > 20_000 {
			return
		}
		m := newSim()
		m.k.Draw(&simkernel.Script{Bytes: schedule})
		if why := m.run(0); why != "" {
			t.Fatalf("%s\n%s", why, m.k.Trace())
		}
	})
}
