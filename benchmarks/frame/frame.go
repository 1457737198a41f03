// Package frame is WebSocket (RFC 6455) for event loops: frames come and go in pieces of any size, nothing blocks and
// nothing is allocated per frame. The wire format is gobwas/ws's; this package adds only what a loop needs around it.
//
// A Parser belongs to one session. Functions may be called from any goroutine.
package frame

import (
	"bytes"
	"encoding/binary"

	"github.com/gobwas/ws"
)

// Parser takes one direction of a session apart, from the first byte behind the handshake on.
type Parser struct {
	State  ws.State  // ws.StateServerSide: frames must be masked; ws.StateClientSide: they must not
	Header ws.Header // of the frame that Next's last part belongs to

	head [ws.MaxHeaderSize]byte
	have int   // bytes of head
	pos  int64 // payload bytes of this frame that have been returned
	in   bool  // the header is complete, the payload is not
	read bytes.Reader
	room [ws.MaxHeaderSize]byte
}

// Part is a piece of a frame.
type Part struct {
	Payload []byte // without its mask, which was taken off in place
	First   bool   // the frame's header was completed with this part
	Last    bool   // the frame's last byte is in this part; First and Last without payload: an empty frame
}

// Next takes one part from the front of p, which must not be empty, and returns what is left of p. A part that is neither
// First nor Last and has no payload means that p ended within a header. The error is a ws.ProtocolError or one of a length
// that no frame has; the session cannot go on after it.
func (f *Parser) Next(p []byte) (part Part, rest []byte, err error) {
	if !f.in {
		if p = f.takeHeader(p); f.have < f.headerSize() {
			return Part{}, p, nil
		}
		if err := f.begin(); err != nil {
			return Part{}, p, err
		}
		part.First = true
	}
	n := min(int64(len(p)), f.Header.Length-f.pos)
	part.Payload, rest = p[:n], p[n:]
	if f.Header.Masked {
		ws.Cipher(part.Payload, f.Header.Mask, int(f.pos%4))
	}
	if f.pos += n; f.pos == f.Header.Length {
		part.Last, f.in, f.have = true, false, 0
	}
	return part, rest, nil
}

// takeHeader moves bytes into head until the header is complete, and returns the rest.
func (f *Parser) takeHeader(p []byte) []byte {
	for len(p) > 0 && f.have < f.headerSize() {
		n := copy(f.head[f.have:f.headerSize()], p)
		f.have, p = f.have+n, p[n:]
	}
	return p
}

// headerSize is how long the header is, as far as its bytes so far tell: the second one has the form of the length, and
// whether there is a mask.
func (f *Parser) headerSize() int {
	if f.have < ws.MinHeaderSize {
		return ws.MinHeaderSize
	}
	size := ws.MinHeaderSize
	switch f.head[1] & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if f.head[1]&0x80 != 0 {
		size += 4
	}
	return size
}

// begin parses the complete header.
func (f *Parser) begin() (err error) {
	f.read.Reset(f.head[:f.have])
	if f.Header, err = ws.ReadHeaderBuffer(&f.read, f.room[:]); err != nil {
		return err
	}
	if err := ws.CheckHeader(f.Header, f.State); err != nil {
		return err
	}
	switch {
	case f.Header.OpCode.IsControl():
	case f.Header.Fin:
		f.State = f.State.Clear(ws.StateFragmented)
	default:
		f.State = f.State.Set(ws.StateFragmented)
	}
	f.in, f.pos = true, 0
	return nil
}

// AppendHeader appends a header's wire form, which is never longer than ws.MaxHeaderSize.
func AppendHeader(b []byte, h ws.Header) []byte {
	first, masked := h.Rsv<<4|byte(h.OpCode), byte(0)
	if h.Fin {
		first |= 0x80
	}
	if h.Masked {
		masked = 0x80
	}
	switch n := h.Length; {
	case n < 126:
		b = append(b, first, masked|byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, first, masked|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, masked|127), uint64(n))
	}
	if h.Masked {
		b = append(b, h.Mask[:]...)
	}
	return b
}

// Append appends a whole frame with this payload; masked with mask unless that is nil.
func Append(b []byte, op ws.OpCode, mask *[4]byte, payload []byte) []byte {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(len(payload)), Masked: mask != nil}
	if mask != nil {
		h.Mask = *mask
	}
	b = AppendHeader(b, h)
	at := len(b)
	b = append(b, payload...)
	if mask != nil {
		ws.Cipher(b[at:], *mask, 0)
	}
	return b
}

// Mask is the mask of a stream's frame number n. It follows from the two, so that a frame can be composed again when only
// a part of it has gone out; RFC 6455 wants masks that nobody can foresee, which protects proxies against scripts in
// browsers and has no meaning for a load generator.
func Mask(seed, n uint64) (mask [4]byte) {
	x := (seed + 1) * 0x9e3779b97f4a7c15
	x = (x ^ n) * 0xbf58476d1ce4e5b9
	x ^= x >> 29
	binary.LittleEndian.PutUint32(mask[:], uint32(x>>16))
	return mask
}
