package serve

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/gobwas/ws"
	"github.com/longsplice/longsplice/benchmarks/epoll"
	"github.com/longsplice/longsplice/benchmarks/frame"
	"github.com/longsplice/longsplice/benchmarks/pattern"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// webServer is running for WebSocket.
func webServer(t *testing.T, mode Mode) netip.AddrPort {
	t.Helper()
	s, err := Open(mode, []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	s.WebSocket = true
	var stop atomic.Bool
	ended := make(chan error)
	go func() { ended <- s.Run(stop.Load) }()
	t.Cleanup(func() {
		stop.Store(true)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return s.Addrs[0]
}

func webDial(t *testing.T, to netip.AddrPort) (context.Context, *websocket.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	c, answer, err := websocket.Dial(ctx, "ws://"+to.String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body != nil {
		answer.Body.Close()
	}
	c.SetReadLimit(-1)
	t.Cleanup(func() { _ = c.CloseNow() })
	return ctx, c
}

// A client that is not ours gets back what it sent: kinds, sizes, fragments, pings, and the close.
func TestEchoSpeaksWebSocketWithOthers(t *testing.T) {
	testkit.LeakCheck(t)
	ctx, c := webDial(t, webServer(t, Echo))
	for _, size := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
		want := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		written := make(chan error)
		go func() { written <- c.Write(ctx, websocket.MessageBinary, want) }()
		kind, got, err := c.Read(ctx)
		if err != nil || kind != websocket.MessageBinary || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes: %v of %d, %v", size, kind, len(got), err)
		}
		if err := <-written; err != nil {
			t.Fatal(err)
		}
	}
	fragmented(ctx, t, c)
	read := make(chan error)
	go func() { _, _, err := c.Read(ctx); read <- err }() // pongs and the close are taken by readers
	if err := c.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "done"); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-read; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
		t.Errorf("the reader ended with %v", err)
	}
}

func fragmented(ctx context.Context, t *testing.T, c *websocket.Conn) {
	t.Helper()
	w, err := c.Writer(ctx, websocket.MessageText)
	if err != nil {
		t.Fatal(err)
	}
	for _, piece := range []string{"one ", "two ", "three"} {
		if _, err := io.WriteString(w, piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if kind, got, err := c.Read(ctx); err != nil || kind != websocket.MessageText || string(got) != "one two three" {
		t.Errorf("fragments came back as %v %q, %v", kind, got, err)
	}
}

// checkPushed reads messages off a stream and checks each head and byte, up to and with the last one.
func checkPushed(t *testing.T, p PushPreface, message func() []byte) (n uint64) {
	t.Helper()
	for {
		msg := message()
		if len(msg) != int(p.MessageBytes) {
			t.Fatalf("message %d has %d bytes", n, len(msg))
		}
		h := ParsePushHead(msg)
		number := h.Number &^ uint64(PushEnd)
		if number != n || pattern.Check(p.Seed, n*p.MessageBytes+PushHeadBytes, msg[PushHeadBytes:]) != -1 {
			t.Fatalf("message %d says it is %d, or has wrong bytes", n, number)
		}
		if h.Number&PushEnd != 0 {
			return n
		}
		if want := p.First + int64(n)*p.Interval; h.Scheduled != want || h.Begun != 0 && h.Begun < want {
			t.Fatalf("message %d was due at %d, not at %d, or was begun before (%d)", n, want, h.Scheduled, h.Begun)
		}
		n++
	}
}

func TestPushKeepsItsScheduleUntilStopped(t *testing.T) {
	testkit.LeakCheck(t)
	c := dial(t, running(t, Push).Addrs[0])
	p := PushPreface{Seed: 9, MessageBytes: 100, First: epoll.Now(), Interval: int64(time.Millisecond)}
	for _, b := range p.Append(nil) { // a preface may come in pieces
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	read := 0
	n := checkPushed(t, p, func() []byte {
		msg := make([]byte, 100)
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
		if read++; read == 20 {
			if _, err := c.Write([]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
		return msg
	})
	if n < 20 {
		t.Errorf("the last message says there were %d, 20 came before the stop", n)
	}
}

func TestPushSpeaksWebSocketWithOthers(t *testing.T) {
	testkit.LeakCheck(t)
	ctx, c := webDial(t, webServer(t, Push))
	p := PushPreface{Seed: 3, MessageBytes: 70_000, First: epoll.Now(), Interval: int64(time.Millisecond)}
	if err := c.Write(ctx, websocket.MessageBinary, p.Append(nil)); err != nil {
		t.Fatal(err)
	}
	read := 0
	checkPushed(t, p, func() []byte {
		_, msg, err := c.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if read++; read == 20 {
			if err := c.Write(ctx, websocket.MessageBinary, []byte{0}); err != nil {
				t.Fatal(err)
			}
		}
		return msg
	})
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Errorf("close: %v", err)
	}
}

// pushing begins a push session of the largest messages, one a millisecond: far more than a client that stalls has room for.
func pushing(t *testing.T) (c *net.TCPConn, p PushPreface, message func() []byte) {
	t.Helper()
	c = dial(t, running(t, Push).Addrs[0])
	p = PushPreface{Seed: 1, MessageBytes: pattern.MaxChunk, First: epoll.Now(), Interval: int64(time.Millisecond)}
	if _, err := c.Write(p.Append(nil)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // until windows and buffers are full
	return c, p, func() []byte {
		msg := make([]byte, p.MessageBytes)
		if _, err := io.ReadFull(c, msg); err != nil {
			t.Fatal(err)
		}
		return msg
	}
}

// A client that stalls and then says stop gets what has begun, and the end; what was due and could not begin is left out.
func TestPushHearsAStopBehindFullBuffers(t *testing.T) {
	testkit.LeakCheck(t)
	c, p, message := pushing(t)
	if _, err := c.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	due := uint64((epoll.Now() - p.First) / p.Interval)
	time.Sleep(500 * time.Millisecond)
	if n := checkPushed(t, p, message); n >= due {
		t.Errorf("%d messages came, all of the %d that were due when the client said stop", n, due)
	}
}

// What had to wait for the message before it is not the server's lateness.
func TestPushSaysWhatWasHeldBack(t *testing.T) {
	testkit.LeakCheck(t)
	c, p, message := pushing(t)
	read, held := 0, 0
	checkPushed(t, p, func() []byte {
		msg := message()
		if h := ParsePushHead(msg); h.Begun == 0 && h.Number&PushEnd == 0 {
			held++
		}
		if read++; read == 100 {
			if _, err := c.Write([]byte{0}); err != nil {
				t.Fatal(err)
			}
		}
		return msg
	})
	if held == 0 || held >= read-1 {
		t.Errorf("%d of %d messages were held back; the first was not, and those behind full buffers were", held, read)
	}
}

// RFC 6455, section 7.1.1: after both close frames the server ends the connection first.
func TestWebSocketServerEndsTheConnection(t *testing.T) {
	testkit.LeakCheck(t)
	c := dial(t, webServer(t, Echo))
	request, key := frame.Request("here", "/")
	mask := [4]byte{1, 2, 3, 4}
	if _, err := c.Write(frame.Append(request, ws.OpClose, &mask, []byte{3, 232})); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c) // until its FIN
	done, rest, answer := frame.Check(got, key)
	if err != nil || !done || answer != nil || !bytes.Equal(rest, frame.Append(nil, ws.OpClose, nil, []byte{3, 232})) {
		t.Errorf("%q, %v, %v", got, err, answer)
	}
}

func TestBothWaysAtOnce(t *testing.T) {
	testkit.LeakCheck(t)
	const length = 3_000_000
	c := dial(t, running(t, Both).Addrs[0])
	go func() {
		_, _ = c.Write(Preface{Seed: 6, Length: length}.Append(nil))
		for pos := uint64(0); pos < length; {
			p := pattern.At(6, pos, length-pos)
			_, _ = c.Write(p)
			pos += uint64(len(p))
		}
	}()
	got, err := io.ReadAll(c)
	if err != nil || len(got) != length+VerdictBytes {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	for pos := 0; pos < length; {
		n := min(length-pos, pattern.MaxChunk)
		if pattern.Check(BackSeed(6), uint64(pos), got[pos:pos+n]) != -1 {
			t.Fatalf("wrong bytes from %d on", pos)
		}
		pos += n
	}
	if v := ParseVerdict(got[length:]); v != (Verdict{length, NoneWrong}) {
		t.Errorf("verdict %+v", v)
	}
}
