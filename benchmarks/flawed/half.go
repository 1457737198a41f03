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
}

// run relays until src has ended and passes its end on. An error ends both directions.
func (h *half) run() {
	err := h.relay()
	if err == nil {
		err = h.dst.CloseWrite()
	}
	if err != nil {
		h.src.Close()
		h.dst.Close()
	}
}

// relay returns nil at the end of src. What comes before the place of a flaw, and after it, is not looked at: the kernel
// splices it, so that a flaw behind a billion bytes is cheap.
func (h *half) relay() error {
	f := &h.p.flaw
	if !h.flawed || f.spoil == nil {
		return h.each(nil)
	}
	if f.at == 0 {
		return h.each(f.spoil)
	}
	_, err := io.CopyN(h.dst, h.src, f.at)
	if err == nil {
		err = h.move(make([]byte, bufferBytes), f.spoil)
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		_, err = io.Copy(h.dst, h.src)
	}
	return err
}

// each relays chunk after chunk without the kernel's help: a session of that kind has two fds and no pipe.
func (h *half) each(spoil func(*half, []byte) ([]byte, error)) error {
	buf := make([]byte, bufferBytes)
	for {
		switch err := h.move(buf, spoil); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// move relays one chunk, which the flaw may spoil.
func (h *half) move(buf []byte, spoil func(*half, []byte) ([]byte, error)) error {
	n, err := h.src.Read(buf)
	if err != nil {
		return err
	}
	chunk := buf[:n]
	if spoil != nil {
		if chunk, err = spoil(h, chunk); err != nil {
			return err
		}
	}
	_, err = h.dst.Write(chunk)
	return err
}
