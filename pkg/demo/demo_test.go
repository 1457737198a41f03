package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/balancer"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// small is a short demo on ports that nobody else uses.
func small(t *testing.T, out *bytes.Buffer) Options {
	t.Helper()
	t.Cleanup(func() { t.Logf("the demo said:\n%s", out) })
	return Options{
		Backends: 3, Clients: 20, Listen: "127.0.0.1:0", For: 3 * time.Second, Out: out,
		Build: balancer.Build{Version: "test"},
	}
}

func TestStoryEndsWithNothingLost(t *testing.T) {
	testkit.LeakCheck(t)
	var out bytes.Buffer
	if err := Run(context.Background(), small(t, &out)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`backend_(ejected|unhealthy) chat/b\d`, `([1-9]\d*) of ([1-9]\d*) clients are back elsewhere`, `6 clients left and came again: .*b\d \d`, "0 wrong, 0 lost"} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("the story lacks %q", want)
		}
	}
}

func TestSpoiltEchoFails(t *testing.T) {
	testkit.LeakCheck(t)
	var out bytes.Buffer
	o := small(t, &out)
	o.For = time.Second
	o.tamper = func(b []byte) []byte {
		b[len(b)/2] ^= 1
		return b
	}
	err := Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), " wrong") {
		t.Fatalf("a spoilt echo: %v", err)
	}
}

func TestBusyPortIsPassedOver(t *testing.T) {
	testkit.LeakCheck(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var out bytes.Buffer
	o := small(t, &out)
	o.For, o.Listen, o.HTTP = time.Second, l.Addr().String(), l.Addr().String()
	if err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"is busy: listening on", "is busy: the status page is on"} {
		if !strings.Contains(out.String(), fmt.Sprintf("%s %s", l.Addr(), want)) {
			t.Errorf("%q is not said", want)
		}
	}
}

func TestOnlyBackendReturns(t *testing.T) {
	testkit.LeakCheck(t)
	var out bytes.Buffer
	o := small(t, &out)
	o.Backends, o.For = 1, 2*time.Second
	if err := Run(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if want := "20 of 20 clients are back"; !strings.Contains(out.String(), want) {
		t.Errorf("the story lacks %q", want)
	}
}

// A run that is interrupted at any moment ends in order, with books that balance.
func TestInterruptedStoryEndsInOrder(t *testing.T) {
	testkit.LeakCheck(t)
	for _, after := range []time.Duration{0, 50 * time.Millisecond, 400 * time.Millisecond, 1100 * time.Millisecond} {
		t.Run(after.String(), func(t *testing.T) {
			var out bytes.Buffer
			o := small(t, &out)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			o.StartAdmin = func(*balancer.Balancer) (func(), string, error) {
				time.AfterFunc(after, cancel)
				return func() {}, "", nil
			}
			if err := Run(ctx, o); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestStatusPageThatCannotStartIsAnError(t *testing.T) {
	testkit.LeakCheck(t)
	var out bytes.Buffer
	o := small(t, &out)
	o.StartAdmin = func(*balancer.Balancer) (func(), string, error) { return nil, "", errors.New("no page today") }
	if err := Run(context.Background(), o); err == nil || !strings.Contains(err.Error(), "no page today") {
		t.Fatalf("got %v", err)
	}
}

// An echo that a backend keeps to itself is lost, and no more than it.
func TestKeptEchoIsLost(t *testing.T) {
	testkit.LeakCheck(t)
	var out bytes.Buffer
	o := small(t, &out)
	o.For = time.Second
	var kept atomic.Bool
	o.tamper = func(b []byte) []byte {
		m := name(b)
		if m.session == 2 && m.number == 2 && !kept.Swap(true) { // of a client that came back: nobody kills its backend
			return nil
		}
		return b
	}
	err := Run(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "1 message (") || strings.Contains(err.Error(), "wrong") {
		t.Fatalf("a kept echo: %v", err)
	}
}
