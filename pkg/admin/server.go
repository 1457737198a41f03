package admin

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/longsplice/longsplice/pkg/config"
)

// Limits of one door. A request has to be there within readTimeout and answered within writeTimeout; streams are bound
// in number instead.
const (
	readTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 60 * time.Second
	maxHeaderBytes = 16 << 10
	maxConns       = 64
	maxStreams     = 24 // of maxConns, so that streams alone never fill a door
)

// Options say where to listen and whom to trust.
type Options struct {
	Process config.Process // Name, Admin, AdminGroup, HTTP, HTTPTokenFile are read
	Hosts   []string       // names that a Host header may carry over TCP, beside the addresses and the host's own name
	OnError func(error)    // told of what goes wrong while serving; nil: nobody

	adjust func(*door) // for tests: called with each door before it is served
}

// Server serves the admin API until Close.
type Server struct {
	onError func(error)
	token   []byte // empty: none configured
	names   map[string]bool

	started atomic.Bool // what follows is there
	view    View
	live    *live
	metrics http.Handler

	ctx    context.Context // ends streams
	cancel context.CancelFunc
	doors  []*door
	wg     sync.WaitGroup
}

// Start opens the doors and serves v at once.
func Start(v View, o Options) (*Server, error) {
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	s.Serve(v)
	return s, nil
}

// Open opens the configured doors: none, one or both of the unix socket and the TCP address. Until Serve they answer that
// the process is alive, and to all else 503 starting. Errors name the address; one that is in use wraps
// syscall.EADDRINUSE, a socket that another process serves *balancer.ServedError.
func Open(o Options) (*Server, error) {
	s := &Server{onError: o.OnError, names: hostNames(o)}
	if s.onError == nil {
		s.onError = func(error) {}
	}
	if err := s.readToken(o.Process); err != nil {
		return nil, err
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(o.Process); err != nil {
		s.cancel()
		for _, d := range s.doors {
			d.listener.Close()
		}
		return nil, err
	}
	for _, d := range s.doors {
		if o.adjust != nil {
			o.adjust(d)
		}
		s.wg.Go(func() { s.serve(d) })
	}
	return s, nil
}

// Serve gives the server what it is to show, once.
func (s *Server) Serve(v View) {
	s.view, s.live, s.metrics = v, newLive(v), newMetricsHandler(v)
	s.wg.Go(func() { s.live.run(s.ctx) })
	s.started.Store(true)
}

// open opens the sockets; what was opened before an error is in s.doors.
func (s *Server) open(p config.Process) error {
	if p.Admin != "" {
		group, err := lookUpGroup(p.AdminGroup)
		if err != nil {
			return err
		}
		l, err := listenSocket(p.Admin, group)
		if err != nil {
			return err
		}
		if err := s.addDoor(&door{kind: doorSocket, group: group}, l); err != nil {
			return err
		}
	}
	if p.HTTP.IsZero() {
		return nil
	}
	l, err := net.Listen("tcp", p.HTTP.AddrPort.String())
	if err != nil {
		return fmt.Errorf("open process.http %s: %w", p.HTTP, err)
	}
	kind := doorRemote
	if p.HTTP.AddrPort.Addr().IsLoopback() {
		kind = doorLoopback
	}
	return s.addDoor(&door{kind: kind, address: netip.MustParseAddrPort(l.Addr().String())}, l)
}

// addDoor makes ready what serves l; it takes l over, also where it fails.
func (s *Server) addDoor(d *door, l net.Listener) error {
	bounded, err := newListener(l, maxConns)
	if err != nil {
		l.Close()
		return fmt.Errorf("watch admin listener %s: %w", l.Addr(), err)
	}
	d.listener = bounded
	d.streams = make(chan struct{}, maxStreams)
	d.server = &http.Server{
		Handler:           s.enter(d),
		ConnContext:       d.withPeer,
		BaseContext:       func(net.Listener) context.Context { return s.ctx },
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.New(errorWriter{s.onError}, "", 0),
	}
	s.doors = append(s.doors, d)
	return nil
}

// serve returns when d is closed.
func (s *Server) serve(d *door) {
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		s.onError(fmt.Errorf("serve admin API on %s: %w", d.listener.Addr(), err))
	}
}

// HTTPAddr is the TCP address that is served; the zero one without.
func (s *Server) HTTPAddr() netip.AddrPort {
	for _, d := range s.doors {
		if d.kind != doorSocket {
			return d.address
		}
	}
	return netip.AddrPort{}
}

// Close ends streams, lets running requests finish until ctx ends, removes the unix socket and returns when nothing of
// the server runs any more.
func (s *Server) Close(ctx context.Context) error {
	s.cancel()
	var errs []error
	for _, d := range s.doors {
		if err := d.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("close admin listener %s: %w", d.listener.Addr(), err), d.server.Close())
		}
		d.listener.Close() // again, if Serve never had it
	}
	s.wg.Wait()
	return errors.Join(errs...)
}

// minTokenBytes is the least that is hard to guess; `openssl rand -hex 16` makes 32.
const minTokenBytes = 16

// readToken reads the bearer token and refuses to serve other hosts without one.
func (s *Server) readToken(p config.Process) error {
	if p.HTTPTokenFile == "" {
		if !p.HTTP.IsZero() && !p.HTTP.AddrPort.Addr().IsLoopback() {
			return fmt.Errorf("open process.http %s: other hosts can reach it and there is no token; set http_token_file, or listen on 127.0.0.1", p.HTTP)
		}
		return nil
	}
	text, err := os.ReadFile(p.HTTPTokenFile)
	if err != nil {
		return fmt.Errorf("read process.http_token_file: %w", err)
	}
	s.token = []byte(strings.TrimSpace(string(text)))
	if len(s.token) < minTokenBytes {
		return fmt.Errorf("read process.http_token_file %s: the token has %d characters, fewer than %d; make one with: openssl rand -hex 16",
			p.HTTPTokenFile, len(s.token), minTokenBytes)
	}
	return nil
}

// errorWriter hands on what net/http logs: panics and accept errors.
type errorWriter struct{ onError func(error) }

func (w errorWriter) Write(line []byte) (int, error) {
	w.onError(errors.New("serve admin API: " + strings.TrimSpace(string(line))))
	return len(line), nil
}
