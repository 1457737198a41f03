package flawed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// flaw is what a proxy does wrong. Its functions run in the goroutines of halves and sessions.
type flaw struct {
	at    int64                                   // spoil sees one chunk of a half, the one that begins behind so many bytes; 0: all chunks
	spoil func(h *half, p []byte) ([]byte, error) // what to send instead of p; io.EOF ends the half with a FIN
	opens func(p *Proxy) (closes func())          // when a session begins, and when it ends
}

// messageBytes is what is lost as one message.
const messageBytes = 64

// flaws make a flaw of the text behind the "=".
var flaws = map[string]func(value string) (flaw, error){
	// What happens to the bytes, once in each half, behind so many bytes.
	"drop":  at(func(_ *half, p []byte) ([]byte, error) { return p[1:], nil }),
	"flip":  at(func(_ *half, p []byte) ([]byte, error) { p[0] ^= 1; return p, nil }),
	"twice": at(func(_ *half, p []byte) ([]byte, error) { return append(p, p...), nil }),
	"lose":  at(func(_ *half, p []byte) ([]byte, error) { return p[min(messageBytes, len(p)):], nil }),
	"end":   at(end),
	"hang":  at(hang),
	"swap":  swap,
	// What happens to time.
	"delay": lasting(func(_ *half, d time.Duration) { time.Sleep(d) }),
	"stall": lasting(stall),
	// What it costs: CPU time and system calls per chunk, bytes and file descriptors per session.
	"burn":  lasting(burn),
	"calls": calls,
	"leak":  leak,
	"fds":   openFiles,
	// What happens to sessions: one in so many is reset; those after so many are never relayed.
	"reset": reset,
	"deaf":  deaf,
}

// Names are the flaws that there are.
func Names() []string { return slices.Sorted(maps.Keys(flaws)) }

func parse(text string) (flaw, error) {
	if text == "" {
		return flaw{}, nil
	}
	name, value, _ := strings.Cut(text, "=")
	build, known := flaws[name]
	if !known {
		return flaw{}, fmt.Errorf("unknown flaw %q; use one of %s", name, strings.Join(Names(), ", "))
	}
	f, err := build(value)
	if err != nil {
		return flaw{}, fmt.Errorf("flaw %s: %w", name, err)
	}
	return f, nil
}

// count reads a number of 1 or more; 1_000_000 is one.
func count(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 0, 64)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("value %q: want a whole number, 1 or more", value)
	}
	return n, nil
}

// at spoils the chunk that begins behind as many bytes as the value says.
func at(spoil func(h *half, p []byte) ([]byte, error)) func(string) (flaw, error) {
	return func(value string) (flaw, error) {
		place, err := count(value)
		return flaw{at: place, spoil: func(h *half, p []byte) ([]byte, error) {
			h.p.struck.Add(1)
			return spoil(h, p)
		}}, err
	}
}

// lasting does something before each chunk, for as long as the value says.
func lasting(do func(*half, time.Duration)) func(string) (flaw, error) {
	return func(value string) (flaw, error) {
		d, err := time.ParseDuration(value)
		if err == nil && d <= 0 {
			err = fmt.Errorf("value %q: want a time above 0", value)
		}
		return flaw{spoil: func(h *half, p []byte) ([]byte, error) {
			h.p.struck.Add(1)
			do(h, d)
			return p, nil
		}}, err
	}
}

// end passes an end on that has not come, and takes the rest without a word.
func end(h *half, _ []byte) ([]byte, error) {
	_ = h.dst.CloseWrite()
	_, _ = io.Copy(io.Discard, h.src)
	return nil, io.EOF
}

// hang forgets to wake up.
func hang(h *half, _ []byte) ([]byte, error) {
	<-h.p.ctx.Done()
	return nil, h.p.ctx.Err()
}

// stall sleeps while the clock is in the first d of a second: the whole proxy stands still.
func stall(_ *half, d time.Duration) {
	if past := time.Duration(time.Now().Nanosecond()); past < d {
		time.Sleep(d - past)
	}
}

// burn uses d of processor time, however long the scheduler makes that take.
func burn(_ *half, d time.Duration) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for until := threadTime() + d; threadTime() < until; {
	}
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // fails for clocks that do not exist only
	return time.Duration(t.Nano())
}

// swap exchanges bytes with the next half that comes to its place; no stream becomes longer or shorter.
func swap(value string) (flaw, error) {
	type offer struct {
		chunk []byte
		back  chan []byte
	}
	offers := make(chan offer)
	return at(func(h *half, p []byte) ([]byte, error) {
		mine := offer{slices.Clone(p), make(chan []byte, 1)}
		select {
		case offers <- mine:
			copy(p, <-mine.back)
		case other := <-offers:
			other.back <- mine.chunk
			copy(p, other.chunk)
		case <-h.p.ctx.Done():
			return nil, h.p.ctx.Err()
		}
		return p, nil
	})(value)
}

// calls asks the kernel that often for the parent's number, which nothing else here does.
func calls(value string) (flaw, error) {
	n, err := count(value)
	return flaw{spoil: func(h *half, p []byte) ([]byte, error) {
		for range n {
			unix.Getppid()
			h.p.struck.Add(1)
		}
		return p, nil
	}}, err
}

// leak takes as many bytes of memory per session and never gives them back while the proxy is there.
func leak(value string) (flaw, error) {
	size, err := count(value)
	return flaw{opens: func(p *Proxy) func() {
		// Populated: resident at once, and outside the Go heap, whose size is no exact truth.
		mem, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_POPULATE)
		if err != nil {
			return func() {}
		}
		p.struck.Add(1)
		context.AfterFunc(p.ctx, func() { _ = unix.Munmap(mem) })
		return func() {}
	}}, err
}

// openFiles holds as many file descriptors per session.
func openFiles(value string) (flaw, error) {
	n, err := count(value)
	return flaw{opens: func(p *Proxy) func() {
		var files []*os.File
		for range n {
			if f, err := os.Open(os.DevNull); err == nil {
				files = append(files, f)
				p.struck.Add(1)
			}
		}
		return func() {
			for _, f := range files {
				f.Close()
			}
		}
	}}, err
}

// reset ends one session in so many with a RST to the client, at the first chunk.
func reset(value string) (flaw, error) {
	n, err := count(value)
	return flaw{spoil: func(h *half, p []byte) ([]byte, error) {
		if h.session%uint64(n) != 0 {
			return p, nil
		}
		h.p.struck.Add(1)
		_, _ = h.src.SetLinger(0), h.dst.SetLinger(0)
		return nil, errors.New("reset on purpose")
	}}, err
}

// deaf lets those who come after the first so many talk to nobody.
func deaf(value string) (flaw, error) {
	n, err := count(value)
	return flaw{spoil: func(h *half, p []byte) ([]byte, error) {
		if h.session <= uint64(n) {
			return p, nil
		}
		h.p.struck.Add(1)
		return hang(h, p)
	}}, err
}
