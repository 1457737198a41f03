package frame

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gobwas/ws"
	"github.com/google/go-cmp/cmp"
)

// whole is a frame put together again.
type whole struct {
	Op      ws.OpCode
	Fin     bool
	Payload []byte
}

// parse feeds the wire in pieces of at most the given size and collects the frames.
func parse(t *testing.T, f *Parser, wire []byte, size int) (frames []whole) {
	t.Helper()
	wire = bytes.Clone(wire) // masks come off in place
	for len(wire) > 0 {
		n := min(size, len(wire))
		for p := wire[:n]; len(p) > 0; {
			part, rest, err := f.Next(p)
			if err != nil {
				t.Fatal(err)
			}
			if part.First {
				frames = append(frames, whole{f.Header.OpCode, f.Header.Fin, []byte{}})
			}
			if len(frames) > 0 {
				last := &frames[len(frames)-1]
				last.Payload = append(last.Payload, part.Payload...)
			}
			p = rest
		}
		wire = wire[n:]
	}
	return frames
}

func TestFramesSurviveAnySegmentation(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var wire []byte
	var want []whole
	for i, size := range []int{0, 1, 5, 125, 126, 127, 300, 65535, 65536, 70000} {
		payload := make([]byte, size)
		for j := range payload {
			payload[j] = byte(rng.Uint32())
		}
		mask := Mask(7, uint64(i))
		wire = Append(wire, ws.OpBinary, &mask, payload)
		wire = Append(wire, ws.OpPing, &mask, payload[:min(size, 125)])
		want = append(want, whole{ws.OpBinary, true, payload}, whole{ws.OpPing, true, payload[:min(size, 125)]})
	}
	for _, size := range []int{1, 2, 3, 7, 14, 1000, 1 << 20} {
		f := Parser{State: ws.StateServerSide}
		got := parse(t, &f, wire, size)
		if !slices.EqualFunc(got, want, func(a, b whole) bool { return a.Op == b.Op && a.Fin == b.Fin && bytes.Equal(a.Payload, b.Payload) }) {
			t.Errorf("pieces of %d bytes: %d frames, or others than the %d sent", size, len(got), len(want))
		}
	}
}

// The reference for the wire form is the library's own writer.
func TestHeadersAreThoseOfTheLibrary(t *testing.T) {
	for _, length := range []int64{0, 125, 126, 65535, 65536, 1 << 40} {
		for _, masked := range []bool{false, true} {
			h := ws.Header{Fin: length%2 == 0, OpCode: ws.OpText, Length: length, Masked: masked}
			if masked {
				h.Mask = [4]byte{1, 2, 3, 4}
			}
			var want bytes.Buffer
			if err := ws.WriteHeader(&want, h); err != nil {
				t.Fatal(err)
			}
			if got := AppendHeader(nil, h); !bytes.Equal(got, want.Bytes()) {
				t.Errorf("length %d, masked %v: % x, want % x", length, masked, got, want.Bytes())
			}
		}
	}
}

func TestFragmentsWithControlFramesBetweenThem(t *testing.T) {
	wire := AppendHeader(nil, ws.Header{OpCode: ws.OpText, Length: 2})
	wire = append(wire, "ab"...)
	wire = Append(wire, ws.OpPing, nil, []byte("?"))
	wire = Append(wire, ws.OpContinuation, nil, []byte("cd"))
	f := Parser{State: ws.StateClientSide}
	want := []whole{{ws.OpText, false, []byte("ab")}, {ws.OpPing, true, []byte("?")}, {ws.OpContinuation, true, []byte("cd")}}
	if d := cmp.Diff(want, parse(t, &f, wire, 1)); d != "" {
		t.Error(d)
	}
}

func TestWrongFramesAreRefused(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	tests := []struct {
		name  string
		state ws.State
		wire  []byte
	}{
		{"a client's frame without a mask", ws.StateServerSide, Append(nil, ws.OpText, nil, []byte("a"))},
		{"a server's frame with a mask", ws.StateClientSide, Append(nil, ws.OpText, &mask, []byte("a"))},
		{"a continuation of nothing", ws.StateClientSide, Append(nil, ws.OpContinuation, nil, []byte("a"))},
		{"a reserved code", ws.StateClientSide, []byte{0x83, 0}},
		{"a reserved bit", ws.StateClientSide, []byte{0xc1, 0}},
		{"a long ping", ws.StateClientSide, append([]byte{0x89, 126, 1, 0}, make([]byte, 256)...)},
		{"a length beyond 63 bits", ws.StateClientSide, []byte{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			f := Parser{State: tc.state}
			if _, _, err := f.Next(tc.wire); err == nil {
				t.Error("accepted")
			}
		})
	}
}

// Whatever comes, pieces of any size tell the same as all at once, and nothing is taken twice or left out.
func FuzzParser(f *testing.F) {
	mask := [4]byte{1, 2, 3, 4}
	f.Add(Append(Append(nil, ws.OpText, &mask, make([]byte, 200)), ws.OpClose, &mask, []byte{3, 232}), 3)
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		all, n1 := payloads(bytes.Clone(wire), len(wire))
		pieces, n2 := payloads(bytes.Clone(wire), max(size%100, 1))
		if n1 != n2 || !bytes.Equal(all, pieces) {
			t.Errorf("%d frames at once, %d in pieces; payloads equal: %v", n1, n2, bytes.Equal(all, pieces))
		}
	})
}

// payloads is the content of all frames up to an error or the end, and how many ended.
func payloads(wire []byte, size int) (all []byte, frames int) {
	f := Parser{State: ws.StateServerSide}
	for len(wire) > 0 {
		n := min(size, len(wire))
		for p := wire[:n]; len(p) > 0; {
			part, rest, err := f.Next(p)
			if err != nil {
				return all, frames
			}
			if part.Last {
				frames++
			}
			all, p = append(all, part.Payload...), rest
		}
		wire = wire[n:]
	}
	return all, frames
}

func TestFramesCostNoAllocation(t *testing.T) {
	f := &Parser{State: ws.StateServerSide}
	buf, payload := make([]byte, 0, 1<<10), make([]byte, 500)
	n := uint64(0)
	got := testing.AllocsPerRun(100, func() {
		n++
		mask := Mask(1, n)
		buf = Append(buf[:0], ws.OpBinary, &mask, payload)
		for p := buf; len(p) > 0; {
			_, rest, err := f.Next(p)
			if err != nil {
				t.Fatal(err)
			}
			p = rest
		}
	})
	if got != 0 {
		t.Errorf("%v allocations a frame", got)
	}
}

func TestHandshakeInPieces(t *testing.T) {
	request, key := Request("127.0.0.1:9000", "/feed")
	var answer, rest []byte
	for i := 1; i <= len(request)+3; i++ { // three bytes of the first frame come with the request
		var err error
		got := append(bytes.Clone(request), "abc"...)[:i]
		if answer, rest, err = Accept(got); err != nil {
			t.Fatal(err)
		}
		if complete := i >= len(request); complete != (answer != nil) {
			t.Fatalf("%d bytes of %d: answered %q", i, len(request), answer)
		}
	}
	if string(rest) != "abc" {
		t.Errorf("left over %q", rest)
	}
	for i := 1; i <= len(answer)+1; i++ {
		done, rest, err := Check(append(bytes.Clone(answer), 'x')[:i], key)
		if err != nil || done != (i >= len(answer)) || done && len(rest) != i-len(answer) {
			t.Fatalf("%d bytes of %d: done %v, %d left, %v", i, len(answer), done, len(rest), err)
		}
	}
	if _, _, err := Check(answer, key+"x"); err == nil {
		t.Error("an answer to another key was accepted")
	}
}

func TestBadHandshakes(t *testing.T) {
	answer, _, err := Accept([]byte("GET / HTTP/1.1\r\nHost: here\r\n\r\n"))
	if err == nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 4")) {
		t.Errorf("a plain request: %v, answered %q", err, answer)
	}
	if _, _, err := Accept(bytes.Repeat([]byte("a"), MaxHandshake+1)); !errors.Is(err, errTooLong) {
		t.Errorf("an endless head: %v", err)
	}
	for _, head := range []string{
		"HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "hello\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: no\r\n\r\n",
	} {
		if done, _, err := Check([]byte(head), "key"); err == nil || done {
			t.Errorf("%q was accepted", head)
		}
	}
}
