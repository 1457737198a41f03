package pattern

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestStreamIsTheSameHoweverItIsCut(t *testing.T) {
	const seed = 3
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	for range 1000 {
		s, pos := Seed(rng.IntN(5000)), rng.Uint64()>>20
		a, b := 1+rng.Uint64N(1000), 1+rng.Uint64N(1000)
		whole := At(s, pos, a+b)
		if !slices.Equal(whole, slices.Concat(At(s, pos, a), At(s, pos+a, b))) {
			t.Fatalf("seed %d pos %d: %d+%d bytes differ from the whole", s, pos, a, b)
		}
		if at := Check(s, pos, whole); at != -1 {
			t.Fatalf("check of right bytes says byte %d is wrong", at)
		}
	}
}

func TestFaultsAreSeen(t *testing.T) {
	good := slices.Clone(At(Seed(4), 100, 4096))
	flipped := slices.Clone(good)
	flipped[4000] ^= 1
	tests := []struct {
		name  string
		seed  uint64
		pos   uint64
		bytes []byte
	}{
		{"one bit flipped", Seed(4), 100, flipped},
		{"one byte lost", Seed(4), 100, good[1:]},
		{"one byte repeated", Seed(4), 101, good},
		{"another stream's bytes", Seed(5), 100, good},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if Check(tc.seed, tc.pos, tc.bytes) == -1 {
				t.Error("the fault was not seen")
			}
		})
	}
	if at := Check(Seed(4), 100, flipped); at != 4000 {
		t.Errorf("first wrong byte %d, want 4000", at)
	}
}
