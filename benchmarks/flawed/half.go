package flawed

import (
	"errors"
	"io"
	"net"
)

const bufferBytes = 64 << 10

// half is one direction of a session.
type half struct {
	p        *Proxy
	session  uint64 // counted from 1
	src, dst *net.TCPConn
	flawed   bool
	pos      int64 // bytes read from src
}

// run relays until src has ended and passes its end on. An error ends both directions.
func (h *half) run() {
	buf := make([]byte, bufferBytes)
	for {
		err := h.pass(h.untouched())
		if err == nil {
			err = h.move(buf)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			err = h.dst.CloseWrite()
		}
		if err != nil {
			h.src.Close()
			h.dst.Close()
		}
		return
	}
}

// untouched is how many bytes there are before the next one that the flaw spoils; 0: look at each chunk.
func (h *half) untouched() int64 {
	every := h.p.flaw.every
	if !h.flawed || every == 0 || h.pos > 0 && h.pos%every == 0 {
		return 0
	}
	return every - h.pos%every
}

// pass relays n bytes without looking at them: the kernel splices, so that a flaw after a billion bytes is cheap.
func (h *half) pass(n int64) error {
	if n == 0 {
		return nil
	}
	n, err := io.CopyN(h.dst, h.src, n)
	h.pos += n
	return err
}

// move relays one chunk, which the flaw may spoil.
func (h *half) move(buf []byte) error {
	n, err := h.src.Read(buf)
	if err != nil {
		return err
	}
	chunk := buf[:n]
	if h.flawed && h.p.flaw.spoil != nil {
		if chunk, err = h.p.flaw.spoil(h, chunk); err != nil {
			return err
		}
	}
	h.pos += int64(n)
	_, err = h.dst.Write(chunk)
	return err
}
