package load_test

import (
	"testing"

	"github.com/longsplice/longsplice/benchmarks/load"
	"github.com/longsplice/longsplice/benchmarks/serve"
	"github.com/longsplice/longsplice/pkg/testkit"
)

const pushBytes = 50

// A balancer that leaves out whole messages sends right bytes at wrong places, or, if it puts the rest in their place,
// none that are wrong at all: then their numbers tell.
func TestPushCountsLostMessages(t *testing.T) {
	bePatient(t)
	testkit.LeakCheck(t)
	cut := false
	breaks := func(p []byte) ([]byte, bool) {
		if cut || len(p)%pushBytes != 0 { // a chunk of whole messages: its first one goes
			return p, true
		}
		cut = true
		return p[pushBytes:], true
	}
	cfg := load.PushConfig{Config: config(faultyProxy(t, backend(t, serve.Push), serve.Push, breaks)), Sessions: 1, MessageBytes: pushBytes, Rate: 500}
	res, err := load.Push(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !cut || res.Lost != 1 || res.Sound() || res.Wrong != 0 || res.Failed != 0 {
		t.Errorf("one message was left out: %+v", *res)
	}
}

// Without the last message nobody knows whether there were others before it.
func TestPushMissesTheLastMessage(t *testing.T) {
	testkit.LeakCheck(t)
	breaks := func(p []byte) ([]byte, bool) {
		rest := max(len(p)-pushBytes, 0)
		if len(p) >= pushBytes && serve.ParsePushHead(p[rest:]).Number&serve.PushEnd != 0 {
			return p[:rest], false
		}
		return p, true
	}
	cfg := load.PushConfig{Config: config(faultyProxy(t, backend(t, serve.Push), serve.Push, breaks)), Sessions: 1, MessageBytes: pushBytes, Rate: 500}
	res, err := load.Push(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if res.Failed != 1 {
		t.Errorf("the end was missing: %+v", *res)
	}
}
