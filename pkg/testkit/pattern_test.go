package testkit

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestPatternIsTheSameHoweverItIsCut(t *testing.T) {
	whole := make([]byte, 10_000)
	FillPattern(whole, 42, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		at := rng.IntN(len(whole))
		part := make([]byte, rng.IntN(len(whole)-at))
		FillPattern(part, 42, int64(at))
		if !bytes.Equal(part, whole[at:at+len(part)]) {
			t.Fatalf("%d bytes from %d differ from the whole", len(part), at)
		}
	}
}

func TestPatternShowsMovedAndForeignBytes(t *testing.T) {
	a, b, shifted := make([]byte, 64), make([]byte, 64), make([]byte, 64)
	FillPattern(a, 1, 0)
	FillPattern(b, 2, 0)
	FillPattern(shifted, 1, 8)
	if bytes.Equal(a, b) || bytes.Equal(a, shifted) {
		t.Error("another seed or another place gave the same bytes")
	}
}
