package testkit

import (
	"fmt"
	"strings"
	"time"
)

// verb is what a step does.
type verb int

const (
	send verb = iota
	urgent
	halfClose
	closeSocket
	reset
	resetFlushed
	read
	readSlowly
	readToEnd
	awaitUrgent
	awaitQueued
	startReading
	stopReading
	meet
	pause
	hold
	vanish
)

// Step is one thing that a peer does; the steps of a peer run one after the other. Make them with the functions below.
type Step struct {
	verb  verb
	n     int64
	chunk int
	pause time.Duration
	until <-chan struct{}
}

// Send sends n bytes of the peer's pattern, as much per call as the socket takes.
func Send(n int64) Step { return Step{verb: send, n: n} }

// SendIn sends n bytes in calls of at most chunk bytes. Nagle is off: with the reader awake each call is a segment.
func SendIn(n int64, chunk int) Step { return Step{verb: send, n: n, chunk: chunk} }

// Urgent sends one urgent byte. Linux keeps one per direction: meet the reader's AwaitUrgent before the next.
func Urgent() Step { return Step{verb: urgent} }

// HalfClose ends the peer's own stream with a FIN and leaves the other direction open.
func HalfClose() Step { return Step{verb: halfClose} }

// Close closes the socket: a FIN, or a RST if the kernel holds input that was not read. What the other peer sends after it
// is answered by a RST, which may destroy bytes on their way there: a script to be compared closes last.
func Close() Step { return Step{verb: closeSocket} }

// Reset cuts the connection with a RST at once; bytes still in our send queue are lost.
func Reset() Step { return Step{verb: reset} }

// ResetFlushed waits until the other kernel has acknowledged every byte (SIOCOUTQ is 0), then resets.
func ResetFlushed() Step { return Step{verb: resetFlushed} }

// Read reads exactly n more bytes, fewer if the stream ends.
func Read(n int64) Step { return Step{verb: read, n: n} }

// ReadSlowly reads like Read, at most chunk bytes at a time with a pause after each.
func ReadSlowly(n int64, chunk int, every time.Duration) Step {
	return Step{verb: readSlowly, n: n, chunk: chunk, pause: every}
}

// ReadToEnd reads until the stream ends.
func ReadToEnd() Step { return Step{verb: readToEnd} }

// AwaitUrgent reads until one more urgent byte was taken than by the AwaitUrgent before, or the stream ends.
func AwaitUrgent() Step { return Step{verb: awaitUrgent} }

// AwaitQueued waits, reading nothing, until the kernel holds n unread bytes (FIONREAD): Close then means a RST.
func AwaitQueued(n int64) Step { return Step{verb: awaitQueued, n: n} }

// StartReading makes every later wait of this peer (a full send queue, a Meet, a Pause) read what comes meanwhile.
func StartReading() Step { return Step{verb: startReading} }

// StopReading undoes StartReading; the peer starts so.
func StopReading() Step { return Step{verb: stopReading} }

// Meet waits until the other peer is at its Meet too, or has ended its script.
func Meet() Step { return Step{verb: meet} }

// Pause waits for d.
func Pause(d time.Duration) Step { return Step{verb: pause, pause: d} }

// Hold waits until the channel is closed: for a test that does something in the middle of its scripts.
func Hold(until <-chan struct{}) Step { return Step{verb: hold, until: until} }

// Vanish makes the peer's host lose every packet of this connection from now on, both ways and in silence, as if its cable
// was cut. The peer must live in a Host. The socket stays open until the script of the other peer has ended too.
func Vanish() Step { return Step{verb: vanish} }

func (s Step) String() string {
	switch name := s.verb.String(); s.verb {
	case send:
		if s.chunk > 0 {
			return fmt.Sprintf("%s(%d by %d)", name, s.n, s.chunk)
		}
		return fmt.Sprintf("%s(%d)", name, s.n)
	case readSlowly:
		return fmt.Sprintf("%s(%d by %d, %v)", name, s.n, s.chunk, s.pause)
	case read, awaitQueued:
		return fmt.Sprintf("%s(%d)", name, s.n)
	case pause:
		return fmt.Sprintf("%s(%v)", name, s.pause)
	default:
		return name
	}
}

func (v verb) String() string {
	return [...]string{
		"Send", "Urgent", "HalfClose", "Close", "Reset", "ResetFlushed", "Read", "ReadSlowly", "ReadToEnd",
		"AwaitUrgent", "AwaitQueued", "StartReading", "StopReading", "Meet", "Pause", "Hold", "Vanish",
	}[v]
}

// Script is what both peers of one connection do. Seed makes the two byte patterns; a zero Seed is a seed too.
type Script struct {
	Name    string
	Seed    uint64
	IPv6    bool // RunDirect: over [::1], else over 127.0.0.1
	Options      // of both peers' sockets
	Client  []Step
	Server  []Step
}

func (s Script) String() string {
	return fmt.Sprintf("script %q seed %d\n  client: %s\n  server: %s", s.Name, s.Seed, joinSteps(s.Client), joinSteps(s.Server))
}

func joinSteps(steps []Step) string {
	words := make([]string, len(steps))
	for i, s := range steps {
		words[i] = s.String()
	}
	return strings.Join(words, ", ")
}
