package simkernel

import "math/rand/v2"

// Draw makes the machine take everything random from src instead of its seed, for a driver whose schedule is given.
func (k *Kernel) Draw(src rand.Source) { k.rng = rand.New(src) }

// Script is a source that hands out given bytes, two a draw. Behind its end it goes on as a seeded one does, so that no
// driver waits for ever.
type Script struct {
	Bytes []byte
	rest  rand.PCG
}

// Uint64 implements rand.Source. The two bytes are repeated: draws look at the upper bits or at the lower ones.
func (s *Script) Uint64() uint64 {
	if len(s.Bytes) < 2 {
		return s.rest.Uint64()
	}
	n := uint64(s.Bytes[0])<<8 | uint64(s.Bytes[1])
	s.Bytes = s.Bytes[2:]
	return n * 0x0001000100010001
}
