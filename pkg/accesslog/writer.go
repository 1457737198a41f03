package accesslog

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// drainEvery is how long a record waits on its ring at most while the sink keeps up.
const drainEvery = 50 * time.Millisecond

// flushBytes is how much text is gathered before it is written in the middle of a drain.
const flushBytes = 64 << 10

// Writer takes records off rings and writes them as lines.
type Writer struct {
	node  string
	rings []*Ring
	path  string // "": the sink is not ours to open again
	out   io.Writer
	file  *os.File // out, if the writer opened it
	next  atomic.Pointer[os.File]
	ended atomic.Bool

	buf  []byte
	torn bool // the sink took part of a line and then failed

	written, lost atomic.Uint64
}

// NewWriter makes a writer to a sink that somebody else has opened, such as standard output. node names this instance
// in each line.
func NewWriter(out io.Writer, node string, rings ...*Ring) *Writer {
	return &Writer{node: node, rings: rings, out: out, buf: make([]byte, 0, 2*flushBytes)}
}

// Open makes a writer to the file at path, which is made (0640) if it is not there and appended to if it is.
func Open(path, node string, rings ...*Ring) (*Writer, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	w := NewWriter(f, node, rings...)
	w.path, w.file = path, f
	return w, nil
}

func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("open access log: %w", err)
	}
	return f, nil
}

// Run writes what comes until ctx ends, then once more what the rings hold, and closes the file that Open opened.
// The producers have to be done before ctx ends, or their last records stay on the rings. Run blocks for as long as
// the sink does: a caller that has to end waits with a limit of its own.
func (w *Writer) Run(ctx context.Context) {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for ended := false; !ended; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			ended = true
		}
		w.adopt()
		w.drain()
	}
	w.close()
}

// Reopen opens the path again and writes there from the next drain on: what logrotate wants of SIGUSR1. On an error
// the old file stays in use. It does nothing for a sink that was given to NewWriter.
func (w *Writer) Reopen() error {
	if w.path == "" || w.ended.Load() {
		return nil
	}
	f, err := openFile(w.path)
	if err != nil {
		return err
	}
	if unused := w.next.Swap(f); unused != nil {
		unused.Close()
	}
	if w.ended.Load() { // Run ended meanwhile and may not have seen it
		w.adopt()
	}
	return nil
}

// Written is how many lines the sink took.
func (w *Writer) Written() uint64 { return w.written.Load() }

// Lost is how many lines were dropped because the sink failed. Records that found a ring full are not among them:
// those each Ring counts.
func (w *Writer) Lost() uint64 { return w.lost.Load() }

// adopt goes over to the file that Reopen has opened, if any.
func (w *Writer) adopt() {
	f := w.next.Swap(nil)
	if f == nil {
		return
	}
	if w.ended.Load() {
		f.Close()
		return
	}
	w.file.Close()
	w.file, w.out, w.torn = f, f, false
}

func (w *Writer) close() {
	w.ended.Store(true)
	w.adopt()
	if w.file != nil {
		w.file.Close()
	}
}

// drain writes what the rings hold, of each at most its size, so that one busy worker cannot keep the others waiting.
func (w *Writer) drain() {
	var rec Record
	for _, r := range w.rings {
		for range r.slots {
			if !r.take(&rec) {
				break
			}
			w.buf = rec.appendLine(w.buf, w.node)
			if len(w.buf) >= flushBytes {
				w.flush()
			}
		}
	}
	w.flush()
}

// flush gives the gathered lines to the sink, once. What the sink does not take is dropped and counted: it is better to
// lose lines than to hold up the next ones behind a full disk.
func (w *Writer) flush() {
	if len(w.buf) == 0 {
		return
	}
	lines := uint64(bytes.Count(w.buf, newline))
	if w.torn {
		if _, err := w.out.Write(newline); err != nil {
			w.lost.Add(lines)
			w.buf = w.buf[:0]
			return
		}
		w.torn = false
	}
	n, err := w.out.Write(w.buf)
	if err != nil {
		lost := uint64(bytes.Count(w.buf[n:], newline))
		w.lost.Add(lost)
		lines -= lost
		w.torn = n > 0 && w.buf[n-1] != '\n'
	}
	w.written.Add(lines)
	w.buf = w.buf[:0]
}

var newline = []byte{'\n'}
