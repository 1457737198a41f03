package flow

import (
	"encoding/binary"
	"math/bits"
)

// Hasher is SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012; one round per word and
// three to finish) under a 128-bit key: whoever does not know the key cannot choose ports that all land on one
// backend. It is our own because dchest/siphash has only SipHash-2-4, which is twice the work, and because a message
// of fixed length needs no buffer. The zero value is a valid Hasher with a key that everybody knows.
//
// The three kinds of message have different lengths (37, 16, 8 bytes), and SipHash mixes the length in: a Client
// hash never repeats as a Tuple or Counter hash other than by chance. Boxes that share a key agree on every
// hash: the layout of the messages never changes (golden vectors hold it).
type Hasher struct{ k0, k1 uint64 }

// NewHasher returns the Hasher of key.
func NewHasher(key [16]byte) Hasher {
	return Hasher{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// The initial state: "somepseudorandomlygeneratedbytes".
const (
	init0 = 0x736f6d6570736575
	init1 = 0x646f72616e646f6d
	init2 = 0x6c7967656e657261
	init3 = 0x7465646279746573
)

// tupleLen is the length in bytes of the message that Tuple hashes.
const tupleLen = 16 + 16 + 2 + 2 + 1

// Tuple hashes the 37 bytes ClientIP, ListenIP, ClientPort, ListenPort (both in network order), Proto.
func (h Hasher) Tuple(k *Key) uint64 {
	last := uint64(bits.ReverseBytes16(k.ClientPort)) | uint64(bits.ReverseBytes16(k.ListenPort))<<16 |
		uint64(k.Proto)<<32 | tupleLen<<56
	v0, v1, v2, v3 := h.k0^init0, h.k1^init1, h.k0^init2, h.k1^init3
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(k.ClientIP[:8]))
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(k.ClientIP[8:]))
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(k.ListenIP[:8]))
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(k.ListenIP[8:]))
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, last)
	return finalize(v0, v1, v2, v3)
}

// Client hashes the 16 bytes of an address, usually one that Prefix has masked.
func (h Hasher) Client(ip [16]byte) uint64 {
	v0, v1, v2, v3 := h.k0^init0, h.k1^init1, h.k0^init2, h.k1^init3
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(ip[:8]))
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(ip[8:]))
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, 16<<56)
	return finalize(v0, v1, v2, v3)
}

// Counter hashes n as 8 little-endian bytes. It stands in for Tuple where there is no 5-tuple (unix sockets).
func (h Hasher) Counter(n uint64) uint64 {
	v0, v1, v2, v3 := h.k0^init0, h.k1^init1, h.k0^init2, h.k1^init3
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, n)
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, 8<<56)
	return finalize(v0, v1, v2, v3)
}

// Sum hashes any message. The functions above are the same hash, unrolled.
func (h Hasher) Sum(msg []byte) uint64 {
	last := uint64(len(msg)) << 56
	v0, v1, v2, v3 := h.k0^init0, h.k1^init1, h.k0^init2, h.k1^init3
	for ; len(msg) >= 8; msg = msg[8:] {
		v0, v1, v2, v3 = absorb(v0, v1, v2, v3, binary.LittleEndian.Uint64(msg))
	}
	for i, b := range msg {
		last |= uint64(b) << (8 * i)
	}
	v0, v1, v2, v3 = absorb(v0, v1, v2, v3, last)
	return finalize(v0, v1, v2, v3)
}

// absorb mixes one word of the message into the state: the 1 of SipHash-1-3.
func absorb(v0, v1, v2, v3, m uint64) (uint64, uint64, uint64, uint64) {
	v0, v1, v2, v3 = round(v0, v1, v2, v3^m)
	return v0 ^ m, v1, v2, v3
}

// finalize is the 3 of SipHash-1-3.
func finalize(v0, v1, v2, v3 uint64) uint64 {
	v0, v1, v2, v3 = round(v0, v1, v2^0xff, v3)
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	v0, v1, v2, v3 = round(v0, v1, v2, v3)
	return v0 ^ v1 ^ v2 ^ v3
}

// round is SipRound (figure 2.1 of the paper). It must stay small enough to be inlined.
func round(v0, v1, v2, v3 uint64) (uint64, uint64, uint64, uint64) {
	v0 += v1
	v2 += v3
	v1 = bits.RotateLeft64(v1, 13) ^ v0
	v3 = bits.RotateLeft64(v3, 16) ^ v2
	v0 = bits.RotateLeft64(v0, 32) + v3
	v2 += v1
	v1 = bits.RotateLeft64(v1, 17) ^ v2
	v3 = bits.RotateLeft64(v3, 21) ^ v0
	return v0, v1, bits.RotateLeft64(v2, 32), v3
}
