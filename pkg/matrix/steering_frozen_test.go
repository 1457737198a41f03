package matrix

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// T19: one worker's thread stops for a second, as under a debugger. Its own flows pause and go on after it; the others do
// not notice; new connections are given to it until it has left one alone for 50 ms, and then no more.
func TestAFrozenWorkerIsAvoided(t *testing.T) {
	testkit.Privileged(t, "CAP_BPF: programs in the kernel")
	_, backends := echoBackends(t, "127.0.0.1", 1)
	front := freeAddress(t, "127.0.0.1")
	p := run(t, setup{process: "workers = 4", config: frontend("front", front, "pool") + pool("pool", backends)})
	listeners := p.listenerFDs()
	all := gather(t, front, scaled(400))
	worker := p.workerOf(all)

	began := time.Now()
	frozen := p.freeze(listeners)
	id := slices.Index(listeners, frozen.listenerFD)
	spoke := all.speak()
	waiting := p.visitUntilOneWaits(front, frozen)
	stuck := frozen.queue()
	for i := range scaled(300) {
		v, err := meet(front)
		if n := frozen.queue(); n != stuck {
			t.Fatalf("visitor %d: %d connections wait for the frozen worker, %d did when it should have been known", i, n, stuck)
		}
		if err == nil {
			defer v.leave()
			err = v.say(1)
		}
		if err != nil {
			t.Fatalf("visitor %d while worker %d is frozen: %v", i, id, err)
		}
	}
	others := 0
	for i := range all {
		if worker[i] != id {
			others++
			if err := <-spoke[i]; err != nil {
				t.Errorf("a session of worker %d while worker %d is frozen: %v", worker[i], id, err)
			}
		} else if len(spoke[i]) > 0 {
			t.Errorf("a session of the frozen worker was served: %v", <-spoke[i])
		}
	}
	time.Sleep(time.Second - time.Since(began)) // it is a second at least
	frozen.thaw()
	t.Logf("worker %d was frozen for %v: %d of its sessions paused, %d of others went on, %d of %d connections had come to it before it was avoided",
		id, time.Since(began).Round(time.Millisecond), len(all)-others, others, stuck, len(waiting))
	for i := range all {
		if worker[i] == id {
			if err := <-spoke[i]; err != nil {
				t.Errorf("a session of the worker that was frozen: %v", err)
			}
		}
	}
	for _, done := range waiting {
		if err := <-done; err != nil {
			t.Errorf("a visitor who came while worker %d was frozen: %v", id, err)
		}
	}
	p.awaitNewcomer(front, id)
}

// workerOf is the worker of each visitor.
func (p *program) workerOf(c crowd) (workers []int) {
	p.t.Helper()
	by := map[string]int{}
	for _, s := range p.sessions().Sessions {
		by[s.Client] = s.Worker
	}
	for _, v := range c {
		workers = append(workers, by[v.conn.LocalAddr().String()])
	}
	return workers
}

// speak lets every visitor say a byte at once; each has a channel for what comes of it.
func (c crowd) speak() (outcomes []chan error) {
	for _, v := range c {
		done := make(chan error, 1)
		outcomes = append(outcomes, done)
		go func() { done <- v.say(1) }()
	}
	return outcomes
}

// visitUntilOneWaits sends visitors until the frozen worker has one, and lets it wait for longer than it takes to be
// avoided. The visitors leave when they have been served.
func (p *program) visitUntilOneWaits(address string, f *frozenThread) (outcomes []chan error) {
	p.t.Helper()
	for range 1000 {
		if f.queue() > 0 {
			time.Sleep(70 * time.Millisecond)
			return outcomes
		}
		v, err := meet(address)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(v.leave)
		outcomes = append(outcomes, crowd{v}.speak()...)
	}
	p.t.Fatal("the frozen worker got none of 1000 connections: it seems to be avoided from the start")
	return nil
}

// awaitNewcomer sends visitors until a worker has got one more: it takes its part again.
func (p *program) awaitNewcomer(address string, worker int) {
	p.t.Helper()
	before := p.workers()[worker].Sessions
	p.await(fmt.Sprintf("worker %d to take its part again", worker), func() bool {
		v, err := visit(address)
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(v.leave)
		return p.workers()[worker].Sessions > before
	})
}

// frozenThread is a worker's thread that is stopped.
type frozenThread struct {
	listenerFD int // as the program numbers it
	listener   int // the same, ours
	done       chan struct{}
	once       sync.Once
	thawed     chan struct{}
}

// queue is how many connections wait for it to be accepted.
func (f *frozenThread) queue() int {
	n, _, err := sys.AcceptQueue(f.listener)
	if err != nil {
		return -1
	}
	return n
}

// thaw lets the thread go on.
func (f *frozenThread) thaw() {
	f.once.Do(func() { close(f.done) })
	<-f.thawed
}

// freeze stops a worker's thread while it waits for events, by ptrace(2): all other threads go on. It must be in a long
// wait: in a short one it keeps its place with the Go scheduler, and a collection would wait for it with all others.
func (p *program) freeze(listeners []int) *frozenThread {
	p.t.Helper()
	var f *frozenThread
	eventually(p.t, "a worker that waits for events", func() bool {
		tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.pid()))
		for _, task := range tasks {
			tid, _ := strconv.Atoi(task.Name())
			if tid == p.pid() {
				continue // whoever waits for the program's end is told of this thread's stop, too (wait_task_stopped in Linux)
			}
			if lfd, ok := p.waitsFor(tid, listeners); ok {
				if f = p.hold(tid, lfd); f != nil {
					return true
				}
			}
		}
		return false
	})
	p.t.Cleanup(f.thaw)
	f.listener = p.borrow(f.listenerFD)
	return f
}

// waitsFor says whether a thread is in a long epoll_wait on a set that has a listener in it, and which.
func (p *program) waitsFor(tid int, listeners []int) (listenerFD int, ok bool) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/syscall", p.pid(), tid))
	words := strings.Fields(string(text))
	if len(words) < 5 || words[0] != strconv.Itoa(unix.SYS_EPOLL_PWAIT) && words[0] != strconv.Itoa(unix.SYS_EPOLL_PWAIT2) {
		return 0, false
	}
	epfd, _ := strconv.ParseInt(words[1], 0, 64)
	ms, _ := strconv.ParseInt(words[4], 0, 64)
	if ms < 50 {
		return 0, false
	}
	for line := range strings.Lines(p.fdInfo(int(epfd))) {
		var fd int
		if n, _ := fmt.Sscanf(line, "tfd: %d", &fd); n == 1 && slices.Contains(listeners, fd) {
			return fd, true
		}
	}
	return 0, false
}

// hold stops a thread. nil: it was no longer waiting. What traces a thread must itself be one thread from the beginning
// to the end.
func (p *program) hold(tid, listenerFD int) *frozenThread {
	f := &frozenThread{listenerFD: listenerFD, done: make(chan struct{}), thawed: make(chan struct{})}
	stopped := make(chan bool)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(f.thawed)
		if unix.PtraceAttach(tid) != nil {
			stopped <- false
			return
		}
		defer func() { _ = unix.PtraceDetach(tid) }()
		_, err := unix.Wait4(tid, nil, unix.WALL, nil)
		_, still := p.waitsFor(tid, []int{listenerFD})
		stopped <- err == nil && still
		if err == nil && still {
			<-f.done
		}
	}()
	if !<-stopped {
		<-f.thawed
		return nil
	}
	return f
}
