package worker

import (
	"testing"

	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// simCounter is a counter of a simulated worker.
func simCounter(w *Worker, kind stats.Kind, counter int) uint64 {
	var c stats.Copy
	w.publish()
	w.sheet.AddTo(&c)
	return c.Value(kind, 0, counter)
}

// An event of an earlier owner of the slot (a descriptor whose description lives on somewhere) touches nobody.
func TestStaleEventTouchesNobody(t *testing.T) {
	_, w := simStage(t, 1)
	s := w.slots.at(0)
	before := *s
	ev := sys.Event{Events: sys.EPOLLIN | sys.EPOLLHUP | sys.EPOLLERR | sys.EPOLLPRI}
	for _, side := range []int{client, server} {
		ev.SetToken(token(s.generation-1, 0, side))
		w.dispatch(&ev)
	}
	if *s != before {
		t.Errorf("the session was %+v, is %+v", before, *s)
	}
	if n := simCounter(w, stats.Own, stats.StaleEvents); n != 2 {
		t.Errorf("%d stale events counted, want 2", n)
	}
}

// A session that ends keeps its descriptors and its slot until the batch is over: later events of the batch must not
// meet a new owner of either.
func TestNothingIsReusedWithinABatch(t *testing.T) {
	k, w := simStage(t, 1)
	s := w.slots.at(0)
	fds, generation, open := s.fd, s.generation, k.OpenFDs()
	w.cut(0, s, stats.Killed)
	if s.fd != fds || s.generation != generation || k.OpenFDs() != open || w.slots.free != 0 {
		t.Errorf("at the end of a session: descriptors %v, generation %d, %d open; want %v, %d, %d", s.fd, s.generation, k.OpenFDs(), fds, generation, open)
	}
	ev := sys.Event{Events: sys.EPOLLIN | sys.EPOLLOUT}
	ev.SetToken(token(generation, 0, client))
	w.dispatch(&ev)
	if n := simCounter(w, stats.Own, stats.StaleEvents); n != 1 {
		t.Errorf("%d stale events counted, want 1", n)
	}
	w.bury()
	if s.generation == generation || k.OpenFDs() != open-2 || w.slots.free != 1 {
		t.Errorf("after the batch: generation %d, %d open, free list %d", s.generation, k.OpenFDs(), w.slots.free)
	}
}

// One wake-up takes at most 64 connections, however many wait: those who have a session get their turn.
func TestAcceptBudget(t *testing.T) {
	const clients = 500
	k, w, listener := simWorker(t, clients)
	most := 0
	for range 100 {
		before := k.Waiting(listener)
		w.turn()
		most = max(most, before-k.Waiting(listener))
	}
	if most != maxAccepts || k.Waiting(listener) != 0 {
		t.Errorf("at most %d accepted in a turn, %d still wait; want %d and none", most, k.Waiting(listener), maxAccepts)
	}
}

// dialEvents: what an event at a connecting socket means. Some kernels report a hang-up before the answer.
func TestEventsOfAConnectingSocket(t *testing.T) {
	for name, c := range map[string]struct {
		events uint32
		state  state
	}{
		"hang-up alone":               {sys.EPOLLHUP, dialling},
		"hang-up and room":            {sys.EPOLLHUP | sys.EPOLLOUT, dialling},
		"hang-up and end":             {sys.EPOLLHUP | sys.EPOLLRDHUP, dialling},
		"an error without a name":     {sys.EPOLLERR, dead},
		"the same with room":          {sys.EPOLLERR | sys.EPOLLHUP | sys.EPOLLOUT, dead},
		"room":                        {sys.EPOLLOUT, relaying},
		"room and the backend's word": {sys.EPOLLOUT | sys.EPOLLIN, relaying},
		"input alone":                 {sys.EPOLLIN, dialling},
	} {
		t.Run(name, func(t *testing.T) {
			k, w, _ := simWorker(t, 1)
			k.OnConnect = func(sys.Sockaddr) simkernel.Answer { return simkernel.Answer{Never: true} }
			w.turn()
			s := w.slots.at(0)
			if s.state != dialling {
				t.Fatalf("state %d before the event", s.state)
			}
			w.dialEvent(0, s, server, c.events)
			if s.state != c.state {
				t.Errorf("state %d, want %d", s.state, c.state)
			}
			failed := simCounter(w, stats.Backend, stats.FailureBase+int(stats.FailOther))
			if want := uint64(0); c.state == dead && failed != 1 || c.state != dead && failed != want {
				t.Errorf("%d failures counted", failed)
			}
		})
	}
}

// What the client said while its session was dialling is not forgotten.
func TestClientEventsWhileDiallingAreKept(t *testing.T) {
	k, w, _ := simWorker(t, 1)
	k.OnConnect = func(sys.Sockaddr) simkernel.Answer { return simkernel.Answer{Never: true} }
	w.turn()
	s := w.slots.at(0)
	k.Clients()[0].Send(10)
	k.Clients()[0].ShutdownWrite()
	w.turn()
	if h := &s.half[toBackend]; s.state != dialling || !h.Has(relay.Readable|relay.Hangup) {
		t.Errorf("state %d, latches %+v", s.state, h)
	}
}
