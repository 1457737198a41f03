// Package flawed is a small TCP proxy with one flaw that is known exactly. The harness is checked against it: a
// measurement that does not see what was put there on purpose proves nothing about anything else.
//
// Two goroutines relay a session, one for each direction. Open starts a proxy; Close ends it and waits for all of them.
package flawed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Config says what to relay and what to do wrong.
type Config struct {
	Listen    netip.AddrPort
	To        []netip.AddrPort // used in turn, one per session
	Flaw      string           // "delay=10ms": one of Names, and its value; empty: none
	ToBackend bool             // spoil what goes to the backend; else what goes to the client
}

// Proxy is one listening address whose sessions all have the flaw.
type Proxy struct {
	Addr    netip.AddrPort // where it listens, port filled in
	to      []netip.AddrPort
	flaw    flaw
	upwards bool // the flaw is in the direction to the backend
	struck  atomic.Uint64
	ln      *net.TCPListener
	ctx     context.Context // done: the proxy closes
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Open listens and relays in the background.
func Open(cfg Config) (*Proxy, error) {
	if len(cfg.To) == 0 {
		return nil, errors.New("open flawed proxy: no backend given")
	}
	f, err := parse(cfg.Flaw)
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(cfg.Listen))
	if err != nil {
		return nil, fmt.Errorf("open flawed proxy: %w", err)
	}
	p := &Proxy{Addr: ln.Addr().(*net.TCPAddr).AddrPort(), to: cfg.To, flaw: f, upwards: cfg.ToBackend, ln: ln}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.running.Go(p.accept)
	return p, nil
}

// Struck is how often the flaw has shown itself so far: bytes dropped, chunks delayed, sessions reset, and so on.
func (p *Proxy) Struck() uint64 { return p.struck.Load() }

// Close ends all sessions and returns when nothing of the proxy is left.
func (p *Proxy) Close() {
	p.cancel()
	p.ln.Close()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for n := uint64(1); ; n++ {
		client, err := p.ln.AcceptTCP()
		if p.ctx.Err() != nil {
			return
		}
		if err == nil {
			p.running.Go(func() { p.session(client, n) })
		}
	}
}

// session relays the n-th client, counted from 1.
func (p *Proxy) session(client *net.TCPConn, n uint64) {
	defer client.Close()
	conn, err := net.Dial("tcp", p.to[n%uint64(len(p.to))].String())
	if err != nil {
		return // the client sees the close
	}
	backend := conn.(*net.TCPConn)
	defer backend.Close()
	defer context.AfterFunc(p.ctx, func() { client.Close(); backend.Close() })()
	if p.flaw.opens != nil {
		defer p.flaw.opens(p)()
	}
	var both sync.WaitGroup
	both.Go((&half{p: p, session: n, src: client, dst: backend, flawed: p.upwards}).run)
	both.Go((&half{p: p, session: n, src: backend, dst: client, flawed: !p.upwards}).run)
	both.Wait()
}
