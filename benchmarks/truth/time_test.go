package truth

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

func echo(t *testing.T, to netip.AddrPort, sessions int, rate float64, lasts time.Duration) *load.Result {
	t.Helper()
	cfg := load.EchoConfig{Config: config(to), Sessions: sessions, MessageBytes: 64, Rate: rate}
	cfg.For = lasts
	res, err := load.Echo(cfg)
	return sound(t, res, err)
}

func figures(l *load.Latency) string {
	return fmt.Sprintf("%d answers, p50 %.0f us, p90 %.0f, p99 %.0f, max %.0f", l.Count, l.P50, l.P90, l.P99, l.Max)
}

func push(t *testing.T, to netip.AddrPort, sessions int, rate float64, lasts time.Duration) *load.Result {
	t.Helper()
	cfg := load.PushConfig{Config: config(to), Sessions: sessions, MessageBytes: 64, Rate: rate}
	cfg.For = lasts
	res, err := load.Push(cfg)
	return sound(t, res, err)
}

// What the proxy adds is known; what the machine adds is measured beside it, with the same load.
func TestADelayOfTenMillisecondsShowsAsTen(t *testing.T) {
	const delay, sessions, rate, window = 10_000, 10, 200, 600 * time.Millisecond // us
	for _, w := range []struct {
		name string
		mode serve.Mode
		run  func(*testing.T, netip.AddrPort, int, float64, time.Duration) *load.Result
	}{{"echo", serve.Echo, echo}, {"push", serve.Push, push}} {
		t.Run(w.name, func(t *testing.T) {
			testkit.LeakCheck(t)
			to := backend(t, w.mode, false)
			plain := w.run(t, proxy(t, to, "").Addr, sessions, rate, window).Latency
			late := w.run(t, proxy(t, to, "delay=10ms").Addr, sessions, rate, window).Latency
			t.Logf("without: %s", figures(plain))
			t.Logf("with:    %s", figures(late))
			if most := delay + plain.P50 + plain.P99 + 0.5*delay; late.P50 < delay || late.P50 > most { // sleeps end late, too
				t.Errorf("p50 %.0f us, want %d to %.0f", late.P50, delay, most)
			}
			if late.P90 < late.P50 || late.P99 < late.P90 || late.Max < late.P99 {
				t.Errorf("the quantiles fall: %s", figures(late))
			}
		})
	}
}

// A proxy that stands still for the first 200 ms of each second holds up a fifth of the messages that are due. A closed
// loop sends none meanwhile, so that one late answer per session is all that it notices: its p99 hides the stall.
func TestAStallIsChargedToEveryMessageThatItHeldUp(t *testing.T) {
	testkit.LeakCheck(t)
	const stall, sessions, rate, window = 200_000, 4, 1000, 1300 * time.Millisecond // us
	to := proxy(t, backend(t, serve.Echo, false), "stall=200ms").Addr
	open := echo(t, to, sessions, rate, window).Latency
	closed := echo(t, to, sessions, 0, window).Latency
	t.Logf("open loop:   %s", figures(open))
	t.Logf("closed loop: %s", figures(closed))
	if open.P99 < 0.7*stall || open.Max < 0.9*stall {
		t.Errorf("open loop: p99 %.0f us, max %.0f: do not show a stall of %d", open.P99, open.Max, stall)
	}
	if closed.Max < 0.9*stall {
		t.Errorf("closed loop: max %.0f us: a stall of %d fell into the window", closed.Max, stall)
	}
	if closed.P99 > open.P99/2 {
		t.Errorf("closed loop: p99 %.0f us, open loop %.0f: the comparison shows nothing", closed.P99, open.P99)
	}
	// Every message that was due is counted, answered in time or not.
	if want := rate * window.Seconds(); float64(open.Count) < 0.9*want {
		t.Errorf("open loop: %d answers, %.0f were due", open.Count, want)
	}
}

// A window that ends in the middle of a stall: the messages that were due in it and answered later belong to it.
func TestAStallThatOutlastsTheWindowIsChargedToo(t *testing.T) {
	testkit.LeakCheck(t)
	const stall, rate, window = 600_000, 1000, 600 * time.Millisecond // us
	to := proxy(t, backend(t, serve.Echo, false), "stall=600ms").Addr
	for now := time.Now(); ; now = time.Now() { // begin when 0.7 of a second has passed, 0.3 before the next stall
		if at := now.Nanosecond(); at > 680e6 && at < 750e6 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	l := echo(t, to, 4, rate, window).Latency
	t.Logf("%s", figures(l))
	if l.P99 < 0.5*stall || float64(l.Count) < 0.9*rate*window.Seconds() {
		t.Errorf("p99 %.0f us of %d answers: half of the %.0f messages waited through a stall of %d us", l.P99, l.Count, rate*window.Seconds(), stall)
	}
}
