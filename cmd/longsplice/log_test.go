package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/config"
)

// gate is a reader that takes nothing until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	text strings.Builder
}

func (g *gate) Write(line []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.Write(line)
}

func TestASlowReaderLosesLinesAndIsToldHowMany(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	s := newSink(g)
	const written = sinkLines + 100
	for i := range written { // would hang here if a line waited for its reader
		fmt.Fprintf(s, "line %d\n", i)
	}
	close(g.open)
	s.close()
	lines := strings.Split(strings.TrimSpace(g.text.String()), "\n")
	notices, kept, lost := 0, 0, 0
	for _, l := range lines {
		var notice struct{ Lines int }
		if json.Unmarshal([]byte(l), &notice) == nil {
			notices++
			lost += notice.Lines
		} else {
			kept++
		}
	}
	if notices != 1 || kept+lost != written || kept < sinkLines {
		t.Errorf("%d lines kept and %d lost in %d notices, of %d written", kept, lost, notices, written)
	}
}

func TestAStuckReaderDoesNotKeepTheProgramFromEnding(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	defer close(g.open)
	s := newSink(g)
	fmt.Fprintln(s, "never read")
	s.close() // would hang here
	fmt.Fprintln(s, "after the end")
}

func TestLinesOfTheLog(t *testing.T) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 7_000_000, time.UTC)
	for _, c := range []struct {
		name    string
		process config.Process
		event   balancer.Event
		want    map[string]any // nil: no line
	}{
		{
			"the least",
			config.Process{LogLevel: "info"},
			balancer.Event{Time: at, Name: "started", Level: "info"},
			map[string]any{"level": "info", "time": "2026-11-03T04:05:06.007Z", "event": "started"},
		},
		{
			"all of it",
			config.Process{LogLevel: "debug", Name: "edge1"},
			balancer.Event{Time: at, Name: "backend_ejected", Level: "warn", Subject: "chat/b1", Message: "m", Fields: map[string]string{"pool": "chat"}, Suppressed: 3},
			map[string]any{
				"level": "warn", "time": "2026-11-03T04:05:06.007Z", "event": "backend_ejected", "node": "edge1",
				"subject": "chat/b1", "message": "m", "pool": "chat", "suppressed": 3.0,
			},
		},
		{"below the level", config.Process{LogLevel: "error"}, balancer.Event{Time: at, Name: "started", Level: "warn"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := &gate{open: make(chan struct{})}
			close(g.open)
			l := openLog(&environment{stderr: g, lookupEnv: os.LookupEnv}, c.process)
			l.write(c.event)
			l.close()
			var got map[string]any
			if text := g.text.String(); text != "" {
				if err := json.Unmarshal([]byte(text), &got); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
