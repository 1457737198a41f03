package demo

import (
	"errors"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestBooksThatDoNotBalanceAreFaults(t *testing.T) {
	even := wireBalance{name: "b1", toBackend: [3]int64{7, 7, 7}, toClient: [3]int64{9, 9, 9}}
	uneven := even
	uneven.toClient[2] = 8
	cases := []struct {
		name string
		b    balance
		want string // "": no fault
	}{
		{"all is well", balance{opened: 5, wires: []wireBalance{even}}, ""},
		{"under way with a killed backend", balance{kills: 1, cut: 3, refused: 4, underWay: amount{2, 99}}, ""},
		{"wrong", balance{wrong: 1}, "1 message wrong"},
		{"lost", balance{lost: amount{2, 99}}, "2 messages (99 bytes) lost"},
		{"never received", balance{unread: amount{1, 24}}, "received 1 messages (24 bytes) less"},
		{"more received than sent", balance{unread: amount{-1, -24}}, "received -1 messages"},
		{"broken", balance{broken: 1}, "1 session broke"},
		{"refused without a reason", balance{refused: 1, refusedWrongly: 1}, "1 connects failed while"},
		{"still held", balance{left: 1}, "still holds 1"},
		{"bytes differ", balance{wires: []wireBalance{even, uneven}}, "the bytes of b1 differ"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(c.b.faults(), "; ")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A message that differs in one bit, in its length or in its name is not the one that was sent.
func TestMessageIsWholeOnlyAsMade(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	m := newMint(seed)
	var buf []byte
	for range 2000 {
		x := message{client: r.Uint32(), session: r.Uint32(), number: r.Uint64(), size: leastMessage + r.IntN(4<<10)}
		buf = m.bytes(buf, x)
		if !whole(buf) || name(buf) != x {
			t.Fatalf("made %+v, read %+v, whole: %t", x, name(buf), whole(buf))
		}
		if whole(buf[:r.IntN(len(buf))]) {
			t.Fatalf("%+v cut short passes", x)
		}
		at := r.IntN(len(buf))
		buf[at] ^= 1 << r.IntN(8)
		if whole(buf) {
			t.Fatalf("%+v with a changed byte at %d passes", x, at)
		}
	}
}

func TestRoundsFillTheTime(t *testing.T) {
	for length, want := range map[time.Duration]time.Duration{
		0: longestCycle, 3 * time.Second: 3 * time.Second, 20 * time.Second: 20 * time.Second,
		21 * time.Second: 10500 * time.Millisecond, time.Minute: 20 * time.Second,
	} {
		if got := cycleOf(length); got != want {
			t.Errorf("a run of %s has rounds of %s, want %s", length, got, want)
		}
	}
}

func TestOptionsThatCannotWorkAreRefused(t *testing.T) {
	good := Options{Backends: 3, Clients: 20, Listen: "127.0.0.1:0"}
	cases := []struct {
		name   string
		change func(*Options)
		want   string
	}{
		{"good ones", func(*Options) {}, ""},
		{"no backend", func(o *Options) { o.Backends = 0 }, "--backends 0"},
		{"no client", func(o *Options) { o.Clients = 0 }, "--clients 0"},
		{"more clients than ports", func(o *Options) { o.Clients = mostClients + 1 }, "at most 25000"},
		{"too short a time", func(o *Options) { o.For = time.Millisecond }, "--for 1ms"},
		{"a negative time", func(o *Options) { o.For = -time.Second }, "--for -1s"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.change(&o)
			err := o.check()
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestClientsAreLimitedByDescriptors(t *testing.T) {
	for nofile, want := range map[uint64]uint64{0: 0, 256: 0, 1024: 188, 20000: 4858} {
		if got := clientsThatFit(nofile); got != want {
			t.Errorf("with %d descriptors %d clients fit, want %d", nofile, got, want)
		}
	}
}

// The port of a backend that is dead stays its own, although nobody listens there.
func TestClaimedPortIsNobodyElses(t *testing.T) {
	var ours, others claims
	defer ours.release()
	defer others.release()
	address, _, err := ours.free("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if got, moved, err := others.free(address); err != nil || !moved || got == address {
		t.Errorf("others got %s, moved %t, %v; %s is ours", got, moved, err, address)
	}
	if err := others.take(portOf(address)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("taking a claimed port: %v", err)
	}
	ours.release()
	if err := others.take(portOf(address)); err != nil {
		t.Errorf("taking a port that was released: %v", err)
	}
}
