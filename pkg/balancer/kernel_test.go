package balancer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/longsplice/longsplice/pkg/config"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// told keeps the events of a balancer.
type told struct {
	mu  sync.Mutex
	all []Event
}

func (t *told) add(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, e)
}

func (t *told) named(name string) (found []Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range t.all {
		if e.Name == name {
			found = append(found, e)
		}
	}
	return found
}

// startOn starts a balancer on a kernel that lacks just these features. It is not steered, and nothing is said about that.
func startOn(t *testing.T, text string, lacks ...string) (*Balancer, *told) {
	t.Helper()
	c, _, err := config.Parse("test.toml", []byte(text), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var seen told
	b, err := Start(context.Background(), Options{Config: c, OnEvent: seen.addButSteering, loadBPF: noBPF(errors.New("not in this test")), probe: func(pipeBytes int) []sys.Feature {
		all := sys.Probe(pipeBytes)
		for i := range all {
			f := &all[i]
			f.Tried, f.Present = true, !slices.Contains(lacks, f.Name)
			if !f.Present {
				f.Value = "taken away by the test"
			}
		}
		return all
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Shutdown(context.Background()) })
	return b, &seen
}

// Every feature: where it is missing an event says so, once, with what is done instead; status shows it; and bytes pass.
func TestEveryMissingFeatureIsSaid(t *testing.T) {
	testkit.LeakCheck(t)
	for _, f := range sys.Probe(1 << 20) {
		t.Run(f.Name, func(t *testing.T) {
			port, e := freePort(t), echoBackend(t)
			b, seen := startOn(t, frontendTo(port, e.Addr(), "auto"), f.Name)
			degraded := seen.named("degraded")
			if len(degraded) != 1 {
				t.Fatalf("%d degraded events, want 1: %+v", len(degraded), degraded)
			}
			level := map[bool]string{true: "warn", false: "info"}[f.Used]
			if d := degraded[0]; d.Subject != f.Name || d.Level != level || !strings.Contains(d.Message, f.Fallback) || !strings.Contains(d.Message, "taken away by the test") {
				t.Errorf("the event is %+v; want level %s and the fallback %q", d, level, f.Fallback)
			}
			for _, s := range b.Status().Features {
				if s.Name == FeatureSteering {
					continue
				}
				if s.Present == (s.Name == f.Name) || !s.Tried {
					t.Errorf("status says of %s: present %t, tried %t", s.Name, s.Present, s.Tried)
				}
			}
			echoed(t, port, 1000)
		})
	}
}

func frontendTo(port int, backend net.Addr, mode string) string {
	return fmt.Sprintf("[process]\nadmin = \"\"\nworkers = 2\ndrain_timeout = \"0s\"\n[relay]\nmode = %q\n[[frontend]]\nname = \"chat\"\nlisten = [\"127.0.0.1:%d\"]\nbackends = [\"%s\"]\n",
		mode, port, backend)
}

// echoed sends a pattern of n bytes through the balancer to an echo, and compares what comes back.
func echoed(t *testing.T, port, n int) {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pattern := make([]byte, n)
	for i := range pattern {
		pattern[i] = byte(i * i >> 7)
	}
	go func() {
		_, _ = c.Write(pattern)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, pattern) {
		t.Fatalf("%d of %d bytes came back right or not: %v", len(got), n, err)
	}
}

// Without splice every mode copies; with it, the same stream is spliced.
func TestWithoutSpliceEveryByteIsCopied(t *testing.T) {
	testkit.LeakCheck(t)
	const stream = 8 << 20
	for _, c := range []struct {
		mode    string
		lacks   []string
		spliced bool
		says    string
	}{
		{"auto", nil, true, ""},
		{"splice", nil, true, ""},
		{"auto", []string{sys.FeatureSplice}, false, "every direction is copied"},
		{"splice", []string{sys.FeatureSplice}, false, `relay.mode = "splice" cannot be had`},
	} {
		t.Run(fmt.Sprint(c.mode, c.lacks), func(t *testing.T) {
			port, e := freePort(t), echoBackend(t)
			b, seen := startOn(t, frontendTo(port, e.Addr(), c.mode), c.lacks...)
			echoed(t, port, stream)
			var copied, spliced uint64
			eventually(t, "both ways counted", func() bool {
				copied, spliced = 0, 0
				for _, w := range b.Workers() {
					copied, spliced = copied+w.CopiedBytes, spliced+w.SplicedBytes
				}
				return copied+spliced == 2*stream
			})
			t.Logf("%d bytes copied, %d spliced", copied, spliced)
			if (spliced > 0) != c.spliced {
				t.Errorf("%d bytes were spliced, want any: %t", spliced, c.spliced)
			}
			if d := seen.named("degraded"); len(c.lacks) > 0 && (len(d) != 1 || !strings.Contains(d[0].Message, c.says)) {
				t.Errorf("events %+v, want one that says %q", d, c.says)
			}
		})
	}
}

func TestWithoutReusePortWorkersShareAListener(t *testing.T) {
	testkit.LeakCheck(t)
	port, e := freePort(t), echoBackend(t)
	b, _ := startOn(t, frontendTo(port, e.Addr(), "auto"), sys.FeatureReusePort)
	if n := len(b.listeners[0].fds); n != 1 {
		t.Errorf("%d sockets listen, want 1", n)
	}
	for range 20 {
		echoed(t, port, 100)
	}
}

// Options that sockets do not take over from their listener are set on each of them; else that would cost calls for nothing.
func TestWithoutInheritanceClientsGetTheirOptions(t *testing.T) {
	testkit.LeakCheck(t)
	for _, lacks := range [][]string{nil, {sys.FeatureInherit}} {
		port, e := freePort(t), echoBackend(t)
		b, _ := startOn(t, frontendTo(port, e.Addr(), "auto"), lacks...)
		if got := b.workerConfig(0, 0).ClientOptions; got != (lacks != nil) {
			t.Errorf("without %q: workers set them: %t", lacks, got)
		}
		echoed(t, port, 100)
	}
}

// What could not be tried counts as there, and is said.
func TestAnUntriedFeatureIsSaid(t *testing.T) {
	testkit.LeakCheck(t)
	c, _, err := config.Parse("test.toml", []byte(frontendTo(freePort(t), echoBackend(t).Addr(), "splice")), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var seen told
	b, err := Start(context.Background(), Options{Config: c, OnEvent: seen.addButSteering, loadBPF: noBPF(errors.New("not in this test")), probe: func(int) []sys.Feature {
		return []sys.Feature{{Name: sys.FeatureSplice, Present: true, Value: "not tried: no loopback", Since: "2.6.17", Fallback: "copying", Used: true}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Shutdown(context.Background())
	if d := seen.named("degraded"); len(d) != 1 || d[0].Level != "info" || !strings.Contains(d[0].Message, "not tried: no loopback; it counts as there") {
		t.Errorf("events %+v", d)
	}
	if !b.has(sys.FeatureSplice) {
		t.Error("splice was given up")
	}
}

// The table is in the log at debug level, a line for each feature, and nowhere else.
func TestTheTableIsInTheDebugLog(t *testing.T) {
	testkit.LeakCheck(t)
	b, seen := startOn(t, frontendTo(freePort(t), echoBackend(t).Addr(), "auto"), "IPv6")
	lines := seen.named("kernel")
	features := b.Status().Features
	if len(lines) != len(features) {
		t.Fatalf("%d lines for %d features", len(lines), len(features))
	}
	for i, l := range lines {
		f := features[i]
		if l.Level != "debug" || l.Subject != f.Name || f.Present != strings.HasPrefix(l.Message, "here") || !strings.Contains(l.Message, f.Value) {
			t.Errorf("line %+v for %+v", l, f)
		}
	}
	for _, e := range b.Recent() {
		if e.Name == "kernel" {
			t.Errorf("%+v is among the events", e)
		}
	}
}
