package demo

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
)

// message names one message; its bytes follow from that. On the wire: client, session (uint32 each), number (uint64),
// size (uint32), filling, CRC-32C of all before, little endian.
type message struct {
	client, session uint32
	number          uint64 // from 1 in each session
	size            int    // of the whole, in bytes
	last            bool   // the session ends with its echo; not on the wire
}

// Sizes in bytes.
const (
	headBytes    = 20
	sumBytes     = 4
	leastMessage = headBytes + sumBytes
	mostMessage  = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// mint makes the bytes of messages; it is read by all and written by none.
type mint struct{ filling []byte }

const spread = 64 << 10 // fillings begin at so many places

func newMint(seed uint64) *mint {
	m := &mint{filling: make([]byte, mostMessage+spread)}
	source := rand.NewPCG(seed, 0)
	for i := 0; i < len(m.filling); i += 8 {
		binary.LittleEndian.PutUint64(m.filling[i:], source.Uint64())
	}
	return m
}

// bytes writes a message into buf, which is made longer where that is needed, and returns it.
func (m *mint) bytes(buf []byte, x message) []byte {
	if cap(buf) < x.size {
		buf = make([]byte, x.size)
	}
	buf = buf[:x.size]
	binary.LittleEndian.PutUint32(buf, x.client)
	binary.LittleEndian.PutUint32(buf[4:], x.session)
	binary.LittleEndian.PutUint64(buf[8:], x.number)
	binary.LittleEndian.PutUint32(buf[16:], uint32(x.size))
	from := (uint64(x.client)*0x9e3779b1 + x.number*0x85ebca6b) % spread
	copy(buf[headBytes:x.size-sumBytes], m.filling[from:])
	body := buf[:x.size-sumBytes]
	binary.LittleEndian.PutUint32(buf[len(body):], crc32.Checksum(body, castagnoli))
	return buf
}

// whole tells whether size and checksum of a message are right.
func whole(b []byte) bool {
	if len(b) < leastMessage || int(binary.LittleEndian.Uint32(b[16:])) != len(b) {
		return false
	}
	body := b[:len(b)-sumBytes]
	return binary.LittleEndian.Uint32(b[len(body):]) == crc32.Checksum(body, castagnoli)
}

// name reads which message b claims to be.
func name(b []byte) message {
	if len(b) < leastMessage {
		return message{size: len(b)}
	}
	return message{
		client: binary.LittleEndian.Uint32(b), session: binary.LittleEndian.Uint32(b[4:]),
		number: binary.LittleEndian.Uint64(b[8:]), size: len(b),
	}
}
