package relay

import "github.com/longsplice/longsplice/pkg/sys"

// Flags are the latches and modes of a half.
type Flags uint16

// The first four are set by the caller from epoll events, and cleared here.
const (
	Readable Flags = 1 << iota // the source has something: bytes, its end or an error
	Writable                   // the sink takes bytes
	Hangup                     // the source's event carried RDHUP, HUP or ERR: no further edge will come, read on to the end
	Urgent                     // the source's event carried PRI: look for the mark, and copy for the rest of its life

	// Unsure says that the source may be drained already, so that a recv might start at an urgent byte that has just
	// arrived. It is set here when a read did not show the source's end, and by the caller when Readable comes from an
	// event that is older than the last Move.
	Unsure

	// Nagle says that TCP_NODELAY is not set on the sink yet: it will be, before it can matter.
	Nagle

	sent       // a first send happened with Nagle's algorithm on
	bulk       // reads by splice
	confirm    // splice said 0: ask recv
	noSplice   // the source or sink cannot splice
	urgentHeld // the urgent byte is ours to pass on
	early      // but bytes that go before it are still in the source
	Ended      // the source gave its last byte
	Done       // finished: FIN passed on, or dead
)

// Half is one direction of a session; 32 bytes, no pointers. The zero value waits for its first event.
type Half struct {
	Bytes  uint64 // taken by the sink's socket
	held   uint32 // bytes in the pipe or in the block
	off    uint32 // where they begin in the block
	pipe   uint32 // number in Pipes, 0: none
	block  uint32 // number in Blocks, 0: none
	run    uint32 // bytes since the source was last found drained
	flags  Flags
	quiet  uint8 // wake-ups in a row that were too small for splice
	urgent byte
}

// Set raises latches.
func (h *Half) Set(f Flags) { h.flags |= f }

// Clear takes latches away.
func (h *Half) Clear(f Flags) { h.flags &^= f }

// Has tells whether all of f are set.
func (h *Half) Has(f Flags) bool { return h.flags&f == f }

// Over tells whether the direction is finished.
func (h *Half) Over() bool { return h.flags&Done != 0 }

// Held is how many bytes were read and not yet written, an urgent byte included.
func (h *Half) Held() int {
	if h.urgentDue() {
		return int(h.held) + 1
	}
	return int(h.held)
}

// urgentDue tells whether the urgent byte is next to be written.
func (h *Half) urgentDue() bool { return h.flags&(urgentHeld|early) == urgentHeld }

// Splicing tells whether the direction is in bulk mode.
func (h *Half) Splicing() bool { return h.flags&bulk != 0 }

// Runnable tells whether Move has something to do.
func (h *Half) Runnable() bool {
	switch {
	case h.flags&Done != 0 || h.flags&Writable == 0:
		return false
	case h.Held() > 0:
		return true
	}
	return h.flags&Readable != 0
}

// Outcome is what became of a Move.
type Outcome uint8

// Outcomes. With SourceEnded and SourceFailed nothing is held: every byte that came before has been passed on.
const (
	Waiting      Outcome = iota // for one event: input if nothing is held, else room at the sink
	More                        // the turn's budget is used up: call again soon
	Starved                     // no block to read into: call again when one is free
	SourceEnded                 // end of the source's stream (FIN)
	SourceFailed                // the errno of a read
	SourceBroken                // the errno of a splice or a look: recv may still find bytes, and then an end that is none
	SinkFailed                  // the errno of a write; what was held is gone
	again                       // internal: go round once more
)

// Mode is the configured way of moving bytes.
type Mode uint8

// Modes, as in the configuration.
const (
	Auto Mode = iota
	Copy
	Splice
)

// Budget of one Move: enough to fill a fast link, small enough that others get their turn.
const (
	maxMoves = 16
	maxBytes = 1 << 20
)

// Mover moves the halves of one worker.
type Mover struct {
	K      sys.Kernel
	Mode   Mode
	Pipes  Pipes
	Blocks Blocks

	// Bytes moved so far by each way, for metrics.
	Copied, Spliced uint64

	oob [1]byte // the urgent byte on its way through
}
