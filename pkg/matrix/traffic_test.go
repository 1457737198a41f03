package matrix

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// traffic is exchanges between clients and backends that both live in this process: either end knows what the other sends.
type traffic struct {
	t       testing.TB
	host    *testkit.Host // where the peers are; nil: here
	front   string
	options sockets
	made    atomic.Uint64
	known   sync.Map // number to *exchange
	broken  chan error
}

// exchange is one session. Its client begins with the exchange's number, so that the backend knows which one it has.
type exchange struct {
	number uint64
	halves [2]*stream // to the backend, to the client
	client func(*net.TCPConn) error
	server func(*net.TCPConn) error
	met    chan struct{} // closed when the backend has read the number
	served chan error    // what became of the backend's part
}

// The halves of an exchange.
const (
	toBackend = iota
	toClient
)

// helloBytes is the length of the number.
const helloBytes = 8

// sockets is the options of the peers' sockets; 0 leaves the kernel's own.
type sockets struct{ mss, receiveBuffer, sendBuffer int }

// control sets the options before the socket connects or listens, which is when MSS and window scale are agreed.
func (s sockets) control(_, _ string, raw syscall.RawConn) (err error) {
	set := func(fd, level, option, value int) {
		if value != 0 {
			err = errors.Join(err, syscall.SetsockoptInt(fd, level, option, value))
		}
	}
	return errors.Join(raw.Control(func(fd uintptr) {
		set(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, s.mss)
		set(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, s.receiveBuffer)
		set(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF, s.sendBuffer)
	}), err)
}

// newTraffic makes n backends on loopback and returns their addresses; front is where clients will go.
func newTraffic(t testing.TB, front string, n int, options sockets) (tr *traffic, backends []string) {
	t.Helper()
	return newTrafficOn(t, nil, front, n, options)
}

// newTrafficOn is newTraffic on the loopback of a host.
func newTrafficOn(t testing.TB, host *testkit.Host, front string, n int, options sockets) (tr *traffic, backends []string) {
	t.Helper()
	tr = &traffic{t: t, host: host, front: front, options: options, broken: make(chan error, 1)}
	for range n {
		var l net.Listener
		err := tr.there(func() (err error) {
			config := net.ListenConfig{Control: options.control}
			l, err = config.Listen(t.Context(), "tcp", freeAddress(t, "127.0.0.1"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go tr.serve(l)
		backends = append(backends, l.Addr().String())
	}
	t.Cleanup(tr.checkHellos)
	return tr, backends
}

// there calls fn where the peers are.
func (tr *traffic) there(fn func() error) error {
	if tr.host == nil {
		return fn()
	}
	return tr.host.Do(fn)
}

// dial connects a client.
func (tr *traffic) dial() (c net.Conn, err error) {
	err = tr.there(func() error {
		d := net.Dialer{Timeout: patience, Control: tr.options.control}
		c, err = d.DialContext(tr.t.Context(), "tcp", tr.front)
		return err
	})
	return c, err
}

// begin makes an exchange in which the halves have these lengths.
func (tr *traffic) begin(lengths [2]int64) *exchange {
	x := &exchange{number: tr.made.Add(1), met: make(chan struct{}), served: make(chan error, 1)}
	for i := range x.halves {
		x.halves[i] = newStream(fmt.Sprintf("session %d %s", x.number, [...]string{"to the backend", "to the client"}[i]), lengths[i])
	}
	tr.known.Store(x.number, x)
	return x
}

// run plays the client's part of an exchange and waits for the backend's.
func (tr *traffic) run(x *exchange) error {
	defer tr.known.Delete(x.number)
	for _, s := range x.halves {
		defer s.forget()
	}
	c, err := tr.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	hello := binary.BigEndian.AppendUint64(nil, x.number)
	if _, err := c.Write(hello); err != nil {
		return err
	}
	err = x.client(c.(*net.TCPConn))
	if err != nil {
		c.Close() // the backend need not wait for more
	}
	select {
	case served := <-x.served:
		return errors.Join(err, served)
	case <-time.After(patience):
		return errors.Join(err, fmt.Errorf("session %d: the backend saw no end of it", x.number))
	}
}

// serve is a backend.
func (tr *traffic) serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			hello := make([]byte, helloBytes)
			if _, err := io.ReadFull(c, hello); err != nil {
				return // the client aborted; where it must not, it waits in vain for this session
			}
			x, known := tr.known.Load(binary.BigEndian.Uint64(hello))
			if !known {
				tr.stray(hello)
				return
			}
			close(x.(*exchange).met)
			x.(*exchange).served <- x.(*exchange).server(c.(*net.TCPConn))
		}()
	}
}

// stray keeps the first session that began with somebody else's bytes.
func (tr *traffic) stray(hello []byte) {
	select {
	case tr.broken <- fmt.Errorf("%w: a session began with %x, which no client sent first: %s", errWrong, hello, whose(hello)):
	default:
	}
}

func (tr *traffic) checkHellos() {
	select {
	case err := <-tr.broken:
		tr.t.Error(err)
	default:
	}
}

// duplex sends one half and receives the other at once. Each sender ends with a FIN after its last byte.
func duplex(c *net.TCPConn, out, in *stream, talk, listen manner, r *rand.Rand) error {
	sent, seed := make(chan error, 1), r.Uint64()
	go func() {
		err := out.send(c, talk, rand.New(rand.NewPCG(seed, 1)))
		if err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	err := in.receive(c, listen, r)
	if err != nil {
		c.Close() // nobody waits for the other half then
	}
	return errors.Join(err, <-sent)
}

// stream is the bytes of one half: a pattern that no other stream of this process has.
type stream struct {
	name     string
	seed     uint64
	length   int64
	pivot    int64         // the sender waits here ...
	ready    chan struct{} // ... until the other half has ended; nil: it does not wait
	ended    chan struct{} // closed when the receiver has met the end
	promised atomic.Int64  // bytes given to the kernel, or being given
	got      atomic.Int64
	owedAt   atomic.Int64  // when the receiver was last owed something after it had everything; nanoseconds
	longest  time.Duration // the longest time the receiver has waited for bytes that it was owed
	digests  [2]digest     // of sender and receiver
}

var (
	streamsMade atomic.Uint64
	streams     sync.Map // seed to *stream, for whose
	epoch       = time.Now()
)

func newStream(name string, length int64) *stream {
	s := &stream{name: name, seed: streamsMade.Add(1) << 32, length: length, ended: make(chan struct{})}
	if streamsMade.Load()%8 < 2 {
		s.digests = [2]digest{newDigest(), newDigest()}
	}
	streams.Store(s.seed, s)
	return s
}

func (s *stream) forget() { streams.Delete(s.seed) }

// send writes the stream as m says, without an end.
func (s *stream) send(c *net.TCPConn, m manner, r *rand.Rand) error {
	buf := make([]byte, m.chunk)
	for at := int64(0); at < s.length; {
		if s.ready != nil && at >= s.pivot {
			if err := s.waitForEnd(); err != nil {
				return err
			}
		}
		part := buf[:min(m.size(r), s.length-at)]
		testkit.FillPattern(part, s.seed, at)
		s.digests[0].add(part)
		if s.got.Load() >= s.promised.Load() {
			s.owedAt.Store(int64(time.Since(epoch)))
		}
		at += int64(len(part))
		s.promised.Store(at)
		_ = c.SetWriteDeadline(time.Now().Add(patience))
		if _, err := c.Write(part); err != nil {
			return fmt.Errorf("send %s up to %d: %w", s.name, at, err)
		}
		m.rest(r, len(part))
	}
	return nil
}

// waitForEnd waits for the end of the other half: a session closed on one side only still carries bytes.
func (s *stream) waitForEnd() error {
	select {
	case <-s.ready:
		s.ready = nil
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s: the FIN of the other half did not come", s.name)
	}
}

// receive reads to the FIN. Anything but the whole stream and then the FIN is an error.
func (s *stream) receive(c *net.TCPConn, m manner, r *rand.Rand) error {
	got, err := s.take(c, m, r)
	switch {
	case err == nil && got != s.length:
		return fmt.Errorf("%s: the FIN came after %d of %d bytes", s.name, got, s.length)
	case err != nil:
		return fmt.Errorf("receive %s, %d of %d bytes there: %w", s.name, got, s.length, err)
	case s.digests[0].value() != s.digests[1].value():
		return fmt.Errorf("%s: SHA-256 differs", s.name)
	}
	close(s.ended)
	return nil
}

// take reads to whatever end there is and checks what comes; err is nil for a FIN.
func (s *stream) take(c *net.TCPConn, m manner, r *rand.Rand) (got int64, err error) {
	buf, want := make([]byte, m.chunk), make([]byte, m.chunk)
	for {
		part := buf[:m.size(r)]
		began := int64(time.Since(epoch))
		_ = c.SetReadDeadline(time.Now().Add(patience))
		n, err := c.Read(part)
		if s.promised.Load() > got {
			s.longest = max(s.longest, time.Since(epoch)-time.Duration(max(began, s.owedAt.Load())))
		}
		testkit.FillPattern(want[:n], s.seed, got)
		if !bytes.Equal(part[:n], want[:n]) {
			return got, s.wrong(part[:n], want[:n], got)
		}
		s.digests[1].add(part[:n])
		got += int64(n)
		s.got.Store(got)
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		m.rest(r, n)
	}
}

// wrong says what came instead of the bytes from at on.
func (s *stream) wrong(part, want []byte, at int64) error {
	i := 0
	for part[i] == want[i] {
		i++
	}
	return fmt.Errorf("%w: %s: at %d came %s", errWrong, s.name, at+int64(i), whose(part[i:]))
}
