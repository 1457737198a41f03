package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// eventLog is the process log: one line on stderr for each event.
type eventLog struct {
	logger zerolog.Logger
	sink   *sink
}

// logTime is RFC 3339 with milliseconds.
const logTime = "2006-01-02T15:04:05.000Z07:00"

// openLog writes to stderr as [process] says. Lines are made as JSON and turned into text for people, if at all, by the
// goroutine that writes them.
func openLog(env *environment, p config.Process) *eventLog {
	zerolog.TimeFieldFormat = logTime
	out := env.stderr
	if p.LogFormat == config.LogConsole {
		out = zerolog.ConsoleWriter{Out: out, NoColor: !colourful(env, out), TimeFormat: logTime}
	}
	level, err := zerolog.ParseLevel(p.LogLevel)
	if err != nil {
		level = zerolog.InfoLevel
	}
	l := &eventLog{sink: newSink(out)}
	with := zerolog.New(l.sink).Level(level).With()
	if p.Name != "" {
		with = with.Str("node", p.Name)
	}
	l.logger = with.Logger()
	return l
}

// write logs one event; it never waits. It may be called from any goroutine.
func (l *eventLog) write(e balancer.Event) {
	level, err := zerolog.ParseLevel(e.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	line := l.logger.WithLevel(level).Time(zerolog.TimestampFieldName, e.Time).Str("event", e.Name)
	if e.Subject != "" {
		line = line.Str("subject", e.Subject)
	}
	for _, key := range sortedKeys(e.Fields) {
		line = line.Str(key, e.Fields[key])
	}
	if e.Suppressed > 0 {
		line = line.Int("suppressed", e.Suppressed)
	}
	line.Msg(e.Message)
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// close writes what is left, for as long as sinkCloseAtMost: a reader that is stuck must not keep the program from
// ending.
func (l *eventLog) close() { l.sink.close() }

// Bounds of the sink.
const (
	sinkLines       = 1024
	sinkCloseAtMost = time.Second
)

// sink takes lines without ever waiting for their reader. When sinkLines wait, further ones are dropped and counted, and
// the next line is preceded by one that says how many.
type sink struct {
	out     io.Writer
	lines   chan []byte
	dropped atomic.Uint64
	closing chan struct{}
	done    chan struct{}
}

func newSink(out io.Writer) *sink {
	s := &sink{out: out, lines: make(chan []byte, sinkLines), closing: make(chan struct{}), done: make(chan struct{})}
	go s.run()
	return s
}

// Write keeps a copy of line for the writer, or drops it. It returns no error.
func (s *sink) Write(line []byte) (int, error) {
	select {
	case s.lines <- slices.Clone(line):
	default:
		s.dropped.Add(1)
	}
	return len(line), nil
}

func (s *sink) run() {
	defer close(s.done)
	for {
		select {
		case line := <-s.lines:
			s.put(line)
		case <-s.closing:
			for len(s.lines) > 0 {
				s.put(<-s.lines)
			}
			return
		}
	}
}

// put writes one line. There is nobody to tell of an error.
func (s *sink) put(line []byte) {
	if n := s.dropped.Swap(0); n > 0 {
		notice := fmt.Sprintf(`{"level":"warn","time":%q,"event":"log_dropped","lines":%d,"message":"the reader of the log is too slow"}`, time.Now().Format(logTime), n)
		_, _ = s.out.Write([]byte(notice + "\n"))
	}
	_, _ = s.out.Write(line)
}

func (s *sink) close() {
	close(s.closing)
	select {
	case <-s.done:
	case <-time.After(sinkCloseAtMost):
	}
}

// colourful tells whether w is a terminal whose user does not mind colours (no-color.org).
func colourful(env *environment, w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || env.getenv("NO_COLOR") != "" || env.getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
