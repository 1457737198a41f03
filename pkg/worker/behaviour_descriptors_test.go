package worker

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/relay"
	"github.com/longsplice/longsplice/pkg/sys"
	"github.com/longsplice/longsplice/pkg/testkit"
)

// Every descriptor of a worker closes on exec, and none that is read or written can block the thread: SPLICE_F_NONBLOCK
// speaks of the pipe alone.
func TestDescriptorsNeitherBlockNorOutliveExec(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, func(c *Config, _ *backend.Frontend) { c.Mode = relay.Splice })
	s.pair()
	s.ask(t, func(w *Worker) {
		number := w.mover.Pipes.Get()
		pipe := w.mover.Pipes.At(number)
		for what, fd := range map[string]int{
			"listener": w.listeners[0].FD, "client": int(w.slots.at(0).fd[client]), "server": int(w.slots.at(0).fd[server]),
			"spare": w.spare.fd, "pipe's end": pipe.R, "pipe's beginning": pipe.W, "eventfd": w.wakefd, "epoll": w.epfd,
		} {
			status, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
			own, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
			if err != nil || own&unix.FD_CLOEXEC == 0 {
				t.Errorf("%s: outlives an exec (%v)", what, err)
			}
			if fd != w.epfd && status&unix.O_NONBLOCK == 0 {
				t.Errorf("%s: may block", what)
			}
		}
		w.mover.Pipes.Put(number)
	})
}

// A backend that speaks first reaches a client that has said nothing: accepting does not wait for the client's word,
// unless a listener is told to.
func TestBackendSpeaksFirst(t *testing.T) {
	testkit.LeakCheck(t)
	s := newStage(t, nil)
	s.ask(t, func(w *Worker) {
		if wait, err := unix.GetsockoptInt(w.listeners[0].FD, sys.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT); err != nil || wait != 0 {
			t.Errorf("the listener waits %d s for the client to speak, %v", wait, err)
		}
	})
	c, b := s.pair()
	play(t, b, testkit.Send(77))
	play(t, c, testkit.Read(77))
}
