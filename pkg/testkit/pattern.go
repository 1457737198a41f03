package testkit

import "encoding/binary"

// FillPattern writes the bytes that a peer with this seed sends from stream offset at on. Any 8-byte word depends on the
// seed and its place alone (SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014), so
// that a lost, doubled, moved or foreign byte is seen where it happens.
func FillPattern(buf []byte, seed uint64, at int64) {
	for len(buf) > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], splitmix(seed+uint64(at/8)*0x9e3779b97f4a7c15))
		n := copy(buf, word[at%8:])
		buf, at = buf[n:], at+int64(n)
	}
}

func splitmix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
