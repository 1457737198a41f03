package balancer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/longsplice/longsplice/pkg/testkit"
)

// testHub is a hub with a clock that the test sets, and what it logged.
func testHub() (h *hub, now *time.Time, logged *[]Event) {
	now, logged = new(time.Time), new([]Event)
	*now = time.Unix(1_000_000, 0)
	h = newHub(func(e Event) { *logged = append(*logged, e) })
	h.now = func() time.Time { return *now }
	return h, now, logged
}

func TestAnEventIsToldOnceInTenSeconds(t *testing.T) {
	h, now, logged := testHub()
	tell := func(name, subject string) { h.emit(Event{Name: name, Subject: subject}) }
	tell("backend_unhealthy", "chat/b0")
	for range 7 {
		*now = now.Add(time.Second)
		tell("backend_unhealthy", "chat/b0")
	}
	tell("backend_unhealthy", "chat/b1") // another subject
	tell("backend_healthy", "chat/b0")   // another event
	*now = now.Add(2999 * time.Millisecond)
	tell("backend_unhealthy", "chat/b0")
	*now = now.Add(time.Millisecond)
	tell("backend_unhealthy", "chat/b0")
	*now = now.Add(quietFor)
	tell("backend_unhealthy", "chat/b0")
	got := ""
	for _, e := range *logged {
		got += fmt.Sprintf("%s %s %d at %d; ", e.Name, e.Subject, e.Suppressed, e.Time.Unix()-1_000_000)
	}
	const want = "backend_unhealthy chat/b0 0 at 0; backend_unhealthy chat/b1 0 at 7; backend_healthy chat/b0 0 at 7; " +
		"backend_unhealthy chat/b0 8 at 10; backend_unhealthy chat/b0 0 at 20; "
	if got != want {
		t.Errorf("told:\n%s\nwant:\n%s", got, want)
	}
	if len(h.list()) != len(*logged) {
		t.Errorf("%d events are remembered, %d were told", len(h.list()), len(*logged))
	}
}

// Each event is told or counted, also when none like it follows.
func TestWhatWasKeptBackIsToldWhenTenSecondsAreOver(t *testing.T) {
	h, now, logged := testHub()
	for i := range 5 {
		h.emit(Event{Name: "backend_unhealthy", Level: "warn", Subject: "chat/b0", Message: fmt.Sprint("check ", i)})
		h.flush()
		*now = now.Add(time.Second)
	}
	h.emit(Event{Name: "backend_healthy", Subject: "chat/b0"}) // nothing of it is kept back
	*now = now.Add(4999 * time.Millisecond)
	h.flush()
	if len(*logged) != 2 {
		t.Fatalf("told too early: %+v", *logged)
	}
	*now = now.Add(time.Millisecond)
	h.flush()
	h.flush()
	if len(*logged) != 3 {
		t.Fatalf("%d events were told, want the first, the healthy one, and what was kept back: %+v", len(*logged), *logged)
	}
	e := (*logged)[2]
	at := time.Unix(1_000_000+4, 0).Format("15:04:05")
	if e.Name != "backend_unhealthy" || e.Level != "warn" || e.Subject != "chat/b0" || e.Suppressed != 3 || !e.Time.Equal(*now) || e.Message != "kept back at "+at+": check 4" {
		t.Errorf("told %+v; 5 happened, the first was told, this is the fifth", e)
	}
	h.emit(Event{Name: "backend_unhealthy", Subject: "chat/b0"})
	*now = now.Add(quietFor)
	h.flush()
	if len(*logged) != 4 || (*logged)[3].Suppressed != 0 {
		t.Errorf("10 s are to lie between two of a kind: %+v", (*logged)[3:])
	}
}

func TestTheMemoryOfEventsIsBounded(t *testing.T) {
	h, now, _ := testHub()
	for i := range 10 * recentEvents {
		h.emit(Event{Name: "degraded", Subject: fmt.Sprint(i)})
		if i%2 == 0 {
			h.emit(Event{Name: "degraded", Subject: fmt.Sprint(i)}) // kept back, and never told
		}
		*now = now.Add(time.Minute)
	}
	all := h.list()
	if len(all) != recentEvents || all[0].Subject != fmt.Sprint(9*recentEvents) || all[recentEvents-1].Subject != fmt.Sprint(10*recentEvents-1) {
		t.Errorf("%d events are remembered, from %s to %s", len(all), all[0].Subject, all[len(all)-1].Subject)
	}
	if len(h.last) > 100 {
		t.Errorf("%d subjects are remembered after %d minutes", len(h.last), 10*recentEvents)
	}
	all[0].Name = "changed"
	if h.list()[0].Name == "changed" {
		t.Error("the memory was handed out itself")
	}
}

func TestASlowReaderLosesEventsAndHoldsNobodyUp(t *testing.T) {
	testkit.LeakCheck(t)
	h, _, logged := testHub()
	ctx, cancel := context.WithCancel(context.Background())
	slow := h.subscribe(ctx)
	quick := h.subscribe(ctx)
	read := make(chan int)
	go func() {
		n := 0
		for range quick {
			n++
		}
		read <- n
	}()
	for i := range 10 * eventBuffer {
		h.emit(Event{Name: "degraded", Subject: fmt.Sprint(i)})
		if i%eventBuffer == 0 {
			time.Sleep(time.Millisecond) // the quick one reads
		}
	}
	if len(*logged) != 10*eventBuffer {
		t.Errorf("%d events were told", len(*logged))
	}
	cancel()
	n := 0
	for e := range slow {
		if e.Subject != fmt.Sprint(n) {
			t.Errorf("event %d is %s: what is lost is the last, not something between", n, e.Subject)
		}
		n++
	}
	if n != eventBuffer {
		t.Errorf("the slow reader got %d events, its buffer holds %d", n, eventBuffer)
	}
	if got := <-read; got < eventBuffer {
		t.Errorf("the quick reader got %d events", got)
	}
	h.emit(Event{Name: "degraded", Subject: "after the end"}) // nobody is there any more
	if len(h.subscribers) != 0 {
		t.Errorf("%d subscribers are left", len(h.subscribers))
	}
}
