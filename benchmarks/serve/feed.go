package serve

import (
	"container/heap"
	"fmt"

	"github.com/longsplice/longsplice/benchmarks/epoll"
	"golang.org/x/sys/unix"
)

// feed is the schedule of all pushers: one timer, set to the nearest message.
type feed struct {
	fd          int
	queue       feedQueue
	expirations [8]byte
}

// leastWait keeps a crowded schedule from one timer event per message, ns.
const leastWait = 50_000

func (f *feed) open(loop *epoll.Loop) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("create timer: %w", err)
	}
	f.fd = fd
	if err := loop.Add(fd, unix.EPOLLIN, f); err != nil {
		unix.Close(fd)
		return err
	}
	return nil
}

// add begins a pusher's schedule.
func (f *feed) add(p *pusher) {
	heap.Push(&f.queue, feedEntry{p.asked.First, p})
	f.arm()
}

// Ready hands out the messages whose time has come.
func (f *feed) Ready(uint32) {
	_, _ = unix.Read(f.fd, f.expirations[:]) // only takes the readiness away
	for until := epoll.Now(); len(f.queue) > 0 && f.queue[0].at <= until; {
		e := &f.queue[0]
		if e.p.handOut(epoll.Now()); e.p.fd < 0 || e.p.stop {
			heap.Pop(&f.queue)
			continue
		}
		e.at += e.p.asked.Interval
		heap.Fix(&f.queue, 0)
	}
	f.arm()
}

// arm sets the timer to the nearest message, but not nearer than leastWait.
func (f *feed) arm() {
	if len(f.queue) == 0 {
		return
	}
	at := unix.NsecToTimespec(max(f.queue[0].at, epoll.Now()+leastWait))
	_ = unix.TimerfdSettime(f.fd, unix.TFD_TIMER_ABSTIME, &unix.ItimerSpec{Value: at}, nil) // the time is valid
}

type feedEntry struct {
	at int64 // the next message's time
	p  *pusher
}

// feedQueue is a heap (container/heap), the nearest message first.
type feedQueue []feedEntry

func (q feedQueue) Len() int           { return len(q) }
func (q feedQueue) Less(i, j int) bool { return q[i].at < q[j].at }
func (q feedQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *feedQueue) Push(x any)        { *q = append(*q, x.(feedEntry)) }

func (q *feedQueue) Pop() any {
	last := (*q)[len(*q)-1]
	(*q)[len(*q)-1] = feedEntry{}
	*q = (*q)[:len(*q)-1]
	return last
}
