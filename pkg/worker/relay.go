package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// latch turns an event of one side into the latches of the two halves that touch it. Errors and hang-ups make it
// readable and writable: the read or write that meets them tells what they are.
// What the event speaks of may have been read already, if the half has moved since the batch was fetched.
func (s *session) latch(side int, events uint32, turn uint32) {
	in, out := &s.half[side], &s.half[other(side)]
	const ended = sys.EPOLLRDHUP | sys.EPOLLHUP | sys.EPOLLERR
	if events&(sys.EPOLLIN|sys.EPOLLPRI|ended) != 0 {
		in.Set(relay.Readable)
		if s.moved[side] == uint16(turn) {
			in.Set(relay.Unsure)
		}
	}
	if events&ended != 0 {
		in.Set(relay.Hangup)
	}
	if events&sys.EPOLLPRI != 0 {
		in.Set(relay.Urgent)
	}
	if events&(sys.EPOLLOUT|sys.EPOLLHUP|sys.EPOLLERR) != 0 {
		out.Set(relay.Writable)
	}
}

// relayEvent is an event of either side while relaying. Data comes first: an error is acted upon when everything
// before it has been read. Only where reading is over already does the event itself tell of a dead connection.
func (w *Worker) relayEvent(slot uint32, s *session, side int, events uint32) {
	s.latch(side, events, w.turns)
	if events&sys.EPOLLERR != 0 && s.half[side].Has(relay.Ended) {
		if errno := w.k.SockError(int(s.fd[side])); errno != 0 {
			w.sideFailed(slot, s, side, errno)
			return
		}
	}
	w.relay(slot, s)
}

// relay moves both directions as far as they go now.
func (w *Worker) relay(slot uint32, s *session) {
	w.move(slot, s, toBackend)
	if s.state == relaying {
		w.move(slot, s, toClient)
	}
}

// move relays one direction and acts on what became of it.
func (w *Worker) move(slot uint32, s *session, dir int) {
	h := &s.half[dir]
	if !h.Runnable() {
		return
	}
	s.moved[dir] = uint16(w.turns)
	before := h.Bytes
	outcome, errno := w.mover.Move(h, int(s.fd[dir]), int(s.fd[other(dir)]))
	if n := h.Bytes - before; n > 0 {
		w.countBytes(s, dir, n)
	}
	switch outcome {
	case relay.More:
		w.ready.push(&w.slots, slot)
	case relay.Starved:
		w.starved.push(&w.slots, slot)
	case relay.SourceEnded:
		w.sourceEnded(slot, s, dir)
	case relay.SourceFailed:
		w.sideFailed(slot, s, dir, errno)
	case relay.SourceBroken:
		w.sourceBroken(slot, s, dir, errno)
	case relay.SinkFailed:
		w.sinkFailed(slot, s, dir, errno)
	}
}

func (w *Worker) countBytes(s *session, dir int, n uint64) {
	s.lastMs = w.nowMs
	if s.streams(dir, w.turns) {
		w.streamed = w.turns + 1
	} else {
		w.talkedMs = w.nowMs
	}
	w.sheet.Row(stats.Frontend, int(s.frontend)).Add(stats.ToBackend+dir, n)
	w.sheet.Row(stats.Backend, int(s.backend)).Add(stats.BackendToBackend+dir, n)
	if s.half[dir].Splicing() {
		s.marks |= spliced
	}
	w.fresh.remove(&w.slots, s)
}

// answerTurns is how recently the other direction must have moved for large messages to be a conversation.
const answerTurns = 256

// streams tells whether a half carries bulk that nobody answers: there is no hurry then.
func (s *session) streams(dir int, turn uint32) bool {
	return s.half[dir].Splicing() && uint16(turn)-s.moved[other(dir)] > answerTurns
}

// frontend is the configuration that a session runs under now.
func (w *Worker) frontend(s *session) *backend.Frontend { return w.snap.Frontends[s.frontend] }

// poolRow counts for the pool of the session's backend.
func (w *Worker) poolRow(s *session) *stats.Row {
	return w.sheet.Row(stats.Pool, w.snap.Backends[s.backend].PoolNumber)
}
