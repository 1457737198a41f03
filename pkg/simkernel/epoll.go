package simkernel

import (
	"slices"

	"github.com/longsplice/longsplice/pkg/sys"
)

// epollSet is the ready list of an epoll set, oldest first: descriptors of files with queued set.
type epollSet struct {
	ready []int
	spare []int
}

// EpollCreate implements sys.Kernel.
func (k *Kernel) EpollCreate() (int, sys.Errno) {
	fd := k.alloc(file{kind: isEpoll, ep: &epollSet{}})
	if fd < 0 {
		return -1, sys.EMFILE
	}
	k.note("epoll_create", fd, 0, fd, 0)
	return fd, 0
}

// EpollAdd implements sys.Kernel. What is ready already is an event (ep_insert).
func (k *Kernel) EpollAdd(epfd, fd int, events uint32, token uint64) sys.Errno {
	errno := k.epollAdd(epfd, fd, events, token)
	k.note("epoll_add", fd, int(events), 0, errno)
	return errno
}

func (k *Kernel) epollAdd(epfd, fd int, events uint32, token uint64) sys.Errno {
	ep, f := k.get(epfd, "epoll_add"), k.get(fd, "epoll_add")
	switch {
	case ep == nil || f == nil:
		return sys.EBADF
	case ep.kind != isEpoll:
		return sys.EINVAL
	case f.epfd != 0:
		return eexist
	}
	f.epfd, f.events, f.token = epfd, events|sys.EPOLLERR|sys.EPOLLHUP, token
	if f.poll()&f.events != 0 {
		k.enqueue(fd)
	}
	return 0
}

// eexist is EEXIST, which pkg/sys does not name.
const eexist = sys.Errno(17)

// EpollDel implements sys.Kernel.
func (k *Kernel) EpollDel(epfd, fd int) sys.Errno {
	errno := sys.EBADF
	if f := k.get(fd, "epoll_del"); f != nil && k.get(epfd, "epoll_del") != nil {
		errno = sys.ENOENT
		if f.epfd == epfd {
			k.unregister(fd)
			errno = 0
		}
	}
	k.note("epoll_del", fd, 0, 0, errno)
	return errno
}

// unregister takes fd out of its epoll set.
func (k *Kernel) unregister(fd int) {
	f := &k.files[fd]
	if f.epfd != 0 && f.queued {
		ep := k.files[f.epfd].ep
		if i := slices.Index(ep.ready, fd); i >= 0 {
			ep.ready = slices.Delete(ep.ready, i, i+1)
		}
	}
	f.epfd, f.queued = 0, false
	if f.kind == isEpoll {
		for i := range k.files {
			if k.files[i].epfd == fd {
				k.files[i].epfd, k.files[i].queued = 0, false
			}
		}
	}
}

// wake is ep_poll_callback: an edge. Events of one file coalesce.
func (k *Kernel) wake(s *socket, key uint32) {
	if s.fd >= 0 {
		k.wakeFD(s.fd, key)
	}
}

func (k *Kernel) wakeFD(fd int, key uint32) {
	f := &k.files[fd]
	if f.epfd != 0 && !f.queued && (key == wakeAll || key&f.events != 0) {
		k.enqueue(fd)
	}
}

func (k *Kernel) enqueue(fd int) {
	f := &k.files[fd]
	f.queued = true
	ep := k.files[f.epfd].ep
	ep.ready = append(ep.ready, fd)
}

// EpollWait implements sys.Kernel (ep_send_events). It never sleeps: with nothing ready it returns 0 whatever the
// timeout is. The mask is what holds now; a file where nothing holds any more is dropped without a word, and a
// level-triggered one that is told goes to the end of the list again.
func (k *Kernel) EpollWait(epfd int, events []sys.Event, timeoutMs int) (int, sys.Errno) {
	ep := k.get(epfd, "epoll_wait")
	if ep == nil {
		return 0, sys.EBADF
	}
	if ep.kind != isEpoll || len(events) == 0 {
		return 0, sys.EINVAL
	}
	n := 0
	if !k.fault(k.Faults.Interrupt) {
		n = k.sendEvents(ep.ep, events)
	}
	k.note("epoll_wait", epfd, timeoutMs, n, 0)
	return n, 0
}

func (k *Kernel) sendEvents(ep *epollSet, events []sys.Event) (n int) {
	if len(ep.ready) > 1 && k.fault(k.Faults.Shuffle) {
		k.rng.Shuffle(len(ep.ready), func(i, j int) { ep.ready[i], ep.ready[j] = ep.ready[j], ep.ready[i] })
	}
	most := min(len(events), len(ep.ready))
	if most > 1 && k.fault(k.Faults.FewEvents) {
		most = 1 + k.rng.IntN(most)
	}
	list := ep.ready
	ep.ready = ep.spare[:0]
	again := len(list)
	for i, fd := range list {
		if n == most {
			again = i
			break
		}
		f := &k.files[fd]
		mask := f.poll() & f.events
		f.queued = false
		if mask == 0 {
			continue
		}
		events[n].Events = mask
		events[n].SetToken(f.token)
		n++
		k.note("event", fd, int(mask), 0, 0)
	}
	ep.ready = append(ep.ready, list[again:]...)
	for _, fd := range list[:again] { // level-triggered ones stay, behind those that were not told
		if f := &k.files[fd]; f.events&sys.EPOLLET == 0 && f.poll()&f.events != 0 {
			f.queued = true
			ep.ready = append(ep.ready, fd)
		}
	}
	ep.spare = list[:0]
	return n
}

// poll is the mask of what holds for a file now.
func (f *file) poll() (mask uint32) {
	switch f.kind {
	case isSocket:
		return f.sock.poll()
	case isListener:
		if len(f.lis.queue) > 0 {
			return sys.EPOLLIN
		}
	case isEvent:
		mask = sys.EPOLLOUT
		if f.count > 0 {
			mask |= sys.EPOLLIN
		}
	case isPipeR:
		if f.pipe.held() > 0 {
			mask |= sys.EPOLLIN
		}
	case isPipeW:
		if f.pipe.free() > 0 {
			mask |= sys.EPOLLOUT
		}
	}
	return mask
}

// EventFD implements sys.Kernel.
func (k *Kernel) EventFD() (int, sys.Errno) {
	fd := k.alloc(file{kind: isEvent})
	if fd < 0 {
		return -1, sys.EMFILE
	}
	k.note("eventfd", fd, 0, fd, 0)
	return fd, 0
}

// Wake implements sys.Kernel.
func (k *Kernel) Wake(fd int) {
	k.note("wake", fd, 0, 0, 0)
	if f := k.get(fd, "wake"); f != nil && f.kind == isEvent {
		f.count++
		k.wakeFD(fd, sys.EPOLLIN)
	}
}

// ClearWake implements sys.Kernel.
func (k *Kernel) ClearWake(fd int) {
	k.note("clear_wake", fd, 0, 0, 0)
	if f := k.get(fd, "clear_wake"); f != nil {
		f.count = 0
	}
}
