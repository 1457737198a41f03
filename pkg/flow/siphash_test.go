package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// refHasher has the key of the reference implementation's vectors: 00 01 02 ... 0f.
var refHasher = NewHasher([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})

// The message of vector n is the bytes 0, 1, ... n-1; the values are the published SipHash-1-3 ones.
func TestSumMeetsPublishedVectors(t *testing.T) {
	msg := make([]byte, 64)
	for i := range msg {
		msg[i] = byte(i)
	}
	for n, want := range map[int]uint64{
		0: 0xabac0158050fc4dc, 1: 0xc9f49bf37d57ca93, 2: 0x82cb9b024dc7d44d, 7: 0xd3927d989bb11140,
		8: 0x369095118d299a8e, 9: 0x25a48eb36c063de4, 15: 0xd320d86d2a519956, 16: 0xcc4fdd1a7d908b66,
		17: 0x9cf2689063dbd80c, 36: 0x2cf508d3ada26206, 37: 0xb6101c2da3c33057, 38: 0xb3f47496ae3a36a1,
		62: 0xc3b2f6154b6694e0, 63: 0x9d199062b7bbb3a8,
	} {
		if got := refHasher.Sum(msg[:n]); got != want {
			t.Errorf("%d bytes: %016x, want %016x", n, got, want)
		}
	}
}

// message is the 37 bytes that Tuple hashes, built the slow way.
func message(k *Key) []byte {
	msg := append(k.ClientIP[:], k.ListenIP[:]...)
	msg = binary.BigEndian.AppendUint16(msg, k.ClientPort)
	msg = binary.BigEndian.AppendUint16(msg, k.ListenPort)
	return append(msg, k.Proto)
}

func TestUnrolledHashesEqualSum(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		var key, a, b [16]byte
		for _, p := range []*[16]byte{&key, &a, &b} {
			binary.LittleEndian.PutUint64(p[:8], rng.Uint64())
			binary.LittleEndian.PutUint64(p[8:], rng.Uint64())
		}
		h, n := NewHasher(key), rng.Uint64()
		k := Key{a, b, uint16(n), uint16(n >> 16), uint8(n >> 32)}
		if got, want := h.Tuple(&k), h.Sum(message(&k)); got != want {
			t.Fatalf("seed %d: Tuple(%+v) = %016x, want %016x", seed, k, got, want)
		}
		if got, want := h.Client(a), h.Sum(a[:]); got != want {
			t.Fatalf("seed %d: Client(%x) = %016x, want %016x", seed, a, got, want)
		}
		if got, want := h.Counter(n), h.Sum(binary.LittleEndian.AppendUint64(nil, n)); got != want {
			t.Fatalf("seed %d: Counter(%d) = %016x, want %016x", seed, n, got, want)
		}
	}
}

// Boxes with one key must agree for ever: these values never change.
func TestTupleGoldenVectors(t *testing.T) {
	zero := NewHasher([16]byte{})
	v4 := Key{ip("203.0.113.7"), ip("192.0.2.1"), 54321, 443, 6}
	v6 := Key{ip("2001:db8::7"), ip("2001:db8:1::1"), 1024, 8080, 6}
	for _, c := range []struct {
		name string
		h    Hasher
		k    Key
		want uint64
	}{
		{"IPv4, zero key", zero, v4, 0xdcd875b8999b8170},
		{"IPv6, zero key", zero, v6, 0xbabdc3e279a90f87},
		{"IPv4, reference key", refHasher, v4, 0x9f5c79fdb751dbdd},
		{"IPv6, reference key", refHasher, v6, 0x109d066d07ad1883},
	} {
		if got := c.h.Tuple(&c.k); got != c.want {
			t.Errorf("%s: %016x, want %016x", c.name, got, c.want)
		}
	}
}

func TestHashesDoNotAllocate(t *testing.T) {
	k := Key{ClientPort: 1, Proto: 6}
	if n := testing.AllocsPerRun(100, func() {
		sink += refHasher.Tuple(&k) + refHasher.Client(k.ClientIP) + refHasher.Counter(7)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var sink uint64

func BenchmarkTuple(b *testing.B) {
	k := Key{ip("203.0.113.7"), ip("192.0.2.1"), 54321, 443, 6}
	for b.Loop() {
		k.ClientPort++
		sink += refHasher.Tuple(&k)
	}
}
