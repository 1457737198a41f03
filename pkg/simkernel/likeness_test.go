package simkernel

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

// seeds is how many seeds a test tries: few in an ordinary run, LONGSPLICE_SEEDS otherwise.
func seeds(few int) uint64 {
	if n, err := strconv.Atoi(os.Getenv("LONGSPLICE_SEEDS")); err == nil {
		return uint64(n)
	}
	return uint64(few)
}

// randomScript is a sequence of calls that means the same on both kernels: small pieces, so that windows and
// buffers, which are sized differently, stay open.
func randomScript(seed uint64) func(x *script) {
	return func(x *script) {
		r := rand.New(rand.NewPCG(seed, 1))
		text := "abcdefghijklmnopqrstuvwxyz0123456789"
		gone := false
		for range 5 + r.IntN(30) {
			fd := x.a
			if !gone && r.IntN(3) > 0 {
				fd = x.b
			}
			switch op := r.IntN(32); {
			case op < 8:
				x.send(fd, text[:1+r.IntN(len(text))])
			case op < 11:
				x.urgent(fd, text[:1+r.IntN(2)])
			case op < 17:
				x.recv(fd, 1+r.IntN(50))
			case op < 20:
				x.oob(fd)
			case op < 23:
				x.fill(1 + r.IntN(60))
			case op < 25:
				x.flush(fd, 1+r.IntN(60))
			case op < 27:
				x.events()
			case op < 28:
				x.state(fd)
			case op == 28:
				x.shut(fd)
			case op == 29 && r.IntN(2) == 0:
				x.soError(fd)
			case op == 30 && !gone:
				x.close(x.b)
				gone = true
			case op == 31 && !gone:
				x.reset(x.b)
				gone = true
			}
			x.state(x.a)
			x.events()
		}
	}
}

// Seeded scripts go where nobody thought of going.
func TestRandomScriptsAnswerAsLinuxDoes(t *testing.T) {
	for seed := range seeds(40) {
		if compare(t, randomScript(seed)); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
