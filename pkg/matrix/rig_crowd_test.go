package matrix

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// visitor is a client whose session leads to an echo backend. What it sends is a pattern of its own: a byte of another
// session, lost, doubled or moved is recognised where it happens. Not for two goroutines at once.
type visitor struct {
	conn *net.TCPConn
	seed uint64
	sent int64 // bytes that came back right
}

var visitors atomic.Uint64

// visit connects to address and says one byte, so that the session is known to be relayed.
func visit(address string) (*visitor, error) {
	v, err := meet(address)
	if err != nil {
		return nil, err
	}
	if err := v.say(1); err != nil {
		v.leave()
		return nil, err
	}
	return v, nil
}

// meet only connects: the program may not have accepted it yet.
func meet(address string) (*visitor, error) {
	c, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &visitor{conn: c.(*net.TCPConn), seed: visitors.Add(1) << 20}, nil
}

// errWrong is an echo that is not what was sent.
var errWrong = errors.New("wrong byte")

// say sends n bytes and reads them back. Any error but errWrong tells how the session ended.
func (v *visitor) say(n int) error {
	out, in := make([]byte, n), make([]byte, n)
	testkit.FillPattern(out, v.seed, v.sent)
	if err := v.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	sending := make(chan error, 1)
	if n <= 4<<10 { // fits any socket's buffer: no need to read meanwhile
		_, err := v.conn.Write(out)
		sending <- err
	} else {
		go func() { _, err := v.conn.Write(out); sending <- err }()
	}
	got, err := io.ReadFull(v.conn, in)
	if !bytes.Equal(in[:got], out[:got]) {
		err = fmt.Errorf("%w in the %d from %d on", errWrong, n, v.sent)
	}
	v.sent += int64(got)
	return errors.Join(err, <-sending)
}

// leave closes the connection with a FIN: everything that was sent has come back.
func (v *visitor) leave() { v.conn.Close() }

// endOf waits for the end of a session on which nothing more is said: io.EOF for a FIN, else the errno.
func (v *visitor) endOf() error {
	_ = v.conn.SetDeadline(time.Now().Add(patience))
	n, err := v.conn.Read(make([]byte, 1))
	if n > 0 {
		return fmt.Errorf("%w: one that nobody sent", errWrong)
	}
	return err
}

// isReset says whether err is what a RST leaves behind.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// crowd is many visitors.
type crowd []*visitor

// gather brings n visitors in, arriving some 100 at a time. All of them must get a session.
func gather(t testing.TB, address string, n int) crowd {
	t.Helper()
	all := make(crowd, n)
	errs := inParallel(n, func(i int) (err error) { all[i], err = visit(address); return err })
	t.Cleanup(all.leave)
	for i, err := range errs {
		if err != nil {
			t.Fatalf("visitor %d of %d: %v", i, n, err)
		}
	}
	return all
}

// say lets every visitor say n bytes; the errors are in the crowd's order, nil where all came back right.
func (c crowd) say(n int) []error {
	return inParallel(len(c), func(i int) error { return c[i].say(n) })
}

func (c crowd) leave() {
	for _, v := range c {
		if v != nil {
			v.leave()
		}
	}
}

// inParallel calls do for 0 to n-1, at most 100 at a time.
func inParallel(n int, do func(i int) error) []error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, 100) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		})
	}
	wg.Wait()
	return errs
}

// failures counts the errors that are not nil and keeps the first.
func failures(errs []error) (n int, first error) {
	for _, err := range errs {
		if err != nil {
			if n == 0 {
				first = err
			}
			n++
		}
	}
	return n, first
}
