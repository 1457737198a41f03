package matrix

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"time"
)

// T23: the checks of three of ten backends flap. Their health changes as often as rise and fall say for the answers that
// they got, and not once more; the sessions there, which are alive, are left alone.
func TestHealthFlaps(t *testing.T) {
	doctor, backends := newDoctor(t), echoHosts(t, 1, 10)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", backends, doctor.checks("25ms"))})
	all := gather(t, front, scaled(4000))
	talking, street := all.keepTalking(), newStreet(front)
	flapping := ips(backends[:3])

	tooFew := slices.Repeat([]bool{false, false, true}, 10) // fall checks never fail in a row
	p.await("answers that change nothing", doctor.prescribe(func(int) []bool { return tooFew }, flapping...))
	if n := len(p.events("backend_unhealthy")); n > 0 {
		t.Errorf("%d backends became unhealthy, though no %d checks in a row failed", n, fall)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	p.await("answers at random", doctor.prescribe(func(int) []bool { return coins(random, 60) }, flapping...))

	// The log has one event of a name and backend in 10 s; the next one says how many were kept back.
	p.await("the log to speak again", func() bool { return p.quietFor("backend_unhealthy", "backend_healthy") > 11*time.Second })
	once := slices.Concat(slices.Repeat([]bool{false}, fall), slices.Repeat([]bool{true}, rise))
	p.await("the last answers", doctor.prescribe(func(int) []bool { return once }, flapping...))
	for i, ip := range flapping {
		name, answers := fmt.Sprintf("b%d", i), doctor.history(ip)
		p.await(name+" to be healthy", func() bool { return p.backend(name).State == "healthy" })
		wantDown, wantUp := changes(answers)
		down, up := p.countEvents("backend_unhealthy", "pool/"+name), p.countEvents("backend_healthy", "pool/"+name)
		t.Logf("%s: %d answers, unhealthy %d times", name, len(answers), down)
		if down != wantDown || up != wantUp {
			t.Errorf("%s became unhealthy %d times and healthy %d times, by its answers %d and %d (seed %d)", name, down, up, wantDown, wantUp, seed)
		}
	}
	if short := street.close(); short.away+short.cut > 0 || short.wrong != nil {
		t.Errorf("%d clients got no session (%v), %d lost theirs, %v", short.away, short.why, short.cut, short.wrong)
	}
	if n, first := failures(talking()); n > 0 {
		t.Errorf("%d of %d sessions failed: %v", n, len(all), first)
	}
	p.await("the short sessions to end", func() bool { return p.status().Sessions.Held == int64(len(all)) })
}

// T23: six of ten backends are down. Below panic_threshold health is ignored, until enough are back. What is draining or
// ejected takes no sessions even then.
func TestPanicKeepsServing(t *testing.T) {
	const dead, configured = 10, 11 // the dead one's checks succeed, though nobody listens there; the one behind it is draining
	doctor, backends := newDoctor(t), echoHosts(t, 2, 12)
	_, port, _ := net.SplitHostPort(freeAddress(t, "127.0.0.1"))
	backends[dead] = net.JoinHostPort(ips(backends)[dead], port)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", backends,
		"[pool.passive]\nconsecutive_failures = 1\neject_for = \"10m\"", doctor.checks("50ms"), "panic_threshold = 0.5") + "weight = 0\n"})
	live := gather(t, front, scaled(4000))
	p.await("the dead backend to be ejected", func() bool { return p.inState("ejected") == 1 && p.pools()[0].Connecting == 0 })
	failed := p.backend("b10").Failures["refused"]

	doctor.declare(true, ips(backends[:5])...)
	p.await("five to be unhealthy", func() bool { return p.inState("unhealthy") == 5 }) // 6 of 11 are not
	before := p.sessionsAt(0, 5)
	gather(t, front, scaled(400))
	if got := p.sessionsAt(0, 5) - before; got != 0 || p.panicking() {
		t.Errorf("five unhealthy backends of %d got %d sessions, panic: %v; want none", configured, got, p.panicking())
	}
	doctor.declare(true, ips(backends[:6])...)
	p.await("panic", func() bool { return p.panicking() && len(p.events("panic_on")) == 1 })
	gather(t, front, scaled(400))
	if p.sessionsAt(0, 5) == before {
		t.Error("panic, and yet unhealthy backends got no sessions")
	}
	doctor.declare(true, ips(backends)...)
	p.await("none to be healthy", func() bool { return p.inState("unhealthy") == 10 })
	gather(t, front, scaled(400))
	doctor.declare(false, ips(backends)...)
	p.await("the end of the panic", func() bool { return p.inState("healthy") == 10 && !p.panicking() && len(p.events("panic_off")) == 1 })
	gather(t, front, scaled(400))

	if n := p.sessionsAt(dead, 12); n != 0 || p.backend("b10").Failures["refused"] != failed {
		t.Errorf("an ejected and a draining backend got %d sessions, and %d connects in vain", n, p.backend("b10").Failures["refused"]-failed)
	}
	if n, first := failures(live.say(500)); n > 0 {
		t.Errorf("%d of %d sessions failed: %v", n, len(live), first)
	}
	p.wantEnds(map[string]uint64{})
}

// T23: without a panic_threshold health is ignored when no backend is healthy, and only then.
func TestNoneHealthyStillServes(t *testing.T) {
	doctor, backends := newDoctor(t), echoHosts(t, 3, 3)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{config: frontend("front", front, "pool") + pool("pool", backends, doctor.checks("50ms"))})
	doctor.declare(true, ips(backends[:2])...)
	p.await("two to be unhealthy", func() bool { return p.inState("unhealthy") == 2 })
	gather(t, front, 50)
	if n := p.sessionsAt(0, 2); n != 0 || p.panicking() {
		t.Errorf("two unhealthy backends of three got %d sessions, panic: %v", n, p.panicking())
	}
	doctor.declare(true, ips(backends)...)
	p.await("panic", func() bool { return p.inState("unhealthy") == 3 && p.panicking() })
	gather(t, front, 50)
	if n := p.sessionsAt(0, 2); n == 0 {
		t.Error("none is healthy, and yet only one serves")
	}
	p.wantEnds(map[string]uint64{})
}

// echoHosts is n echo backends, which are one process with as many addresses, 127.0.GROUP.1 and so on.
func echoHosts(t *testing.T, group, n int) (addresses []string) {
	t.Helper()
	everywhere := freeAddress(t, "0.0.0.0")
	spawn(t, nil, "echo", everywhere)
	_, port, _ := net.SplitHostPort(everywhere)
	for i := range n {
		addresses = append(addresses, fmt.Sprintf("127.0.%d.%d:%s", group, i+1, port))
	}
	return addresses
}

func ips(addresses []string) (all []string) {
	for _, a := range addresses {
		ip, _, _ := net.SplitHostPort(a)
		all = append(all, ip)
	}
	return all
}

// quietFor is how long ago the last event of one of these names was logged.
func (p *program) quietFor(words ...string) time.Duration {
	var last time.Time
	for _, word := range words {
		for _, e := range p.events(word) {
			if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(e["time"])); err == nil && at.After(last) {
				last = at
			}
		}
	}
	return time.Since(last)
}

// countEvents counts the events of a subject, those that were kept back too.
func (p *program) countEvents(word, subject string) (n int) {
	for _, e := range p.events(word) {
		if e["subject"] == subject {
			keptBack, _ := e["suppressed"].(float64)
			n += 1 + int(keptBack)
		}
	}
	return n
}

// inState counts the backends of the first pool.
func (p *program) inState(state string) (n int) {
	for _, b := range p.pools()[0].Backends {
		if b.State == state {
			n++
		}
	}
	return n
}

// sessionsAt is the sessions at the backends of the first pool from one number up to another.
func (p *program) sessionsAt(from, to int) (n int64) {
	for _, b := range p.pools()[0].Backends[from:to] {
		n += b.Sessions
	}
	return n
}

func (p *program) panicking() bool { return p.metric("longsplice_pool_panic") == 1 }
