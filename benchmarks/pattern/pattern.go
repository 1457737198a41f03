// Package pattern is the content of every benchmark stream: a pseudo-random sequence that repeats after a prime
// number of bytes, so that any byte's value follows from the stream's seed and the byte's position.
//
// Sender and checker both slice one read-only table, so a check costs one memory comparison. A loss, repetition or
// exchange of any length that is not a multiple of Period shows; lengths are checked by the callers as well.
package pattern

import (
	"bytes"
	"math/rand/v2"
)

const (
	// Period is the sequence's length in bytes, a prime.
	Period = 65521
	// MaxChunk is the longest slice that At returns, in bytes.
	MaxChunk = 256 << 10
)

var table = build()

func build() []byte {
	rng := rand.New(rand.NewPCG(65521, 17))
	t := make([]byte, Period+MaxChunk)
	for i := range Period {
		t[i] = byte(rng.Uint32())
	}
	for i := Period; i < len(t); i++ {
		t[i] = t[i-Period]
	}
	return t
}

// Seed gives stream number i a start of its own, so that bytes which cross from one stream to another show.
func Seed(i int) uint64 { return uint64(i) * 7919 % Period }

// At returns min(n, MaxChunk) bytes of the stream from position pos on. The slice must not be written to.
func At(seed, pos uint64, n uint64) []byte {
	off := (seed + pos) % Period
	return table[off : off+min(n, MaxChunk)]
}

// Check compares got, at most MaxChunk bytes, with the stream at position pos. It returns the index of the first
// wrong byte, or -1 if all are right.
func Check(seed, pos uint64, got []byte) int {
	want := At(seed, pos, uint64(len(got)))
	if bytes.Equal(got, want) {
		return -1
	}
	for i := range want {
		if got[i] != want[i] {
			return i
		}
	}
	return len(want)
}
