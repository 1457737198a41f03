package worker

import (
	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/flow"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// Listener is a listening socket given to a worker. The socket stays the balancer's.
type Listener struct {
	FD       int
	Frontend backend.Number
	Addr     sys.Addr // as configured; a wildcard stays one. Zero for a unix socket
	Name     string   // for the log
}

// pauseCause is why a listener does not accept.
type pauseCause uint8

const (
	notPaused    pauseCause = iota
	noRoom                  // max_sessions of the process
	noFDs                   // EMFILE, ENFILE, ENOBUFS, ENOMEM, or no spare socket
	frontendFull            // max_sessions of the frontend, with on_full = "wait"
	closed                  // no new sessions are wanted
)

// retryMs is how long accepting rests after the kernel was short of something, unless a session ends before.
const retryMs = 100

// listener is a worker's side of a Listener.
type listener struct {
	Listener
	generation uint32
	cause      pauseCause
	pausedAt   int64
	batch      int    // how many accepts the next wake-up makes
	turn       uint32 // of the last wake-up
}

// maxAccepts bounds what one wake-up accepts.
const maxAccepts = 64

// accept takes connections, and returns whether there may be more. The listener is level-triggered: whoever is left
// makes the next event. One connection is taken when they come singly, which saves the call that would say EAGAIN; the
// batch doubles while the queue does not run empty.
func (w *Worker) accept(index uint32) bool {
	l := &w.listeners[index]
	if l.cause != notPaused {
		return false // paused earlier in this batch
	}
	if l.turn == w.turns-1 {
		l.batch = min(2*l.batch, maxAccepts)
	} else {
		l.batch = 1
	}
	l.turn = w.turns
	for range l.batch {
		ok, evicts := w.room(l)
		if !ok {
			return false
		}
		fd, peer, errno := w.k.Accept(l.FD)
		if errno == 0 {
			w.open(index, fd, peer, evicts)
			continue
		}
		w.giveBack(w.snap.Frontends[l.Frontend])
		switch {
		case errno == sys.EAGAIN:
			l.turn-- // the next batch begins with one
			return false
		case shortage(errno):
			w.pause(l, noFDs)
			return false
		case errno == sys.EBADF, errno == sys.EINVAL, errno == sys.ENOTSOCK:
			w.pause(l, closed) // not a listening socket: a defect, but no reason to spin
			return false
		}
		// ECONNABORTED, EPROTO, pending network errors: that connection is gone, the next may be good
	}
	return true
}

// room reserves what one more session needs before it is accepted, or pauses the listener. Where the frontend refuses
// when it is full, its place is gate's affair. evicts: the process is full, and one that may be evicted has to go for
// whoever comes.
func (w *Worker) room(l *listener) (ok, evicts bool) {
	f := w.snap.Frontends[l.Frontend]
	switch {
	case !w.refill():
		w.pause(l, noFDs)
		return false, false
	case !f.RefuseWhenFull && !enter(f):
		w.pause(l, frontendFull)
		return false, false
	case w.Limits.take():
		return true, false
	case w.fresh.head != 0:
		return true, true
	}
	w.giveBack(f)
	w.pause(l, noRoom)
	return false, false
}

// giveBack undoes room, where no session came of it.
func (w *Worker) giveBack(f *backend.Frontend) {
	w.Limits.Held.Add(-1)
	if !f.RefuseWhenFull {
		f.Live.Active.Add(-1)
	}
}

// enter counts a session in, unless its frontend is full.
func enter(f *backend.Frontend) bool {
	if n := f.Live.Active.Add(1); f.MaxSessions == 0 || n <= f.MaxSessions {
		return true
	}
	f.Live.Active.Add(-1)
	return false
}

// evict ends the oldest session in which no byte ever passed, for one that may bring some.
func (w *Worker) evict() {
	slot := w.fresh.head - 1
	w.cut(slot, w.slots.at(slot), stats.Evicted)
}

// pause stops accepting on a listener; connections stay in the kernel's queue.
func (w *Worker) pause(l *listener, cause pauseCause) {
	if l.cause == notPaused {
		w.k.EpollDel(w.epfd, l.FD)
		if cause != closed {
			w.paused++
		}
	}
	l.cause, l.pausedAt = cause, w.nowMs
}

// resumeAccepting ends pauses whose reason is over.
func (w *Worker) resumeAccepting() {
	if w.paused == 0 {
		return
	}
	for i := range w.listeners {
		if l := &w.listeners[i]; w.mayResume(l) {
			w.countPause(l)
			l.cause = notPaused
			w.paused--
			w.watchListener(l, uint32(i))
		}
	}
	w.freed = false
}

func (w *Worker) mayResume(l *listener) bool {
	switch l.cause {
	case noRoom:
		return w.Limits.Held.Load() < w.Limits.Max || w.fresh.head != 0
	case noFDs:
		return w.freed || w.nowMs-l.pausedAt >= retryMs
	case frontendFull:
		f := w.snap.Frontends[l.Frontend]
		return f.MaxSessions == 0 || f.Live.Active.Load() < f.MaxSessions
	}
	return false
}

func (w *Worker) countPause(l *listener) {
	counter := stats.PausedNs
	if l.cause == noFDs {
		counter = stats.PausedNoFDsNs
	}
	w.own.Add(counter, uint64(w.nowMs-l.pausedAt)*1e6)
}

func (w *Worker) watchListener(l *listener, index uint32) {
	if errno := w.k.EpollAdd(w.epfd, l.FD, sys.EPOLLIN, token(l.generation, index, kindListener)); errno != 0 {
		w.pause(l, closed)
	}
}

// open lets a connection in, or refuses it; room has been made for it.
func (w *Worker) open(index uint32, fd int, peer sys.Addr, evicts bool) {
	f := w.snap.Frontends[w.listeners[index].Frontend]
	if refusal, refused := w.gate(f, peer); refused {
		w.giveBack(f)
		w.refuse(f, fd, refusal)
		return
	}
	if evicts {
		w.evict()
	}
	slot, s, ok := w.slots.take()
	if !ok {
		w.leave(f, peer)
		w.refuse(f, fd, stats.RefusedNoMemory)
		return
	}
	w.nextID++
	s.id, s.frontend, s.backend = w.nextID, f.Number, backend.NoBackend
	s.fd = [2]int32{int32(fd), -1}
	s.peer, s.listener = peer, uint16(index)
	s.beganMs, s.lastMs = w.nowMs, w.nowMs
	w.beginToClient(s)
	w.sheet.Row(stats.Frontend, int(f.Number)).Add(stats.Accepted, 1)
	if f.Timeouts.FirstByte > 0 {
		w.fresh.add(&w.slots, slot)
	}
	if w.Log != nil && w.LogStart {
		w.log(slot, s, true)
	}
	w.pick(slot, s, backend.NoBackend)
}

// gate checks the lists and limits of a frontend and counts the session in.
func (w *Worker) gate(f *backend.Frontend, peer sys.Addr) (stats.Refusal, bool) {
	live := f.Live
	switch {
	case !f.Admits(peer.IP):
		return stats.Denied, true
	case live.Rate != nil && !live.Rate.Allow(w.nowNs):
		return stats.OverRate, true
	}
	if f.RefuseWhenFull && !enter(f) {
		return stats.Full, true
	}
	if live.Clients != nil && !live.Clients.Acquire(w.clientHash(f, peer), f.MaxSessionsPerClient) {
		if f.RefuseWhenFull {
			live.Active.Add(-1)
		}
		return stats.ClientFull, true
	}
	return 0, false
}

// leave undoes room and gate, when a session is over.
func (w *Worker) leave(f *backend.Frontend, peer sys.Addr) {
	w.Limits.Held.Add(-1)
	f.Live.Active.Add(-1)
	if f.Live.Clients != nil {
		f.Live.Clients.Release(w.clientHash(f, peer))
	}
}

func (w *Worker) clientHash(f *backend.Frontend, peer sys.Addr) uint64 {
	return w.snap.Hasher.Client(flow.Prefix(peer.IP, f.Prefix4, f.Prefix6))
}

// refuse resets a connection that is not let in. It was never counted as accepted.
func (w *Worker) refuse(f *backend.Frontend, fd int, why stats.Refusal) {
	w.k.Reset(fd)
	w.sheet.Row(stats.Frontend, int(f.Number)).Add(stats.RefusedBase+int(why), 1)
}
