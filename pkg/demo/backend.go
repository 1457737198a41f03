package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

// backend is an address where a WebSocket echo server lives, dies and lives again.
type backend struct {
	name, addr string
	tamper     func([]byte) []byte

	mu    sync.Mutex
	lives []*life
}

// life is a server from its start to its death.
type life struct {
	name   string // of its backend
	number int    // which life of the backend, from 1
	tamper func([]byte) []byte
	book   book
	server *http.Server
	over   atomic.Bool // no longer listening
	killed atomic.Bool // cut hard: what is under way is lost, and its sessions may break

	listener net.Listener
	serving  sync.WaitGroup
	mu       sync.Mutex
	conns    map[*backendConn]bool
}

// lifeHeader tells a client which life of which backend answers: "b2/1".
const lifeHeader = "X-Demo-Life"

func (x *life) id() string { return fmt.Sprintf("%s/%d", x.name, x.number) }

// start begins a life. The error wraps syscall.EADDRINUSE where the port is busy.
func (b *backend) start() error {
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		return fmt.Errorf("listen %s: %w", b.addr, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	x := &life{name: b.name, number: len(b.lives) + 1, tamper: b.tamper, listener: l, conns: map[*backendConn]bool{}}
	x.server = &http.Server{Handler: http.HandlerFunc(x.serve), ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
	x.serving.Go(func() { _ = x.server.Serve(x) }) // ends when the listener is closed
	b.lives = append(b.lives, x)
	return nil
}

// now is the present or last life; nil before the first.
func (b *backend) now() *life {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lives) == 0 {
		return nil
	}
	return b.lives[len(b.lives)-1]
}

// all is every life so far.
func (b *backend) all() []*life {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*life(nil), b.lives...)
}

// alive tells whether the backend takes connections.
func (b *backend) alive() bool {
	x := b.now()
	return x != nil && !x.over.Load()
}

// kill ends the present life as a crash of a host would: nothing listens, every connection is reset.
func (b *backend) kill() *life {
	x := b.now()
	x.killed.Store(true)
	x.end()
	return x
}

// stop ends the present life, if there is one.
func (b *backend) stop() {
	if x := b.now(); x != nil {
		x.end()
	}
}

func (x *life) end() {
	if x.over.Swap(true) {
		return
	}
	x.listener.Close()
	for _, c := range x.connections() {
		c.reset()
	}
	x.server.Close()
	x.serving.Wait()
}

func (x *life) connections() []*backendConn {
	x.mu.Lock()
	defer x.mu.Unlock()
	var all []*backendConn
	for c := range x.conns {
		all = append(all, c)
	}
	return all
}

// Accept, Close and Addr make a life the listener of its own server: connections are counted and kept for the end.
func (x *life) Accept() (net.Conn, error) {
	c, err := x.listener.Accept()
	if err != nil {
		return nil, err
	}
	bc := &backendConn{countedConn: countedConn{Conn: c, count: &x.book.backend}, life: x}
	x.mu.Lock()
	x.conns[bc] = true
	x.mu.Unlock()
	if x.over.Load() { // end may have looked before it was there
		bc.reset()
	}
	return bc, nil
}

// Close stops listening.
func (x *life) Close() error { return x.listener.Close() }

// Addr is where the life listens.
func (x *life) Addr() net.Addr { return x.listener.Addr() }

// backendConn is a connection that its life can reset.
type backendConn struct {
	countedConn
	life *life
}

// reset closes with a RST; what the kernel still held to send is dropped.
func (c *backendConn) reset() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // fails on a closed connection only
	}
	c.Close()
}

func (c *backendConn) Close() error {
	c.life.mu.Lock()
	delete(c.life.conns, c)
	c.life.mu.Unlock()
	return c.Conn.Close()
}

// serve echoes messages until the client says farewell or the connection breaks.
func (x *life) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(lifeHeader, x.id())
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // answered already
	}
	defer func() { _ = ws.CloseNow() }() // fails where it is closed already
	ws.SetReadLimit(mostMessage)
	var buf bytes.Buffer
	for x.echo(ws, &buf) == nil {
	}
}

// echoWithin bounds one message on its way back: a client that reads nothing for so long is gone.
const echoWithin = time.Minute

func (x *life) echo(ws *websocket.Conn, buf *bytes.Buffer) error {
	kind, err := readMessage(context.Background(), ws, buf)
	if err != nil {
		return err
	}
	m := buf.Bytes()
	x.book.received.add(len(m))
	if !whole(m) {
		x.book.wrong.Add(1)
	}
	if x.tamper != nil {
		if m = x.tamper(m); m == nil {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), echoWithin)
	defer cancel()
	if err := ws.Write(ctx, kind, m); err != nil {
		return err
	}
	x.book.echoed.add(len(m))
	return nil
}

// readMessage reads one message into buf, which is emptied before.
func readMessage(ctx context.Context, ws *websocket.Conn, buf *bytes.Buffer) (websocket.MessageType, error) {
	buf.Reset()
	kind, r, err := ws.Reader(ctx)
	if err != nil {
		return kind, err
	}
	_, err = buf.ReadFrom(r)
	return kind, err
}
