package worker

import (
	"net/netip"
	"testing"

	"github.com/longsplice/longsplice/pkg/backend"
	"github.com/longsplice/longsplice/pkg/simkernel"
	"github.com/longsplice/longsplice/pkg/stats"
	"github.com/longsplice/longsplice/pkg/sys"
)

// grabbing is a simulated machine on which somebody else takes every descriptor that is closed.
type grabbing struct {
	*simkernel.Kernel
	on bool
}

func (k *grabbing) Close(fd int) sys.Errno {
	errno := k.Kernel.Close(fd)
	if k.on {
		k.EventFD()
	}
	return errno
}

// simDials makes turns until n sessions stand, and a few more.
func simDials(t *testing.T, k *simkernel.Kernel, w *Worker, n int) {
	t.Helper()
	for range 10 {
		k.Settle()
		w.turn()
	}
	if got := w.count(relaying); got != n || w.Live() != n {
		t.Errorf("%d sessions stand of %d, want %d", got, w.Live(), n)
	}
}

// The client that got the last descriptor is connected to its backend all the same; those behind it wait in the queue
// until one more session has room, and are served then.
func TestLastDescriptorIsEnough(t *testing.T) {
	for name, to := range map[string]string{"IPv4": "10.0.0.1:80", "IPv6": "[fd00::1]:80"} {
		t.Run(name, func(t *testing.T) {
			k := &grabbing{Kernel: simkernel.New(1, simkernel.Options{Immediate: true})}
			w, err := New(testConfig(k))
			if err != nil {
				t.Fatal(err)
			}
			w.Adopt(newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", netip.MustParseAddrPort(to))))
			l := k.Listen(sys.Addr{Port: 80})
			w.Listen(Listener{FD: l})
			const clients = 4
			for range clients {
				k.Dial(l, sys.Addr{Port: 5000})
			}
			k.on = name == "IPv4" // a socket of another family has to be made
			k.FDLimit = k.OpenFDs() + 3 + 1
			simDials(t, k.Kernel, w, 1)
			if w.paused != 1 || k.Waiting(l) != clients-1 {
				t.Errorf("%d listeners paused, %d clients wait; want 1 and %d", w.paused, k.Waiting(l), clients-1)
			}
			k.Advance(10 * retryMs * 1e6)
			simDials(t, k.Kernel, w, 1)
			k.FDLimit += 4 // two sessions, of which the second uses the spare again
			k.Advance(retryMs * 1e6)
			simDials(t, k.Kernel, w, 3)
			k.on = false
			for _, c := range k.Clients()[:3] {
				c.Reset()
			}
			simDials(t, k.Kernel, w, 1)
			if w.paused != 0 || w.spare.fd < 0 {
				t.Errorf("%d listeners paused, the spare is %d", w.paused, w.spare.fd)
			}
			if n := simCounter(w, stats.Frontend, stats.EndedBase+int(stats.NoFDs)); n != 0 {
				t.Errorf("%d clients were accepted and reset", n)
			}
			if n := simCounter(w, stats.Own, stats.PausedNoFDsNs); n == 0 {
				t.Error("the pause was not counted")
			}
		})
	}
}

// noSockets fails every socket.
type noSockets struct {
	*simkernel.Kernel
	errno sys.Errno
}

func (k *noSockets) Socket(family int) (int, sys.Errno) {
	if k.errno != 0 {
		return -1, k.errno
	}
	return k.Kernel.Socket(family)
}

// Whatever the kernel is short of, one client is served by the spare socket and the others are left in the queue.
func TestShortageOfSocketsPausesAccepting(t *testing.T) {
	for _, errno := range []sys.Errno{sys.EMFILE, sys.ENFILE, sys.ENOBUFS, sys.ENOMEM} {
		t.Run(sys.Name(errno), func(t *testing.T) {
			sim := simkernel.New(1, simkernel.Options{Immediate: true})
			k := &noSockets{Kernel: sim}
			w, err := New(testConfig(k))
			if err != nil {
				t.Fatal(err)
			}
			w.Adopt(newSnapshot(t, backend.PoolOptions{}, testTimeouts, identity("b1", loopback)))
			l := k.Listen(sys.Addr{Port: 80})
			w.Listen(Listener{FD: l})
			for range 3 {
				k.Dial(l, sys.Addr{Port: 5000})
			}
			k.errno = errno
			simDials(t, sim, w, 1)
			if w.paused != 1 || k.Waiting(l) != 2 {
				t.Errorf("%d listeners paused, %d clients wait; want 1 and 2", w.paused, k.Waiting(l))
			}
			k.errno = 0
			k.Advance(retryMs * 1e6)
			simDials(t, sim, w, 3)
			if w.paused != 0 {
				t.Error("accepting is still paused")
			}
		})
	}
}
