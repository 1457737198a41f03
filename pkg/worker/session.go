package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/ports"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Sides of a session, and its halves: half[client] reads from the client and writes to the backend.
const (
	client = 0
	server = 1

	toBackend = client
	toClient  = server
)

// state is where a session is on its way.
type state uint8

const (
	free      state = iota
	dialling        // connecting to a backend
	relaying        // both connections stand, at least one direction is open
	resetting       // one side is gone by RST; the other gets its last bytes, then RST
	lingering       // both directions ended by FIN; unsent bytes are still on their way
	dead            // ended; its descriptors are closed at the end of the batch
)

// marks of a session.
type marks uint16

const (
	inReady     marks = 1 << iota // on the ready list
	inStarved                     // on the starved list
	isFresh                       // on the list of sessions without a byte
	optionsSet                    // keepalive and user timeout are set on the backend's socket
	reset                         // close both sides by RST
	unixServer                    // the backend is a unix socket
	watched                       // the client is in the epoll set
	connecting                    // counted as dialling
	established                   // the backend was reached
	spliced                       // bytes went by splice at some time
	portless                      // this attempt has found no port left towards its backend
)

// session is one slot: 192 bytes at most, no pointers.
type session struct {
	half [2]relay.Half
	fd   [2]int32

	id      uint64
	beganMs int64
	lastMs  int64 // of the last byte or end; also of the last step of closing

	// By half: bytes the sink's peer had acknowledged at the last look (low 32 bits). While closing, [0] is what was
	// unsent at the last look.
	acked   [2]uint32
	sinceMs [2]uint32 // by half: when that last grew, low 32 bits of ms

	frontend   backend.Number
	backend    backend.Number
	generation uint32
	connectUs  uint32

	pair ports.Number // that port is taken from; 0: none, the kernel chose source and port
	port uint16       // 0: the kernel chose the port

	peer     sys.Addr // the client's
	listener uint16   // index in the worker's listeners

	moved   [2]uint16 // by half: the turn of its last move, low bits
	broken  [2]uint16 // by side: the errno that a send to it met
	errno   uint16    // for the log
	state   state
	reason  stats.Reason
	marks   marks
	retries uint8
	passed  uint8 // backends passed over for want of a port
	pollLog uint8 // closing: the poll interval is 10 ms << pollLog, and 500 ms at most

	nextReady, nextStarved uint32
	prevFresh, nextFresh   uint32 // nextFresh also links free slots
}

func (s *session) has(m marks) bool { return s.marks&m != 0 }

// onUnix tells whether the client has come by a unix socket: those have no addresses.
func (s *session) onUnix() bool { return s.peer.Port == 0 }

// other is the opposite side or half.
func other(i int) int { return 1 - i }

// Slots live in chunks that never move: a pointer to a slot stays good.
const (
	chunkBits = 10
	chunkSize = 1 << chunkBits
	maxChunks = 4096
	maxSlots  = maxChunks * chunkSize
	noSlot    = ^uint32(0)
)

// slab is all slots of a worker.
type slab struct {
	chunks [maxChunks]*[chunkSize]session
	used   uint32 // slots that exist
	free   uint32 // head of the free list, through nextFresh; slot + 1, 0: none
	live   int
}

func (b *slab) at(slot uint32) *session { return &b.chunks[slot>>chunkBits][slot&(chunkSize-1)] }

// take gives a zeroed slot, but for its generation and its place on lists; false when all 4 Mi are in use.
func (b *slab) take() (uint32, *session, bool) {
	var slot uint32
	switch {
	case b.free != 0:
		slot = b.free - 1
		b.free = b.at(slot).nextFresh
	case b.used < maxSlots:
		slot = b.used
		if slot&(chunkSize-1) == 0 {
			b.chunks[slot>>chunkBits] = new([chunkSize]session)
		}
		b.used++
	default:
		return 0, nil, false
	}
	s := b.at(slot)
	*s = session{
		generation: s.generation, marks: s.marks & (inReady | inStarved),
		nextReady: s.nextReady, nextStarved: s.nextStarved,
	}
	b.live++
	return slot, s, true
}

// give frees a slot; events that still carry its old generation are stale.
func (b *slab) give(slot uint32) {
	s := b.at(slot)
	s.state = free
	s.generation++
	s.nextFresh = b.free
	b.free = slot + 1
	b.live--
}

// Epoll tokens: generation << 32 | slot << 2 | kind. Kinds 0 and 1 are the sides of a session.
const (
	kindListener = 2
	kindWake     = 3
)

func token(generation, slot uint32, kind int) uint64 {
	return uint64(generation)<<32 | uint64(slot)<<2 | uint64(kind)
}

func tokenGeneration(t uint64) uint32 { return uint32(t >> 32) }
func tokenSlot(t uint64) uint32       { return uint32(t) >> 2 }
func tokenKind(t uint64) int          { return int(t & 3) }

// queue is a first-in first-out list of slots, linked through the slots themselves. A slot may be freed while it is on
// a list; whoever pops it looks at its state.
type queue struct {
	mark       marks // inReady or inStarved: which links
	head, tail uint32
	len        int
}

func (q *queue) any() bool { return q.len > 0 }

func (q *queue) link(s *session) *uint32 {
	if q.mark == inReady {
		return &s.nextReady
	}
	return &s.nextStarved
}

// push adds a slot unless it is on the list.
func (q *queue) push(b *slab, slot uint32) {
	s := b.at(slot)
	if s.has(q.mark) {
		return
	}
	s.marks |= q.mark
	if q.len == 0 {
		q.head = slot
	} else {
		*q.link(b.at(q.tail)) = slot
	}
	q.tail = slot
	q.len++
}

// pop takes the first slot of a list that is not empty.
func (q *queue) pop(b *slab) uint32 {
	slot := q.head
	s := b.at(slot)
	q.head = *q.link(s)
	q.len--
	s.marks &^= q.mark
	return slot
}

// freshList holds the sessions in which no byte has passed, oldest first: those that may be evicted.
type freshList struct {
	head, tail uint32 // slot + 1, 0: none
}

func (f *freshList) add(b *slab, slot uint32) {
	s := b.at(slot)
	s.marks |= isFresh
	s.prevFresh, s.nextFresh = f.tail, 0
	if f.tail != 0 {
		b.at(f.tail - 1).nextFresh = slot + 1
	} else {
		f.head = slot + 1
	}
	f.tail = slot + 1
}

func (f *freshList) remove(b *slab, s *session) {
	if !s.has(isFresh) {
		return
	}
	s.marks &^= isFresh
	if s.prevFresh != 0 {
		b.at(s.prevFresh - 1).nextFresh = s.nextFresh
	} else {
		f.head = s.nextFresh
	}
	if s.nextFresh != 0 {
		b.at(s.nextFresh - 1).prevFresh = s.prevFresh
	} else {
		f.tail = s.prevFresh
	}
}
