package demo

import (
	"net"
	"sync/atomic"
)

// book is what was counted of one life of a backend, at both ends of its sessions. What clients sent and did not get
// back is lost, or, where the life was cut short, was under way when it was.
type book struct {
	sent     tally        // by clients; counted before the write
	received tally        // by the backend
	echoed   tally        // by the backend; counted after the write
	returned tally        // to clients, in order and equal to what they had sent
	spoilt   tally        // came back to clients, but otherwise than sent
	wrong    atomic.Int64 // arrived spoilt at the backend, or at a client that had not asked for it

	opened atomic.Int64 // sessions, as clients see them
	open   atomic.Int64
	cut    atomic.Int64 // ended by the backend's death
	broken atomic.Int64 // ended otherwise than by a farewell or that

	client, backend wire // bytes on the sockets, with HTTP heads and frames; the client's when its session has ended
}

// tally counts messages and their bytes.
type tally struct{ messages, bytes atomic.Int64 }

func (t *tally) add(n int) {
	t.messages.Add(1)
	t.bytes.Add(int64(n))
}

func (t *tally) amount() amount { return amount{t.messages.Load(), t.bytes.Load()} }

// amount is messages and their bytes.
type amount struct{ messages, bytes int64 }

func (a amount) plus(b amount) amount { return amount{a.messages + b.messages, a.bytes + b.bytes} }

func (a amount) minus(b amount) amount { return amount{a.messages - b.messages, a.bytes - b.bytes} }

// missing is what clients sent and did not get back.
func (b *book) missing() amount {
	return b.sent.amount().minus(b.returned.amount()).minus(b.spoilt.amount())
}

// wire counts what passed through sockets.
type wire struct{ read, wrote atomic.Int64 }

func (w *wire) add(x *wire) {
	w.read.Add(x.read.Load())
	w.wrote.Add(x.wrote.Load())
}

// countedConn counts what passes through a connection.
type countedConn struct {
	net.Conn
	count *wire
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.count.read.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.count.wrote.Add(int64(n))
	return n, err
}
