package timer

import (
	"math/rand/v2"
	"testing"
)

// One million idle sessions, each re-armed for an hour when its timer fires; the clock moves one tick per Expire loop.
func BenchmarkArmExpire(b *testing.B) {
	const n = 1 << 20
	rng := rand.New(rand.NewPCG(1, 0))
	w := New(n, 0)
	for id := range uint32(n) {
		w.Arm(id, rng.Int64N(hourMs))
	}
	b.ReportAllocs()
	b.ResetTimer()
	now, fired := int64(0), 0
	for fired < b.N {
		now += TickMs
		for id, ok := w.Expire(now); ok; id, ok = w.Expire(now) {
			w.Arm(id, now+hourMs)
			fired++
		}
	}
}

// A busy session: one id re-armed again and again.
func BenchmarkRearm(b *testing.B) {
	w := New(chunkSize, 0)
	for i := int64(0); b.Loop(); i++ {
		w.Arm(uint32(i)%chunkSize, i%100_000)
	}
}

func BenchmarkWaitMs(b *testing.B) {
	w := New(1, 0)
	w.Arm(0, hourMs)
	for b.Loop() {
		w.WaitMs(0, 1000)
	}
}

// The worst single turn: a slot of level 3 (17 minutes) full of timers is moved down at once. Reported per timer.
func BenchmarkOpenFullSlot(b *testing.B) {
	const n = 100_000
	rng := rand.New(rand.NewPCG(1, 0))
	ids, moved := rng.Perm(n), 0
	for moved < b.N {
		b.StopTimer()
		w := New(n, 0)
		for _, id := range ids {
			w.Arm(uint32(id), 1<<20+1+rng.Int64N(1<<20-8))
		}
		b.StartTimer()
		w.Expire(1 << 20)
		moved += n
	}
}
