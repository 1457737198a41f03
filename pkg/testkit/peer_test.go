package testkit

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is what a direct connection shows to a reader, without what may vary.
type seen struct {
	Received int64
	End      End
	Urgent   []Mark
}

func seenBy(tr Transcript) seen { return seen{tr.Received, tr.End, tr.Urgent} }

func TestDirectCloseMatrix(t *testing.T) {
	cases := []struct {
		script         Script
		client, server seen
	}{
		{
			Script{Name: "FIN after data", Client: []Step{ReadToEnd()}, Server: []Step{Send(5000), Close()}},
			seen{5000, EndFIN, nil},
			seen{},
		},
		{
			Script{Name: "half-close, then the answer", Client: []Step{Send(100_000), HalfClose(), ReadToEnd()}, Server: []Step{ReadToEnd(), Send(300_000), HalfClose()}},
			seen{300_000, EndFIN, nil},
			seen{100_000, EndFIN, nil},
		},
		{
			Script{Name: "RST after everything arrived", Client: []Step{Meet(), ReadToEnd()}, Server: []Step{Send(50_000), ResetFlushed()}},
			seen{50_000, EndReset, nil},
			seen{},
		},
		{
			Script{Name: "RST that waits for a slow reader", Client: []Step{AwaitQueued(1), Pause(20 * time.Millisecond), ReadToEnd()}, Server: []Step{Send(1 << 20), ResetFlushed()}},
			seen{1 << 20, EndReset, nil},
			seen{},
		},
		{
			Script{Name: "RST before any data", Client: []Step{ReadToEnd()}, Server: []Step{Reset()}},
			seen{0, EndReset, nil},
			seen{},
		},
		{
			Script{Name: "close with unread input is a RST", Client: []Step{Send(1000), ReadToEnd()}, Server: []Step{AwaitQueued(1000), Close()}},
			seen{0, EndReset, nil},
			seen{},
		},
		{
			Script{Name: "FIN stays a FIN when a RST follows", Client: []Step{Meet(), Pause(time.Millisecond), ReadToEnd()}, Server: []Step{Send(10), HalfClose(), Reset()}},
			seen{10, EndFIN, nil},
			seen{},
		},
		{
			Script{Name: "nothing ends", Client: []Step{Send(7)}, Server: []Step{Read(7)}},
			seen{},
			seen{7, EndOpen, nil},
		},
		{
			Script{Name: "urgent byte in the middle", Client: []Step{Send(300), Urgent(), Send(200), HalfClose()}, Server: []Step{ReadToEnd()}},
			seen{},
			seen{500, EndFIN, []Mark{{300, 'A'}}},
		},
		{
			Script{Name: "urgent bytes first, adjacent and last", Client: []Step{Urgent(), Meet(), Urgent(), Meet(), Send(3), Urgent(), HalfClose()}, Server: []Step{AwaitUrgent(), Meet(), AwaitUrgent(), Meet(), ReadToEnd()}},
			seen{},
			seen{3, EndFIN, []Mark{{0, 'A'}, {0, 'B'}, {3, 'C'}}},
		},
		{
			Script{Name: "reset while the other sends", Client: []Step{Send(100 << 20), ReadToEnd()}, Server: []Step{AwaitQueued(1), Reset()}},
			seen{0, EndReset, nil},
			seen{},
		},
	}
	for _, c := range cases {
		for _, ipv6 := range []bool{false, true} {
			name := c.script.Name + map[bool]string{false: ", IPv4", true: ", IPv6"}[ipv6]
			t.Run(name, func(t *testing.T) {
				LeakCheck(t)
				c.script.IPv6 = ipv6
				out := RunDirect(t, c.script)
				if diff := cmp.Diff([2]seen{c.client, c.server}, [2]seen{seenBy(out.Client), seenBy(out.Server)}); diff != "" {
					t.Errorf("client and server saw (-want +got):\n%s", diff)
				}
				if out.Client.FirstWrong >= 0 || out.Server.FirstWrong >= 0 {
					t.Errorf("wrong bytes: %+v", out)
				}
			})
		}
	}
}

func TestReadStopsAtTheByteAsked(t *testing.T) {
	LeakCheck(t)
	out := RunDirect(t, Script{Client: []Step{Send(1000), Meet()}, Server: []Step{AwaitQueued(1000), Read(10), Read(20), Meet()}})
	if out.Server.Received != 30 {
		t.Errorf("read %d bytes, want 30", out.Server.Received)
	}
}

func TestBackgroundReadingLetsBothSendAtOnce(t *testing.T) {
	LeakCheck(t)
	const n = 20 << 20 // more than two socket buffers hold
	steps := []Step{StartReading(), Send(n), HalfClose(), ReadToEnd()}
	out := RunDirect(t, Script{Seed: 9, Client: steps, Server: steps})
	for name, tr := range map[string]Transcript{"client": out.Client, "server": out.Server} {
		if tr.Received != n || tr.FirstWrong >= 0 || tr.End != EndFIN {
			t.Errorf("%s: %v", name, tr)
		}
	}
}

func TestPlayRefusesAClosedSocket(t *testing.T) {
	LeakCheck(t)
	l, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := Dial(l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Play(Close(), Send(1)); err == nil {
		t.Error("sending on a closed socket was no error")
	}
}

func TestRandomScriptsAreEqualToThemselves(t *testing.T) {
	LeakCheck(t)
	for seed := range uint64(60) {
		s := RandomScript(seed)
		first, second := RunDirect(t, s), RunDirect(t, s)
		if diffs := Differences(first, second); len(diffs) > 0 {
			t.Errorf("two direct runs differ: %s", Explain(s, diffs))
		}
		if t.Failed() {
			return // a lost urgent byte costs Bound in every later script
		}
	}
}

func TestRandomScriptDependsOnTheSeedAlone(t *testing.T) {
	for seed := range uint64(20) {
		if a, b := RandomScript(seed).String(), RandomScript(seed).String(); a != b {
			t.Errorf("seed %d gave\n%s\nand\n%s", seed, a, b)
		}
	}
	if RandomScript(1).String() == RandomScript(2).String() {
		t.Error("seeds 1 and 2 gave the same script")
	}
}
