package matrix

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// Rise and fall of the checks that a doctor answers.
const rise, fall = 2, 3

// doctor answers the health checks of many backends at once, and remembers what it said of whom. A backend is known by its
// IP address; the port of all checks is the doctor's.
type doctor struct {
	port int
	mu   sync.Mutex
	next map[string][]bool // answers to come
	ill  map[string]bool   // what holds when there are none
	said map[string][]bool
}

func newDoctor(t *testing.T) *doctor {
	t.Helper()
	l, err := net.Listen("tcp", freeAddress(t, "0.0.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	d := &doctor{port: l.Addr().(*net.TCPAddr).Port, next: map[string][]bool{}, ill: map[string]bool{}, said: map[string][]bool{}}
	server := &http.Server{Handler: http.HandlerFunc(d.answer)}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return d
}

// checks is the TOML for checks by this doctor. The timeout is longer than any delay of a busy machine.
func (d *doctor) checks(every string) string {
	return fmt.Sprintf("[pool.health]\ntype = \"http\"\nport = %d\ninterval = %q\ntimeout = \"30s\"\nrise = %d\nfall = %d", d.port, every, rise, fall)
}

func (d *doctor) answer(w http.ResponseWriter, r *http.Request) {
	ip, _, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	d.mu.Lock()
	defer d.mu.Unlock()
	well := !d.ill[ip]
	if queue := d.next[ip]; len(queue) > 0 {
		well, d.next[ip] = queue[0], queue[1:]
	}
	d.said[ip] = append(d.said[ip], well)
	if !well {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// say sets the next answers about an IP address.
func (d *doctor) say(ip string, answers []bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next[ip] = append(d.next[ip], answers...)
}

// declare sets what holds from now on.
func (d *doctor) declare(ill bool, ips ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, ip := range ips {
		d.ill[ip] = ill
	}
}

// done says whether all answers that were set were given, and some more after them, so that they have been taken in.
func (d *doctor) done(since map[string]int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for ip, n := range since {
		if len(d.next[ip]) > 0 || len(d.said[ip]) < n+3 {
			return false
		}
	}
	return true
}

// prescribe gives each IP address its answers, and returns a question: have they been given and taken in?
func (d *doctor) prescribe(answers func(i int) []bool, ips ...string) func() bool {
	upTo := map[string]int{}
	for i, ip := range ips {
		a := answers(i)
		d.say(ip, a)
		upTo[ip] = len(d.history(ip)) + len(a)
	}
	return func() bool { return d.done(upTo) }
}

func (d *doctor) history(ip string) []bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.said[ip])
}

// changes is how often a backend becomes unhealthy, and healthy again, by rise and fall. The first answer alone decides
// what it is at first.
func changes(answers []bool) (down, up int) {
	healthy, against := answers[0], 0
	for _, well := range answers {
		if against++; well == healthy {
			against = 0
		}
		switch {
		case healthy && against == fall:
			healthy, against, down = false, 0, down+1
		case !healthy && against == rise:
			healthy, against, up = true, 0, up+1
		}
	}
	return down, up
}

// coins is n answers at random, with more chance of a second like the one before.
func coins(random *rand.Rand, n int) []bool {
	answers := make([]bool, n)
	for i := 1; i < n; i++ {
		answers[i] = answers[i-1] != (random.IntN(3) == 0)
	}
	return answers
}
