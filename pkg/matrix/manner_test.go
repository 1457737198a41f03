package matrix

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// manner is how a peer reads or writes.
type manner struct {
	chunk int           // a read or a write is of 1 to chunk bytes, those of few bytes as often as those of many
	even  bool          // instead all sizes up to chunk are as likely
	every int           // it pauses after so many bytes on average; 0: never
	pause time.Duration // for at most so long
}

// size is that of the next read or write.
func (m manner) size(r *rand.Rand) int64 {
	limit := m.chunk
	if !m.even {
		limit = max(limit>>r.IntN(20), 1)
	}
	return 1 + r.Int64N(int64(limit))
}

// rest comes after n bytes and pauses, or not.
func (m manner) rest(r *rand.Rand, n int) {
	if m.every > 0 && r.IntN(m.every) < n {
		time.Sleep(time.Duration(r.Int64N(int64(m.pause))))
	}
}

// digest is the SHA-256 of what one end of a stream has seen; the zero value keeps none.
type digest struct{ hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) add(p []byte) {
	if d.Hash != nil {
		d.Write(p)
	}
}

func (d digest) value() string {
	if d.Hash == nil {
		return ""
	}
	return string(d.Sum(nil))
}

// whose names the stream that bytes come from, and where in it they stand. It undoes FillPattern: any 8 bytes that began as
// one word of it give seed + place * golden, and there are not many seeds.
func whose(part []byte) string {
	for skip := 0; skip < 8 && skip+8 <= len(part); skip++ {
		x := unmix(binary.LittleEndian.Uint64(part[skip:]))
		found := ""
		streams.Range(func(seed, s any) bool {
			if word := (x - seed.(uint64)) * inverse(golden); word < 1<<40 {
				found = fmt.Sprintf("byte %d of %s", int64(word)*8-int64(skip), s.(*stream).name)
			}
			return found == ""
		})
		if found != "" {
			return found
		}
	}
	return fmt.Sprintf("%d bytes of nobody, beginning with %x", len(part), part[:min(len(part), 16)])
}

// golden is FillPattern's step from word to word.
const golden = 0x9e3779b97f4a7c15

// inverse is 1/odd modulo 2^64, by Newton's method: each step doubles the bits that are right, and 3 are at the start.
func inverse(odd uint64) uint64 {
	x := odd
	for range 5 {
		x *= 2 - odd*x
	}
	return x
}

// unmix undoes SplitMix64's mixing of a word.
func unmix(z uint64) uint64 {
	z ^= z>>31 ^ z>>62
	z *= inverse(0x94d049bb133111eb)
	z ^= z>>27 ^ z>>54
	z *= inverse(0xbf58476d1ce4e5b9)
	return z ^ z>>30 ^ z>>60
}

// A failure is of use when it says whose bytes came instead.
func TestForeignBytesAreNamed(t *testing.T) {
	own, other := newStream("mine", 1<<20), newStream("theirs", 1<<20)
	defer own.forget()
	defer other.forget()
	for _, at := range []int64{0, 8, 4711, 1_000_003} {
		part := make([]byte, 100)
		testkit.FillPattern(part, other.seed, at)
		if got, want := whose(part), fmt.Sprintf("byte %d of theirs", at); got != want {
			t.Errorf("the bytes are said to be %s, want %s", got, want)
		}
	}
	if got := whose(make([]byte, 16)); got != "16 bytes of nobody, beginning with 00000000000000000000000000000000" {
		t.Errorf("zeros are said to be %s", got)
	}
}
