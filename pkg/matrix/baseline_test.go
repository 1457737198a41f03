package matrix

import (
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// The scripts with a name of their own are where the usual proxies fail worst.
const (
	afterUrgentByte   = "an urgent byte from the client in the middle of its stream"
	afterBackendReset = "the backend resets after data"
	afterClientReset  = "the client resets after data"
)

// someBytes is more than a proxy passes on before it splices; half of it is what the first half of a stream is.
const someBytes = 400_000

// endings are ways in which connections end every day: half-closes, resets, unread data, urgent bytes. After the first
// urgent byte the client is silent for a while before it closes.
func endings(quiet time.Duration) []testkit.Script {
	var (
		send, sendHalf, answer = testkit.Send(someBytes), testkit.Send(someBytes / 2), testkit.Send(1000)
		urgent, await          = testkit.Urgent(), testkit.AwaitUrgent()
		fin, rst, rstNow, stop = testkit.HalfClose(), testkit.ResetFlushed(), testkit.Reset(), testkit.Close()
		toEnd, unread, meet    = testkit.ReadToEnd(), testkit.AwaitQueued(1), testkit.Meet()
		reading                = testkit.StartReading()
		endless                = testkit.Send(endless)
	)
	all := []testkit.Script{
		{Name: afterUrgentByte, Client: steps{sendHalf, urgent, sendHalf, testkit.Pause(quiet), stop}, Server: steps{toEnd, stop}},
		{Name: afterBackendReset, Client: steps{toEnd, stop}, Server: steps{send, rst}},
		{Name: afterClientReset, Client: steps{send, rst}, Server: steps{toEnd, stop}},

		{Name: "an urgent byte from the backend in the middle of its stream", Client: steps{toEnd, stop}, Server: steps{sendHalf, urgent, sendHalf, stop}},
		{Name: "an urgent byte before anything else", Client: steps{urgent, send, stop}, Server: steps{toEnd, stop}},
		{Name: "an urgent byte as the last", Client: steps{send, urgent, fin, toEnd, stop}, Server: steps{toEnd, stop}},
		{
			Name:   "two urgent bytes, one after the other was read",
			Client: steps{sendHalf, urgent, meet, sendHalf, urgent, sendHalf, stop}, Server: steps{await, meet, toEnd, stop},
		},

		{Name: "the backend resets before data", Client: steps{toEnd, stop}, Server: steps{rst}},
		{Name: "the client resets before data", Client: steps{rst}, Server: steps{toEnd, stop}},
		{Name: "the backend resets in the middle of data", Client: steps{reading, endless, toEnd, stop}, Server: steps{reading, send, rstNow}},
		{Name: "the client resets in the middle of data", Client: steps{reading, send, rstNow}, Server: steps{reading, endless, toEnd, stop}},
		{Name: "the backend resets after its FIN", Client: steps{toEnd, meet, meet, stop}, Server: steps{send, fin, meet, rstNow}},
		{Name: "the client resets after its FIN", Client: steps{send, fin, meet, rstNow}, Server: steps{toEnd, meet, meet, stop}},

		{Name: "the client half-closes, the backend answers", Client: steps{send, fin, toEnd, stop}, Server: steps{toEnd, send, stop}},
		{Name: "the backend half-closes, the client answers", Client: steps{toEnd, send, stop}, Server: steps{send, fin, toEnd, stop}},
		{Name: "the client half-closes before data", Client: steps{fin, toEnd, stop}, Server: steps{toEnd, send, stop}},
		{Name: "the backend half-closes before data", Client: steps{toEnd, send, stop}, Server: steps{fin, toEnd, stop}},
		{Name: "both half-close at once", Client: steps{reading, send, fin, toEnd, stop}, Server: steps{reading, send, fin, toEnd, stop}},

		{Name: "the backend closes over unread data", Client: steps{send, toEnd, stop}, Server: steps{unread, stop}},
		{Name: "the client closes over unread data", Client: steps{unread, stop}, Server: steps{send, toEnd, stop}},
		{Name: "the backend answers and closes over unread data", Client: steps{testkit.Read(1000), send, toEnd, stop}, Server: steps{answer, unread, stop}},
	}
	for i := range all {
		all[i].Seed = uint64(i)
	}
	return all
}

// TestEndingsAreEqualToDirect is the short form of the comparison with other proxies, T4 and T5: through the program all
// endings are what they are without it.
func TestEndingsAreEqualToDirect(t *testing.T) {
	p := asPeer(t, laneFor(t))
	for _, s := range endings(0) {
		through := p.play(s)
		if through.err != nil {
			t.Fatalf("%v\n%v", s, through.err)
		}
		if diffs := testkit.Differences(testkit.RunDirect(t, s), through.Outcome); len(diffs) > 0 {
			t.Error(testkit.Explain(s, diffs))
		}
	}
}

// laneFor is a lane over the loopback device for the time of the test.
func laneFor(t *testing.T) testkit.Lane {
	t.Helper()
	lane, err := newLane(t, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lane.Backend.Close)
	return lane
}

// TestPlainCopyFails proves the comparison able to fail: the proxy that Go programmers write turns resets into clean ends
// and loses what follows an urgent byte. An end that comes before it has met that byte it does not even notice, so it
// gets a moment; a stream without an end is no less of a difference.
func TestPlainCopyFails(t *testing.T) {
	p := startPeer(t, plainCopy, laneFor(t))
	for _, s := range endings(200 * time.Millisecond)[:3] {
		through := p.play(s)
		diffs := testkit.Differences(testkit.RunDirect(t, s), through.Outcome)
		t.Logf("%s: %s %v", s.Name, diffs, through.err)
		if len(diffs) == 0 {
			t.Errorf("%s: no difference to a direct connection", s.Name)
		}
	}
}
