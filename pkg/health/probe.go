package health

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
)

// outcome is how one check ended, as the metric health_checks_total calls it.
type outcome string

const (
	ok       outcome = "ok"
	failed   outcome = "fail"
	timedOut outcome = "timeout"
	local    outcome = "local" // a shortage of ours, which says nothing about the backend
)

var (
	errSelfConnect = errors.New("connected to itself: nothing listens there, and the kernel chose the same port for our end")
	errNotExpected = errors.New("the answer does not contain what is expected")
	errAddress     = errors.New("neither an IP address nor a unix socket")
	errType        = errors.New("unknown type of check")
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// probe checks b once, within the timeout of h. The error says why the outcome is not ok.
func (c *Checker) probe(ctx context.Context, b *backend.Backend, h config.Health) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, h.Timeout)
	defer cancel()
	err := c.check(ctx, b, &h)
	return classify(err), err
}

func classify(err error) outcome {
	switch {
	case err == nil:
		return ok
	case isShortage(err):
		return local
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, sys.ETIMEDOUT):
		return timedOut
	}
	return failed
}

// isShortage tells whether what failed is ours: fds (EMFILE, ENFILE), kernel memory (ENOBUFS, ENOMEM), or a local port
// (EADDRNOTAVAIL: all of ip_local_port_range is in use towards this backend).
func isShortage(err error) bool {
	for _, errno := range []sys.Errno{sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM, sys.EADDRNOTAVAIL} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

func (c *Checker) check(ctx context.Context, b *backend.Backend, h *config.Health) error {
	network, address, err := where(b, h.Port)
	if err != nil {
		return err
	}
	conn, err := c.dial(ctx, network, address)
	if err != nil {
		return err
	}
	defer hangUp(conn)
	wake := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) // long ago: ends every read and write
	defer wake()
	if isSelfConnect(conn) {
		return fmt.Errorf("connect %s: %w", address, errSelfConnect)
	}
	switch h.Type {
	case config.HealthTCP:
		return nil
	case config.HealthSendExpect:
		return sendExpect(conn, h.Send, h.Expect)
	case config.HealthHTTP:
		return getStatus(conn, address, h)
	case config.HealthWebSocket:
		return upgrade(conn, address, h)
	}
	return fmt.Errorf("check %s: %w %q", address, errType, h.Type)
}

// where is the backend in the words of package net; port, if not 0, replaces the one of a TCP address.
func where(b *backend.Backend, port uint16) (network, address string, err error) {
	if b.Addr != (sys.Addr{}) {
		to := b.Addr
		if port != 0 {
			to.Port = port
		}
		return "tcp", to.String(), nil
	}
	path, isUnix := strings.CutPrefix(b.Address, "unix:")
	if !isUnix {
		return "", "", fmt.Errorf("check %s: %w", b.Address, errAddress)
	}
	return "unix", path, nil
}

// hangUp closes without TIME_WAIT: SO_LINGER with time 0 makes close(2) send a RST.
func hangUp(conn net.Conn) {
	if tcp, isTCP := conn.(*net.TCPConn); isTCP {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// isSelfConnect tells whether both ends of a TCP connection are the same socket: where nothing listens on a local port
// of the ephemeral range, a simultaneous open with oneself looks like a connection (RFC 9293, 3.5).
func isSelfConnect(conn net.Conn) bool {
	ours, isTCP := conn.LocalAddr().(*net.TCPAddr)
	theirs, _ := conn.RemoteAddr().(*net.TCPAddr)
	return isTCP && theirs != nil && ours.AddrPort() == theirs.AddrPort()
}

// sendExpect sends a text, which may be empty, and reads until the answer contains another.
func sendExpect(conn net.Conn, send, expect string) error {
	if send != "" { // writing nothing fails, too, on a socket whose peer has said its part and left
		if _, err := io.WriteString(conn, send); err != nil {
			return err
		}
	}
	answer := make([]byte, 0, 512)
	for !bytes.Contains(answer, []byte(expect)) {
		if len(answer) == cap(answer) {
			if len(answer) >= maxAnswer {
				return fmt.Errorf("read %d bytes: %w: %q", len(answer), errNotExpected, expect)
			}
			answer = append(make([]byte, 0, 2*cap(answer)), answer...)
		}
		n, err := conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if n == 0 && err != nil {
			return fmt.Errorf("read an answer with %q: %w", expect, whole(err))
		}
	}
	return nil
}

// whole turns an end of the stream in the middle of an answer into what it is.
func whole(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
